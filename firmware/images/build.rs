//! Compiles the images, with a cargo of its own.

use godwit_nested::{build, cargo_build, copy};
use godwit_regs::window::{BOARDS, Board};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The profile of the workspace that is for images.
const PROFILE: &str = "firmware";

/// What the images are made from, relative to this package.
const SOURCES: [&str; 13] = [
    "build.rs",
    "../image",
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
        let to = out.join(format!("{}.elf", board.name));
        if at < count {
            image(board, &out, &to);
        } else if let Err(error) = fs::write(&to, []) {
            // Every board has a file to include; an empty one is no image.
            println!("cargo::error={}: {error}", to.display());
        }
    }
}

fn image(board: &Board, out: &Path, to: &Path) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target_dir = out.join("target");
    let mut cargo = cargo_build(package, board.target, PROFILE, &target_dir);
    cargo.args(["--package", "godwit-image"]).env("GODWIT_BOARD", board.name);
    if package.join("../../Cargo.lock").exists() {
        cargo.arg("--locked"); // a build script does not change the sources
    }
    build("the firmware's images", board.target, &mut cargo);
    copy(&target_dir.join(board.target).join(PROFILE).join("godwit-image"), to);
}
