//! What a build script says and does around it.

use crate::cargo::target_is_installed;
use std::path::Path;
use std::process::{Command, exit};

/// Runs the inner cargo; `what` is what it builds, to say so where it fails.
pub fn build(what: &str, target: &str, cargo: &mut Command) {
    if !target_is_installed(target) {
        fail(&format!("{what} need a target: run `rustup target add {target}`"));
    }
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(_) => fail(&format!("{what} do not compile: see the compiler's messages above")),
        Err(error) => fail(&format!("cargo does not start: {error}")),
    }
}

/// Copies what was built to where the outer crate includes it.
pub fn copy(from: &Path, to: &Path) {
    if let Err(error) = std::fs::copy(from, to) {
        fail(&format!("{} is not there: {error}", from.display()));
    }
}

/// Ends the build with one line to say why.
pub fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}
