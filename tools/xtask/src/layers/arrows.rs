//! Levels: every crate has one, and uses only what is strictly below it.

use std::collections::BTreeSet;

use super::facts::Crate;
use super::rules::{RULES_PATH, Rules};

/// What is wrong with the arrows between crates.
pub(crate) fn check(rules: &Rules, crates: &[Crate]) -> Vec<String> {
    let mut problems = Vec::new();
    known(rules, crates, &mut problems);
    for krate in crates {
        for used in &krate.uses {
            if let Some(problem) = arrow(rules, &krate.name, used) {
                problems.push(problem);
            }
        }
    }
    problems
}

/// The crates of the rules and of the workspace are the same.
fn known(rules: &Rules, crates: &[Crate], problems: &mut Vec<String>) {
    let real: BTreeSet<&str> = crates.iter().map(|krate| krate.name.as_str()).collect();
    for name in real.iter().filter(|name| !rules.levels.contains_key(**name)) {
        problems.push(format!("`{name}` has no level in `{RULES_PATH}`"));
    }
    for name in rules.levels.keys().filter(|name| !real.contains(name.as_str())) {
        problems.push(format!("`{name}` has a level in `{RULES_PATH}`, but no such crate exists"));
    }
    for (list, name) in rules.named().filter(|(_, name)| !rules.levels.contains_key(*name)) {
        problems.push(format!("`{list}` in `{RULES_PATH}` names `{name}`, which has no level"));
    }
}

/// What is wrong with one crate's use of another.
fn arrow(rules: &Rules, user: &str, used: &str) -> Option<String> {
    if let Some(only) = rules.only.get(user)
        && !only.iter().any(|name| name == used)
    {
        return Some(format!("`{user}` uses `{used}`, which `only` in `{RULES_PATH}` rules out"));
    }
    // A crate without a level is named already.
    let (from, to) = (rules.levels.get(user)?, rules.levels.get(used)?);
    let everywhere = rules.everywhere.iter().any(|name| name == used);
    if to < from || everywhere {
        return None;
    }
    Some(format!("`{user}` (level {from}) uses `{used}` (level {to}), which is not below it"))
}

#[cfg(test)]
mod tests {
    use super::{Crate, Rules, check};

    fn rules() -> Rules {
        let levels = [("types", 0), ("hal", 1), ("engine", 1), ("pump", 2)];
        Rules {
            everywhere: vec!["types".into()],
            levels: levels.map(|(name, level)| (name.to_owned(), level)).into(),
            ..Rules::default()
        }
    }

    fn krate(name: &str, uses: &[&str]) -> Crate {
        let uses = uses.iter().map(|&used| used.to_owned()).collect();
        Crate { name: name.to_owned(), uses, ..Crate::default() }
    }

    fn layered() -> Vec<Crate> {
        vec![
            krate("types", &[]),
            krate("hal", &["types"]),
            krate("engine", &["types"]),
            krate("pump", &["types", "hal", "engine"]),
        ]
    }

    #[test]
    fn arrows_downward_are_fine() {
        assert_eq!(check(&rules(), &layered()), [""; 0]);
    }

    #[test]
    fn an_arrow_upward_or_sideways_is_found() {
        let mut crates = layered();
        crates[1] = krate("hal", &["pump"]);
        crates[2] = krate("engine", &["hal"]);
        assert_eq!(
            check(&rules(), &crates),
            [
                "`hal` (level 1) uses `pump` (level 2), which is not below it",
                "`engine` (level 1) uses `hal` (level 1), which is not below it",
            ]
        );
    }

    #[test]
    fn a_crate_of_level_zero_may_use_types_and_nothing_else() {
        let mut rules = rules();
        rules.levels.insert("kit".into(), 0);
        let mut crates = layered();
        crates.push(krate("kit", &["types"]));
        assert_eq!(check(&rules, &crates), [""; 0]);
        crates[4] = krate("kit", &["hal"]);
        assert_eq!(check(&rules, &crates).len(), 1);
    }

    #[test]
    fn a_missing_crate_and_a_stranger_are_found() {
        let mut crates = layered();
        crates[3] = krate("stranger", &[]);
        let problems = check(&rules(), &crates);
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("`stranger` has no level"), "{problems:?}");
        assert!(problems[1].starts_with("`pump` has a level"), "{problems:?}");
    }

    #[test]
    fn a_list_that_names_a_stranger_is_found() {
        let mut rules = rules();
        rules.no_std.push("ghost".into());
        let problems = check(&rules, &layered());
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("`no_std`") && problems[0].contains("`ghost`"));
    }

    #[test]
    fn a_narrower_list_beats_the_level() {
        let mut rules = rules();
        rules.only.insert("pump".into(), vec!["types".into(), "engine".into()]);
        let problems = check(&rules, &layered());
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("`pump` uses `hal`"), "{problems:?}");
    }
}
