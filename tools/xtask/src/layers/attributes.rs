//! What a crate's root file must say: no `unsafe`, no standard library, no panic.

use syn::Meta;

use crate::source::{Applied, applied, nested, path_text, words};
use crate::workspace::TextFile;

use super::facts::Crate;
use super::rules::{RULES_PATH, Rules};

/// Lints that a firmware crate denies: each names a way to panic.
const PANIC_LINTS: [&str; 5] = [
    "clippy::arithmetic_side_effects",
    "clippy::expect_used",
    "clippy::indexing_slicing",
    "clippy::panic",
    "clippy::unwrap_used",
];

/// Conditions that hold in every build of a firmware crate except its own unit tests.
const SHIPPED: [&str; 2] = ["not(test)", "target_os=\"none\""];

/// Checks one crate's roots and what its files hold.
pub(crate) fn check(rules: &Rules, krate: &Crate, problems: &mut Vec<String>) {
    let listed = |list: &[String]| list.contains(&krate.name);
    if listed(&rules.holds_unsafe) {
        check_unsafe_needed(krate, problems);
    } else {
        check_unsafe_absent(rules, krate, problems);
    }
    // A crate without a library ships its binaries; beside one they are host tools.
    let shipped: Vec<&TextFile> = match &krate.lib {
        Some(lib) => vec![lib],
        None => krate.bins.iter().collect(),
    };
    for root in shipped {
        let attrs = root_attributes(root, problems);
        if listed(&rules.no_std) && !attrs.iter().any(is_no_std) {
            problems.push(format!("`{}` lacks `#![no_std]`", root.path));
        }
        if listed(&rules.no_panic) {
            for lint in PANIC_LINTS.iter().filter(|lint| !denies(&attrs, lint)) {
                problems.push(format!("`{}` lacks `#![deny({lint})]`", root.path));
            }
        }
    }
}

/// The roots forbid `unsafe`, and the files that they do not reach (integration tests, a build
/// script) have none either.
fn check_unsafe_absent(rules: &Rules, krate: &Crate, problems: &mut Vec<String>) {
    for root in krate.lib.iter().chain(&krate.bins) {
        if !root_attributes(root, problems).iter().any(forbids_unsafe) {
            problems.push(format!("`{}` lacks `#![forbid(unsafe_code)]`", root.path));
        }
    }
    let listed = |source: &&TextFile| rules.unsafe_programs.contains(&source.path);
    for source in krate.sources.iter().filter(|source| !listed(source)) {
        if let Some(line) = first_unsafe(source) {
            problems.push(format!(
                "`{}:{line}` holds `unsafe`, and `{}` is not under `unsafe` in `{RULES_PATH}`",
                source.path, krate.name
            ));
        }
    }
}

/// A crate that needs no `unsafe` any more must not keep the right to it.
fn check_unsafe_needed(krate: &Crate, problems: &mut Vec<String>) {
    if !krate.sources.iter().any(|source| first_unsafe(source).is_some()) {
        let name = &krate.name;
        problems
            .push(format!("`{name}` holds no `unsafe`: take it off the list in `{RULES_PATH}`"));
    }
}

/// The same for a program: it is still there, and still needs the right.
pub(crate) fn check_programs(rules: &Rules, sources: &[TextFile], problems: &mut Vec<String>) {
    for path in &rules.unsafe_programs {
        let source = sources.iter().find(|source| source.path == *path);
        if source.and_then(first_unsafe).is_none() {
            problems.push(format!(
                "`{path}` holds no `unsafe`: take it off `unsafe_programs` in `{RULES_PATH}`"
            ));
        }
    }
}

/// The line of the first `unsafe`. A file that is not Rust holds none; `tidy` names such files.
fn first_unsafe(source: &TextFile) -> Option<usize> {
    let words = words(&source.text).ok()?;
    words.iter().find(|word| word.text == "unsafe").map(|word| word.line)
}

fn root_attributes(root: &TextFile, problems: &mut Vec<String>) -> Vec<Applied> {
    match syn::parse_file(&root.text) {
        Ok(file) => applied(&file.attrs),
        Err(error) => {
            problems.push(format!("`{}` cannot be parsed: {error}", root.path));
            Vec::new()
        }
    }
}

/// Only without a condition: a `forbid` that some build lacks is no promise.
fn forbids_unsafe(attr: &Applied) -> bool {
    attr.condition.is_none() && lists(attr, &["forbid"], "unsafe_code")
}

fn is_no_std(attr: &Applied) -> bool {
    shipped(attr) && attr.meta.path().is_ident("no_std")
}

