//! What must be on the machine before anything is built. What can be installed is installed;
//! everything else is named in one sentence that says how to get it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use godwit_vm_env::VmEnv;

use crate::command::Cmd;

/// The target of the firmware and of the device programs.
pub(crate) const FIRMWARE_TARGET: &str = "riscv64imac-unknown-none-elf";

/// The targets of the other boards that the firmware has images for.
pub(crate) const BOARD_TARGETS: [&str; 2] = [RV32_TARGET, ARM_TARGET];

/// The target of the 32-bit board, which has a boot stage.
pub(crate) const RV32_TARGET: &str = "riscv32imac-unknown-none-elf";
const ARM_TARGET: &str = "thumbv7em-none-eabihf";

/// One thing that must be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prereq {
    /// Whether it is there.
    present: fn() -> bool,
    /// The commands that install it, in order, where some can without asking.
    install: &'static [&'static [&'static str]],
    /// What is missing and how to get it.
    missing: &'static str,
}

/// What a build needs.
pub(crate) const BUILD: &[Prereq] = &[C_COMPILER, TARGET];

/// What the images of all boards need.
pub(crate) const IMAGES: &[Prereq] = &[TARGET, RV32, ARM];

/// What it takes to run the first board's image in QEMU.
pub(crate) const RUN_IMAGE: &[Prereq] = &[C_COMPILER, TARGET, QEMU];

/// What it takes to run those of all boards.
pub(crate) const RUN_IMAGES: &[Prereq] = &[C_COMPILER, TARGET, RV32, ARM, QEMU];

/// What the tests need.
pub(crate) const TEST: &[Prereq] = &[
    C_COMPILER,
    TARGET,
    RV32,
    ARM,
    GIT,
    RUSTFMT,
    CLIPPY,
    CARGO_DENY,
    QEMU,
    CROSS_COMPILER,
    C_TOOLS,
    SYSTEMD,
];

/// What the tests in virtual machines need besides.
pub(crate) const VM: &[Prereq] = &[DEBOOTSTRAP, VM_FOLDER];

const C_COMPILER: Prereq = Prereq {
    present: || Cmd::new("cc").args(["--version"]).succeeds(),
    install: &[],
    missing: "The C compiler `cc`, which links every program, is missing: install it with your \
              system's package manager (Debian: `apt-get install gcc libc6-dev`).",
};

const TARGET: Prereq = Prereq {
    present: || has_target(FIRMWARE_TARGET),
    install: &[&["rustup", "target", "add", FIRMWARE_TARGET]],
    missing: "Rust's standard library for `riscv64imac-unknown-none-elf` is missing: get it \
              with `rustup target add riscv64imac-unknown-none-elf`.",
};

const RV32: Prereq = Prereq {
    present: || has_target(RV32_TARGET),
    install: &[&["rustup", "target", "add", RV32_TARGET]],
    missing: "Rust's core library for `riscv32imac-unknown-none-elf` is missing: get it with \
              `rustup target add riscv32imac-unknown-none-elf`.",
};

const ARM: Prereq = Prereq {
    present: || has_target(ARM_TARGET),
    install: &[&["rustup", "target", "add", ARM_TARGET]],
    missing: "Rust's core library for `thumbv7em-none-eabihf` is missing: get it with \
              `rustup target add thumbv7em-none-eabihf`.",
};

const QEMU: Prereq = Prereq {
    present: || {
        let programs = ["qemu-system-riscv64", "qemu-system-riscv32", "qemu-system-arm"];
        programs.into_iter().all(|program| Cmd::new(program).args(["--version"]).succeeds())
    },
    install: &[APT_UPDATE, APT_QEMU],
    missing: "QEMU, in which the firmware's images run, is missing: install it with your system's \
              package manager (Debian: `apt-get update && apt-get install --no-install-recommends \
              qemu-system-misc qemu-system-arm`).",
};

