//! `cargo xtask layers`: which crate may use which, where `unsafe` and proof tokens may be.

mod arrows;
mod attributes;
mod facts;
mod proof;
mod rules;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

pub(crate) use self::facts::Facts;
pub(crate) use self::rules::Rules;

/// Checks the workspace against `layers.toml`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let rules = Rules::load(workspace)?;
    let facts = Facts::collect(workspace)?;
    let problems = problems(&rules, &facts);
    if !problems.is_empty() {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        bail!("{} of these break the layers", problems.len());
    }
    println!("layers: {} crates hold to their levels", facts.crates.len());
    Ok(())
}

/// All that breaks the rules, a sentence each.
fn problems(rules: &Rules, facts: &Facts) -> Vec<String> {
    let mut problems = arrows::check(rules, &facts.crates);
    for krate in &facts.crates {
        attributes::check(rules, krate, &mut problems);
    }
    attributes::check_programs(rules, &facts.sources, &mut problems);
    proof::check(&rules.proof_module, &facts.sources, &mut problems);
    problems
}