fn denies(attrs: &[Applied], lint: &str) -> bool {
    attrs.iter().any(|attr| shipped(attr) && lists(attr, &["deny", "forbid"], lint))
}

fn shipped(attr: &Applied) -> bool {
    attr.condition.as_deref().is_none_or(|condition| SHIPPED.contains(&condition))
}

/// Whether an attribute is one of `levels` and names `lint`.
fn lists(attr: &Applied, levels: &[&str], lint: &str) -> bool {
    let Meta::List(list) = &attr.meta else {
        return false;
    };
    levels.iter().any(|level| list.path.is_ident(level))
        && nested(list).iter().any(|meta| path_text(meta.path()) == lint)
}

#[cfg(test)]
mod tests {
    use super::{Crate, PANIC_LINTS, Rules, TextFile, check, check_programs};

    const FORBID: &str = "#![forbid(unsafe_code)]\n";

    fn problems(rules: &Rules, lib: &str, test: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let (lib, test) = (file("a/src/lib.rs", lib), file("a/tests/t.rs", test));
        let krate = Crate {
            name: "a".into(),
            lib: Some(lib.clone()),
            sources: vec![lib, test],
            ..Crate::default()
        };
        let mut problems = Vec::new();
        check(rules, &krate, &mut problems);
        problems
    }

    #[test]
    fn a_root_that_does_not_forbid_unsafe_is_found() {
        let rules = Rules::default();
        assert_eq!(problems(&rules, FORBID, ""), [""; 0]);
        for lib in ["", "#![deny(unsafe_code)]\n", "#![cfg_attr(not(test), forbid(unsafe_code))]"] {
            assert_eq!(
                problems(&rules, lib, ""),
                ["`a/src/lib.rs` lacks `#![forbid(unsafe_code)]`"]
            );
        }
    }

    #[test]
    fn unsafe_in_a_test_is_found_too() {
        let test = "#[test]\nfn t() {\n    unsafe { f() }\n}\n";
        let found = problems(&Rules::default(), FORBID, test);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("`a/tests/t.rs:3` holds `unsafe`"), "{found:?}");
    }

    #[test]
    fn a_listed_program_may_hold_unsafe_while_it_does() {
        let rules = Rules { unsafe_programs: vec!["a/tests/t.rs".into()], ..Rules::default() };
        let program = "fn f() { unsafe { g() } }\n";
        assert_eq!(problems(&rules, FORBID, program), [""; 0]);
        assert_eq!(problems(&rules, &format!("{FORBID}{program}"), program).len(), 1);
        for (text, found) in [(program, 0), ("fn f() {}\n", 1)] {
            let source = TextFile { path: "a/tests/t.rs".into(), text: text.into() };
            let mut stale = Vec::new();
            check_programs(&rules, &[source], &mut stale);
            assert_eq!(stale.len(), found);
        }
    }

    #[test]
    fn a_right_to_unsafe_that_is_not_used_is_found() {
        let rules = Rules { holds_unsafe: vec!["a".into()], ..Rules::default() };
        assert_eq!(problems(&rules, "unsafe fn f() {}\n", ""), [""; 0]);
        assert!(problems(&rules, "fn f() {}\n", "")[0].contains("holds no `unsafe`"));
    }

    #[test]
    fn no_std_counts_outside_of_unit_tests() {
        let rules = Rules { no_std: vec!["a".into()], ..Rules::default() };
        for lib in ["#![no_std]\n", "#![cfg_attr(not(test), no_std)]\n"] {
            assert_eq!(problems(&rules, &format!("{FORBID}{lib}"), ""), [""; 0]);
        }
        for lib in ["", "#![cfg_attr(feature = \"x\", no_std)]\n"] {
            assert_eq!(
                problems(&rules, &format!("{FORBID}{lib}"), ""),
                ["`a/src/lib.rs` lacks `#![no_std]`"]
            );
        }
    }

    #[test]
    fn each_missing_panic_lint_is_named() {
        let rules = Rules { no_panic: vec!["a".into()], ..Rules::default() };
        let all = PANIC_LINTS.join(", ");
        let denied = format!("{FORBID}#![cfg_attr(not(test), deny({all}, reason = \"r\"))]\n");
        assert_eq!(problems(&rules, &denied, ""), [""; 0]);
        let some = format!("{FORBID}#![deny({})]\n#![warn({all})]\n", PANIC_LINTS[1..].join(", "));
        assert_eq!(
            problems(&rules, &some, ""),
            ["`a/src/lib.rs` lacks `#![deny(clippy::arithmetic_side_effects)]`"]
        );
    }
}