const CROSS_COMPILER: Prereq = Prereq {
    present: || {
        let clang = ["--target=riscv64-unknown-elf", "-x", "c", "-fsyntax-only", "/dev/null"];
        Cmd::new("riscv64-unknown-elf-gcc").args(["--version"]).succeeds()
            || Cmd::new("clang").args(clang).succeeds()
    },
    install: &[APT_UPDATE, APT_GCC],
    missing: "A C compiler for RISC-V, which builds the kernel kit's template in C, is missing: \
              install `riscv64-unknown-elf-gcc`, or `clang`, with your system's package manager \
              (Debian: `apt-get update && apt-get install --no-install-recommends \
              gcc-riscv64-unknown-elf`).",
};

const C_TOOLS: Prereq = Prereq {
    present: || {
        let programs = ["pkg-config", "valgrind"];
        programs.into_iter().all(|program| Cmd::new(program).args(["--version"]).succeeds())
    },
    install: &[APT_UPDATE, APT_C_TOOLS],
    missing: "`pkg-config` and `valgrind`, with which the C programs are built and run, are \
              missing: install them with your system's package manager (Debian: `apt-get update \
              && apt-get install --no-install-recommends pkg-config valgrind`).",
};

const SYSTEMD: Prereq = Prereq {
    present: || Cmd::new("systemd-analyze").args(["--version"]).succeeds(),
    install: &[APT_UPDATE, APT_SYSTEMD],
    missing: "`systemd-analyze`, which checks the unit of `godwit serve`, is missing: install it \
              with your system's package manager (Debian: `apt-get update && apt-get install \
              --no-install-recommends systemd`).",
};

/// Works as root on Debian and its kin, as what follows it does. A machine may have no lists of
/// packages yet, or old ones that name files which are gone.
const APT_UPDATE: &[&str] = &["apt-get", "update", "--quiet"];

const APT_QEMU: &[&str] = &[
    "apt-get",
    "install",
    "--quiet",
    "--yes",
    "--no-install-recommends",
    "qemu-system-misc",
    "qemu-system-arm",
];

const APT_GCC: &[&str] = &[
    "apt-get",
    "install",
    "--quiet",
    "--yes",
    "--no-install-recommends",
    "gcc-riscv64-unknown-elf",
];

const APT_C_TOOLS: &[&str] = &[
    "apt-get",
    "install",
    "--quiet",
    "--yes",
    "--no-install-recommends",
    "pkg-config",
    "valgrind",
];

