//! Compiles the guest's program, with a cargo of its own: statically, since the guest has no
//! libraries.

use godwit_nested::{build, cargo_build, copy};
use std::env;
use std::path::{Path, PathBuf};

/// The guest is a PC.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const PROGRAM: &str = "godwit-vm-guest";

/// What the program is made from, relative to this package.
const SOURCES: [&str; 7] = [
    "build.rs",
    "../guest/vm/Cargo.toml",
    "../guest/vm/src",
    "../guest/src",
    "../kernels/src",
    "../kernels/programs/src",
    "../../hal/regs/src",
];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let target_dir = out.join("target");
    let mut cargo = cargo_build(package, TARGET, "release", &target_dir);
    cargo.args(["--package", PROGRAM, "--locked"]);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    for (setting, value) in [("DEBUG", "false"), ("STRIP", "symbols")] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    build("the guest's program", TARGET, &mut cargo);
    copy(&target_dir.join(TARGET).join("release").join(PROGRAM), &out.join(PROGRAM));
}
