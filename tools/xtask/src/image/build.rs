//! The image, built so that nothing in it says where.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use godwit_nested::{cargo_build, remap};
use godwit_regs::window::Board;

use crate::size::{IMAGE, PROFILE};

/// What a build leaves.
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub(super) elf: Vec<u8>,
    /// What the linker says.
    pub(super) map: String,
}

/// Builds a board's image from the sources in `root`.
pub(super) fn image(board: &Board, root: &Path, target_dir: &Path) -> Result<Built> {
    fs::create_dir_all(target_dir).with_context(|| target_dir.display().to_string())?;
    let map = target_dir.join(format!("{}.map", board.name));
    let mut cargo = cargo_build(root, board.target, PROFILE, target_dir);
    cargo.args(["--package", IMAGE, "--quiet", "--locked"]).env("GODWIT_BOARD", board.name);
    remap(&mut cargo, root, target_dir, &[format!("-Map={}", map.display())]);
    if !cargo.status().context("cannot start cargo")?.success() {
        bail!("the image of {} does not build", board.name);
    }
    let elf = target_dir.join(board.target).join(PROFILE).join(IMAGE);
    let elf = fs::read(&elf).with_context(|| elf.display().to_string())?;
    let text = fs::read_to_string(&map).with_context(|| map.display().to_string())?;
    Ok(Built { elf, map: without_folders(&text, root, target_dir) })
}

/// The linker names files by where they were, and the compiler's own temporary ones at random.
fn without_folders(map: &str, root: &Path, target_dir: &Path) -> String {
    let temporary = env::temp_dir();
    let mut text = String::with_capacity(map.len());
    for line in map.lines() {
        let mut line = line.to_owned();
        for (folder, name) in [(target_dir, "target"), (root, "godwit")] {
            line = line.replace(&*folder.to_string_lossy(), name);
        }
        let random = format!("{}/rustc", temporary.display());
        if let Some(at) = line.find(&random) {
            let rest = &line[at + random.len()..];
            let end = rest.find('/').map_or(line.len(), |end| at + random.len() + end);
            line.replace_range(at..end, "rustc");
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_names_no_folder() {
        let temporary = env::temp_dir();
        let line =
            |folder: &str| format!("8000 8 /src/t/deps/x.o:(.text) {folder}/list /src/a.x\n");
        let map = line(&format!("{}/rustcA1b2C3", temporary.display()));
        let found = without_folders(&map, Path::new("/src"), Path::new("/src/t"));
        assert_eq!(found, "8000 8 target/deps/x.o:(.text) rustc/list godwit/a.x\n");
    }
}