const APT_SYSTEMD: &[&str] =
    &["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "systemd"];

const APT_DEBOOTSTRAP: &[&str] = &[
    "apt-get",
    "install",
    "--quiet",
    "--yes",
    "--no-install-recommends",
    "debootstrap",
    "debian-archive-keyring",
    "gpgv",
];

const DEBOOTSTRAP: Prereq = Prereq {
    // Once the folder is made, nobody needs it.
    present: || Cmd::new("debootstrap").args(["--version"]).succeeds() || has_vm_folder(),
    install: &[APT_UPDATE, APT_DEBOOTSTRAP],
    missing: "`debootstrap`, which makes the folder that virtual machines run from, is missing: \
              install it with your system's package manager (Debian: `apt-get update && apt-get \
              install --no-install-recommends debootstrap debian-archive-keyring gpgv`), or leave \
              these tests out with `--without vm`.",
};

const VM_FOLDER: Prereq = Prereq {
    present: has_vm_folder,
    install: &[&["cargo", "xtask", "vm"]],
    missing: "The folder with QEMU 10.1 or later and a guest's kernel, which virtual machines run \
              from, is missing: make it with `cargo xtask vm` as root, or leave these tests out \
              with `--without vm`.",
};

fn has_vm_folder() -> bool {
    VmEnv::find().is_ok()
}

const GIT: Prereq = Prereq {
    present: || Cmd::new("git").args(["--version"]).succeeds(),
    install: &[],
    missing: "`git`, which says which files to check, is missing: install it with your system's \
              package manager (Debian: `apt-get install git`).",
};

const RUSTFMT: Prereq = Prereq {
    present: || Cmd::cargo(["fmt", "--version"]).succeeds(),
    install: &[&["rustup", "component", "add", "rustfmt"]],
    missing: "`cargo fmt` is missing: get it with `rustup component add rustfmt`.",
};

const CLIPPY: Prereq = Prereq {
    present: || Cmd::cargo(["clippy", "--version"]).succeeds(),
    install: &[&["rustup", "component", "add", "clippy"]],
    missing: "`cargo clippy` is missing: get it with `rustup component add clippy`.",
};

const CARGO_DENY: Prereq = Prereq {
    present: || Cmd::cargo(["deny", "--version"]).succeeds(),
    // The next one may need a newer Rust than the one that we pin.
    install: &[&["cargo", "install", "cargo-deny", "--locked", "--version", "~0.20.2"]],
    missing: "`cargo deny` is missing: get it with `cargo install cargo-deny --locked`.",
};

/// Asks the compiler rather than rustup, so that a Rust from elsewhere counts too.
fn has_target(target: &str) -> bool {
    let asked =
        Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    asked.is_ok_and(|said| {
        let dir = String::from_utf8_lossy(&said.stdout);
        said.status.success() && Path::new(dir.trim()).is_dir()
    })
}

/// Installs what is missing and can be installed; an error names all that still is.
pub(crate) fn ensure(prereqs: &[Prereq]) -> Result<()> {
    let missing: Vec<&str> =
        prereqs.iter().filter(|p| !provided(p)).map(|prereq| prereq.missing).collect();
    if !missing.is_empty() {
        bail!("something that this needs is not there\n{}", missing.join("\n"));
    }
    Ok(())
}

/// Whether it is there in the end, installed now where need be.
fn provided(prereq: &Prereq) -> bool {
    if (prereq.present)() {
        return true;
    }
    // What counts is whether it is there at the end: lists of packages that cannot be brought up
    // to date may do.
    for command in prereq.install {
        let Some(install) = installer(command) else { continue };
        println!("Installing what is missing: {install}");
        if let Err(error) = install.run(Path::new(".")) {
            eprintln!("{error:#}");
        }
    }
    (prereq.present)()
}

/// A command of [`Prereq::install`], told to ask nothing.
fn installer(command: &[&'static str]) -> Option<Cmd> {
    let (program, args) = command.split_first()?;
    let cmd = Cmd::new(*program).args(args.iter().copied());
    Some(if *program == "apt-get" { cmd.env("DEBIAN_FRONTEND", "noninteractive") } else { cmd })
}

#[cfg(test)]
mod tests {
    use super::{
        APT_DEBOOTSTRAP, APT_GCC, APT_QEMU, APT_SYSTEMD, Prereq, TEST, VM, ensure, installer,
    };

    const THERE: Prereq = Prereq { present: || true, install: &[], missing: "unused" };
    const ABSENT: Prereq = Prereq { present: || false, install: &[], missing: "No anvil here." };
    const FAILING: Prereq =
        Prereq { present: || false, install: &[&["false"]], missing: "No hammer here." };
    /// Its installer succeeds and yet leaves nothing behind.
    const LYING: Prereq = Prereq { present: || false, install: &[&["true"]], missing: "No tongs." };

    #[test]
    fn nothing_missing_is_no_error() {
        ensure(&[THERE, THERE]).unwrap();
    }

    #[test]
    fn every_missing_thing_is_named() {
        let error = ensure(&[ABSENT, THERE, FAILING, LYING]).unwrap_err().to_string();
        let named: Vec<&str> = error.lines().skip(1).collect();
        assert_eq!(named, ["No anvil here.", "No hammer here.", "No tongs."]);
    }

    #[test]
    fn packages_are_installed_from_fresh_lists_and_without_questions() {
        let from_debian = |prereq: &&Prereq| {
            let packages = [APT_QEMU, APT_GCC, APT_DEBOOTSTRAP, APT_SYSTEMD];
            prereq.install.iter().any(|command| packages.contains(command))
        };
        for prereq in TEST.iter().chain(VM).filter(from_debian) {
            let lines: Vec<String> = prereq
                .install
                .iter()
                .filter_map(|it| installer(it))
                .map(|it| it.to_string())
                .collect();
            let [update, install] = lines.as_slice() else { panic!("{lines:?}") };
            assert_eq!(update, "DEBIAN_FRONTEND=noninteractive apt-get update --quiet");
            assert!(install.starts_with("DEBIAN_FRONTEND=noninteractive apt-get install --quiet"));
            assert!(prereq.missing.contains("`apt-get update && apt-get install "));
        }
        assert_eq!(TEST.iter().chain(VM).filter(from_debian).count(), 4);
    }
}
