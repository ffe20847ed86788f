//! Compiles the kernels for the GPU, with a cargo of its own.

use godwit_nested::{build, cargo_build, copy};
use std::env;
use std::path::{Path, PathBuf};

/// What kernels are compiled for.
const TARGET: &str = "riscv64imac-unknown-none-elf";

/// The programs; `src/elf.rs` includes each by this name.
const PROGRAMS: [&str; 5] = ["sha256_chain", "matmul", "histogram", "page_writer", "spinner"];

/// How they are compiled: small, fast, and without the paths and symbols of
/// the machine that does it.
const PROFILE: [(&str, &str); 5] = [
    ("CODEGEN_UNITS", "1"),
    ("DEBUG", "false"),
    ("LTO", "fat"),
    ("OPT_LEVEL", "3"),
    ("STRIP", "symbols"),
];

/// What the programs are made from, relative to this package.
const SOURCES: [&str; 10] = [
    "build.rs",
    "programs/Cargo.toml",
    "programs/build.rs",
    "programs/src",
    "kit/Cargo.toml",
    "kit/build.rs",
    "kit/kernel.ld",
    "kit/start.S",
    "kit/src",
    "../../Cargo.toml", // profiles and lints
];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let target_dir = out.join("target");

    let mut cargo = cargo_build(package, TARGET, "release", &target_dir);
    cargo.args(["--package", "godwit-programs", "--features", "device"]);
    for (setting, value) in PROFILE {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    if package.join("../../Cargo.lock").exists() {
        cargo.arg("--locked"); // a build script does not change the sources
    }
    build("the GPU's kernels", TARGET, &mut cargo);
    for program in PROGRAMS {
        let from = target_dir.join(TARGET).join("release").join(program);
        copy(&from, &out.join(format!("{program}.elf")));
    }
}
