//! The rules: `layers.toml` as it is written.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace::Workspace;

/// Where the rules are.
pub(crate) const RULES_PATH: &str = "tools/xtask/layers.toml";

/// Which crate may use which, and what each may hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    /// The one file that may make a proof token.
    pub(crate) proof_module: String,
    /// Crates that every level may use.
    pub(crate) everywhere: Vec<String>,
    /// Crates that may hold `unsafe`.
    #[serde(rename = "unsafe")]
    pub(crate) holds_unsafe: Vec<String>,
    /// Source files, outside of every crate's build, that may hold `unsafe`.
    #[serde(default)]
    pub(crate) unsafe_programs: Vec<String>,
    /// Crates that run without an operating system.
    pub(crate) no_std: Vec<String>,
    /// Crates whose root denies what could panic.
    pub(crate) no_panic: Vec<String>,
    /// Every crate's level.
    pub(crate) levels: BTreeMap<String, u32>,
    /// Crates held to less than their level would let them use.
    #[serde(default)]
    pub(crate) only: BTreeMap<String, Vec<String>>,
}

impl Rules {
    /// Reads `layers.toml`.
    pub(crate) fn load(workspace: &Workspace) -> Result<Self> {
        let text = workspace.read(RULES_PATH)?;
        toml::from_str(&text).with_context(|| format!("`{RULES_PATH}` is not understood"))
    }

    /// Every crate that the rules name besides its level, with the list that names it.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let only = self.only.iter().flat_map(|(name, uses)| std::iter::once(name).chain(uses));
        let lists = [
            ("everywhere", &self.everywhere),
            ("unsafe", &self.holds_unsafe),
            ("no_std", &self.no_std),
            ("no_panic", &self.no_panic),
        ];
        lists
            .into_iter()
            .flat_map(|(list, names)| names.iter().map(move |name| (list, name.as_str())))
            .chain(only.map(|name| ("only", name.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::Rules;

    #[test]
    fn the_rules_in_use_are_understood() {
        let rules: Rules = toml::from_str(include_str!("../../layers.toml")).unwrap();
        assert!(rules.named().all(|(_, name)| rules.levels.contains_key(name)));
        assert_eq!(rules.only["godwit-engine"], rules.everywhere);
    }

    #[test]
    fn a_misspelt_list_is_an_error() {
        let text = include_str!("../../layers.toml").replace("no_panic =", "no_panics =");
        assert!(toml::from_str::<Rules>(&text).is_err());
    }
}
