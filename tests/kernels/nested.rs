// Cargo run from inside a cargo run, for the GPU's target: shared by the build
// script and the test of the template.

use std::env;
use std::path::Path;
use std::process::Command;

/// What kernels are compiled for.
pub(crate) const TARGET: &str = "riscv64imac-unknown-none-elf";

/// Variables that the outer cargo, its subcommand or its user has set for
/// builds of the host. `RUSTC` and `RUSTC_WRAPPER` stay: same compiler, same
/// cache.
const SCRUBBED: [&str; 4] = ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"];

/// The same, by how their names begin.
const SCRUBBED_PREFIXES: [&str; 10] = [
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_ENCODED_",
    "CARGO_FEATURE_",
    "CARGO_INCREMENTAL",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "DEP_",
];

/// `cargo build --release` in `folder`, with all that it makes under
/// `target_dir`, and with nothing of this build's settings.
pub(crate) fn cargo_build(folder: &Path, target_dir: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if SCRUBBED.contains(&text) || SCRUBBED_PREFIXES.iter().any(|p| text.starts_with(p)) {
            cargo.env_remove(&name);
        }
    }
    // An empty list is a list: flags from configuration files stay out too.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
    cargo.current_dir(folder).args(["build", "--release", "--target", TARGET]);
    cargo.arg("--target-dir").arg(target_dir);
    cargo
}
