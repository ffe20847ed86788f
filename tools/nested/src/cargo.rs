//! The inner cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that the outer cargo, its subcommand or its user has set for builds of the host.
/// `RUSTC` and `RUSTC_WRAPPER` stay: same compiler, same cache.
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

/// `cargo build` in `folder` for `target`, with all that it makes under `target_dir`, and with
/// nothing of this build's settings.
pub fn cargo_build(folder: &Path, target: &str, profile: &str, target_dir: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if SCRUBBED.contains(&text) || SCRUBBED_PREFIXES.iter().any(|p| text.starts_with(p)) {
            cargo.env_remove(&name);
        }
    }
    // An empty list is a list: flags from configuration files stay out too.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
    cargo.current_dir(folder).args(["build", "--profile", profile, "--target", target]);
    cargo.arg("--target-dir").arg(target_dir);
    cargo
}

/// Leaves nothing in what is built of where it was built: paths of the sources, of the registry
/// and of what is built begin with names of ours. `link_args` go to the linker as they are.
///
/// Cargo leaves flags out of the names of symbols as soon as one of them is such a prefix, and
/// names crates of the workspace by where they are in it.
pub fn remap(cargo: &mut Command, sources: &Path, target_dir: &Path, link_args: &[String]) {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let mut flags = Vec::new();
    // Where more than one fits the last one counts, and the folder of what is built may lie in
    // that of the sources.
    let folders = home.iter().map(|home| (home.as_path(), "cargo"));
    for (folder, name) in folders.chain([(sources, "godwit"), (target_dir, "target")]) {
        flags.push(format!("--remap-path-prefix={}={name}", folder.display()));
    }
    flags.extend(link_args.iter().map(|arg| format!("-Clink-arg={arg}")));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
}

/// Whether the compiler in use has the target's libraries.
pub fn target_is_installed(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    let Ok(output) = output else { return false };
    let folder = String::from_utf8_lossy(&output.stdout);
    output.status.success() && Path::new(folder.trim()).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_what_is_built_goes_before_that_of_the_sources() {
        let mut cargo = Command::new("cargo");
        remap(&mut cargo, Path::new("/r"), Path::new("/r/t"), &["-Map=m".to_owned()]);
        let (_, flags) = cargo.get_envs().next().unwrap();
        let flags = flags.unwrap().to_str().unwrap();
        let expected = [
            "--remap-path-prefix=/r=godwit",
            "--remap-path-prefix=/r/t=target",
            "-Clink-arg=-Map=m",
        ];
        assert!(flags.ends_with(&expected.join("\x1f")), "{flags}");
    }
}
