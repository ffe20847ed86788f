//! Compiles the images, with a cargo of its own.

use godwit_nested::{build, cargo_build, copy, fail, flat};
use godwit_regs::flash;
use godwit_regs::window::{BOARDS, Board};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The profile of the workspace that is for images.
const PROFILE: &str = "firmware";

/// What the images are made from, relative to this package.
const SOURCES: [&str; 15] = [
    "build.rs",
    "../boot",
    "../image",
    "../slots",
    "../engine",
    "../pump",
    "../wire",
    "../../hal/types",
    "../../hal/regs",
    "../../hal/traits",
    "../../hal/mmio",
    "../../linker",
    "../../.cargo/config.toml",
    "../../Cargo.toml",
    "../../Cargo.lock",
];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    // What of the log is compiled in.
    println!("cargo::rerun-if-env-changed=DEFMT_LOG");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let count = if env::var_os("CARGO_FEATURE_ALL_BOARDS").is_some() { BOARDS.len() } else { 1 };
    for (at, board) in BOARDS.iter().enumerate() {
        let image = out.join(format!("{}.elf", board.name));
        let boot = out.join(format!("{}-boot.bin", board.name));
        // Every board has files to include; an empty one is no program.
        write(&image, &[]);
        write(&boot, &[]);
        if at < count {
            copy(&program("godwit-image", board, &out), &image);
            if flash::place(board.name).is_some_and(|place| place.bank.is_some()) {
                boot_stage(&program("godwit-boot", board, &out), &boot);
            }
        }
    }
}

fn write(to: &Path, bytes: &[u8]) {
    if let Err(error) = fs::write(to, bytes) {
        fail(&format!("{}: {error}", to.display()));
    }
}

/// The boot stage as it lies in the flash.
fn boot_stage(elf: &Path, to: &Path) {
    let bytes = fs::read(elf).map_err(|error| error.to_string());
    match bytes.and_then(|bytes| flat(&bytes)) {
        Ok(boot) => write(to, &boot.bytes),
        Err(error) => fail(&format!("{}: {error}", elf.display())),
    }
}

/// Builds a program for a board.
fn program(name: &str, board: &Board, out: &Path) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target_dir = out.join("target");
    let mut cargo = cargo_build(package, board.target, PROFILE, &target_dir);
    cargo.args(["--package", name]).env("GODWIT_BOARD", board.name);
    if package.join("../../Cargo.lock").exists() {
        cargo.arg("--locked"); // a build script does not change the sources
    }
    build("the firmware's images", board.target, &mut cargo);
    target_dir.join(board.target).join(PROFILE).join(name)
}
