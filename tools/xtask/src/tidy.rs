//! `cargo xtask tidy`: how large files, functions and lines may be, and what text may not hold.

mod exceptions;
mod lib_root;
mod measure;
mod text;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

use self::exceptions::Exceptions;
use self::text::TextRules;

/// Checks every file that git tracks or could track.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let exceptions = Exceptions::load(workspace)?;
    let rules = TextRules::new()?;
    let files = workspace.text_files()?;
    let (mut measures, mut problems) = (Vec::new(), Vec::new());
    for file in &files {
        rules.check(file, &mut problems);
        if file.is_rust() {
            match measure::all(file) {
                Ok(found) => measures.extend(found),
                Err(problem) => problems.push(problem),
            }
        }
    }
    exceptions.judge(&measures, &mut problems);
    if !problems.is_empty() {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        bail!("{} of these are not tidy", problems.len());
    }
    println!("tidy: {} files, {} exceptions", files.len(), exceptions.count());
    Ok(())
}
