//! Why there is no environment.

use std::io;
use std::path::PathBuf;

/// What is missing, and how to get it.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// This machine cannot have one.
    #[error(
        "virtual machines with a vGPU are made and run on Linux for x86-64 alone: run their tests \
         on such a machine"
    )]
    Platform,
    /// Cargo does not say where it builds.
    #[error("cargo does not say where it builds: {0}")]
    Cargo(#[from] cargo_metadata::Error),
    /// It is not made yet.
    #[error(
        "the folder {folder:?} with QEMU 10.1 or later and a guest's kernel is missing: make it \
         with `cargo xtask vm`, as root"
    )]
    Missing {
        /// Where it would be.
        folder: PathBuf,
    },
    /// Only root may make it.
    #[error(
        "the folder with QEMU 10.1 or later and a guest's kernel is missing, and making it takes \
         root: run `cargo xtask vm` once as root"
    )]
    Root,
    /// The program that unpacks Debian is not there.
    #[error(
        "`debootstrap`, which makes the folder with QEMU, is missing: install it with your \
         system's package manager (Debian: `apt-get update && apt-get install \
         --no-install-recommends debootstrap debian-archive-keyring gpgv`)"
    )]
    Debootstrap,
    /// The machine's apt names no mirror of Debian.
    #[error(
        "no mirror of Debian's main archive is named in /etc/apt/sources.list or \
         /etc/apt/sources.list.d: name one there, from which QEMU and the guest's kernel come"
    )]
    NoMirror,
    /// A step of the making has failed.
    #[error("{what} failed: `{command}` {how}\n{said}")]
    Step {
        /// What it was to do.
        what: String,
        /// The command.
        command: String,
        /// How it ended.
        how: String,
        /// The last lines that it wrote.
        said: String,
    },
    /// What was made is not what is needed.
    #[error("the folder was made and lacks {what}: Debian's packages have changed; {hint}")]
    Unfit {
        /// What is missing.
        what: String,
        /// What may help.
        hint: &'static str,
    },
    /// The system refuses something.
    #[error("{what} {path:?}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl EnvError {
    /// Says what was tried with which file.
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { what, path, error }
    }
}
