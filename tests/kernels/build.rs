//! Compiles the kernels for the GPU, with a cargo of its own.

mod nested;

use nested::{TARGET, cargo_build};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The programs; `src/elf.rs` includes each by this name.
const PROGRAMS: [&str; 4] = ["sha256_chain", "matmul", "histogram", "spinner"];

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
const SOURCES: [&str; 11] = [
    "build.rs",
    "nested.rs",
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
    if !target_is_installed() {
        fail(&format!("the GPU's kernels need a target: run `rustup target add {TARGET}`"));
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let target_dir = out.join("target");

    let mut cargo = cargo_build(package, &target_dir);
    cargo.args(["--package", "godwit-programs", "--features", "device"]);
    for (setting, value) in PROFILE {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    if package.join("../../Cargo.lock").exists() {
        cargo.arg("--locked"); // a build script does not change the sources
    }
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(_) => fail("the GPU's kernels do not compile: see the compiler's messages above"),
        Err(error) => fail(&format!("cargo does not start: {error}")),
    }
    for program in PROGRAMS {
        let from = target_dir.join(TARGET).join("release").join(program);
        let to = out.join(format!("{program}.elf"));
        if let Err(error) = std::fs::copy(&from, &to) {
            fail(&format!("{} is not there: {error}", from.display()));
        }
    }
}

/// Whether the compiler in use has the target's libraries.
fn target_is_installed() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(output) = output else { return false };
    let folder = String::from_utf8_lossy(&output.stdout);
    output.status.success() && Path::new(folder.trim()).is_dir()
}

/// Ends the build with one line to say why.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}
