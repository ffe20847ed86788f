//! Two builds in two folders.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

use super::{Files, sha256};

/// The folders, of other lengths: what holds a path is shifted by it, too.
const FOLDERS: [&str; 2] = ["a", "another-folder/further-down"];

/// Copies the sources into two folders, makes the files in both and compares them.
pub(super) fn run(workspace: &Workspace, make: impl Fn(&Path) -> Result<Files>) -> Result<()> {
    let temporary = tempfile::tempdir().context("there is no place for temporary files")?;
    let mut made = Vec::new();
    for folder in FOLDERS {
        let root = temporary.path().join(folder);
        copy_sources(workspace, &root)?;
        println!("Building in {}", root.display());
        made.push(make(&root)?);
    }
    let mut differ = Vec::new();
    for (one, other) in made[0].iter().zip(&made[1]) {
        let verdict = if one.1 == other.1 { "the same" } else { "DIFFERS" };
        println!("{}  {:>9}: {verdict}, {} bytes", sha256(&one.1), one.0, one.1.len());
        if one.1 != other.1 {
            differ.push(one.0);
        }
    }
    if !differ.is_empty() {
        bail!("two builds in two folders differ: {}", differ.join(", "));
    }
    Ok(())
}

/// Copies what git tracks, or would.
fn copy_sources(workspace: &Workspace, to: &Path) -> Result<()> {
    for path in workspace.git_paths()? {
        let from = workspace.root().join(&path);
        // A tracked file may be deleted.
        if !from.is_file() {
            continue;
        }
        let to = to.join(&path);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::copy(&from, &to).with_context(|| to.display().to_string())?;
    }
    Ok(())
}
