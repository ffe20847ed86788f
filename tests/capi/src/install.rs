//! Installs the library: header, shared library with versions of its symbols, static library,
//! pkg-config file.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const HEADER: &str = include_str!("../../../host-shim/capi/include/godwit.h");
const MAP: &str = include_str!("../../../host-shim/capi/godwit.map");
const PKG_CONFIG: &str = include_str!("../../../host-shim/capi/godwit.pc.in");

/// What the shared library calls itself.
const SONAME: &str = "libgodwit.so.0";
/// What the Rust part needs of the system; `rustc --print native-static-libs` says so.
const SYSTEM: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// Why it is not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The linker is not there.
    #[error("the C compiler `cc` cannot be run, which links the library: {0}")]
    NoCompiler(io::Error),
    /// The linker does not link it.
    #[error("the shared library cannot be linked: {0}")]
    Link(String),
}

/// A library that was installed.
#[derive(Clone, Debug)]
pub struct Installed {
    prefix: PathBuf,
}

impl Installed {
    /// Installs what cargo has built beside the program that runs to `PREFIX/lib` and
    /// `PREFIX/include`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, or the library is not linked.
    pub fn new(prefix: &Path) -> Result<Self, InstallError> {
        Self::staged(prefix, Path::new("/"))
    }

    /// The same, with the prefix below a folder that stands in for the root, as the content of a
    /// package is. What is installed names the prefix alone.
    ///
    /// # Errors
    ///
    /// As of [`Self::new`].
    pub fn staged(prefix: &Path, root: &Path) -> Result<Self, InstallError> {
        let installed = Self { prefix: root.join(prefix.strip_prefix("/").unwrap_or(prefix)) };
        let (lib, include) = (installed.lib(), installed.prefix.join("include"));
        for folder in [&lib.join("pkgconfig"), &include] {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        write(&include.join("godwit.h"), HEADER)?;
        let archive = lib.join("libgodwit.a");
        let built = archive_of_cargo()?;
        fs::copy(&built, &archive).map_err(at(&built))?;
        installed.link(&archive)?;
        let text = PKG_CONFIG
            .replace("@PREFIX@", &prefix.to_string_lossy())
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
        write(&lib.join("pkgconfig/godwit.pc"), &text)?;
        Ok(installed)
    }

    /// Folder of the libraries.
    pub fn lib(&self) -> PathBuf {
        self.prefix.join("lib")
    }

    /// Links the shared library from the static one: rustc has a version script of its own when it
    /// links one, beside which linkers take no other.
    fn link(&self, archive: &Path) -> Result<(), InstallError> {
        let lib = self.lib();
        let map = lib.join("godwit.map");
        write(&map, MAP)?;
        let name = format!("libgodwit.so.{}", env!("CARGO_PKG_VERSION"));
        let output = Command::new("cc")
            .args(["-shared", "-Wl,--gc-sections", "-Wl,-z,relro,-z,now"])
            .arg(format!("-Wl,-soname,{SONAME}"))
            .arg(format!("-Wl,--version-script={}", map.display()))
            .arg("-Wl,--whole-archive")
            .arg(archive)
            .arg("-Wl,--no-whole-archive")
            .args(SYSTEM)
            .arg("-o")
            .arg(lib.join(&name))
            .output()
            .map_err(InstallError::NoCompiler)?;
        fs::remove_file(&map).map_err(at(&map))?;
        if !output.status.success() {
            return Err(InstallError::Link(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        for (link, to) in [(SONAME, name.as_str()), ("libgodwit.so", SONAME)] {
            let link = lib.join(link);
            let _ = fs::remove_file(&link);
            symlink(to, &link).map_err(at(&link))?;
        }
        Ok(())
    }
}

/// The static library that cargo has built as a dependency of this crate.
fn archive_of_cargo() -> Result<PathBuf, InstallError> {
    let own = Path::new("the running program");
    let program = std::env::current_exe().map_err(at(own))?;
    let folder = program.parent().unwrap_or(Path::new("."));
    // A test lies among what it depends on, and a program above.
    let beside = folder.join("libgodwit_capi.a");
    Ok(if beside.exists() { beside } else { folder.join("deps/libgodwit_capi.a") })
}

fn at(path: &Path) -> impl Fn(io::Error) -> InstallError + '_ {
    |error| InstallError::File { path: path.to_path_buf(), error }
}

fn write(path: &Path, text: &str) -> Result<(), InstallError> {
    fs::write(path, text).map_err(at(path))
}
