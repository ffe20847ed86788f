//! What no text file of the workspace may hold.

use anyhow::Result;
use regex::Regex;

use crate::workspace::TextFile;

/// Hosts that packages come from, mirrors above all: whoever builds has their own.
const HOST: &str = concat!(
    r"(?i)://(?:[^\s/@]+@)?[\w.-]*",
    r"(?:registry|mirror|artifactory|nexus|proxy|pypi|npmjs|(?:index|static)\.crates|deb\.debian)",
    r"|\b(?:registry|mirrors?|artifactory|nexus)\.[a-z0-9-]+\.[a-z]{2,}\b",
);

/// A source replaced by another, which belongs in the user's own configuration.
const REPLACED_SOURCE: &str = r"^\s*replace-with\s*=";

/// A path that exists on one machine only.
const MACHINE_PATH: &str =
    r#"(?:^|file://|[^\w.~)}\]/-])/(?:root|work|home/[\w.-]+|Users/[\w.-]+)/"#;

/// The checks, compiled once.
#[derive(Debug)]
pub(crate) struct TextRules {
    forbidden: [(Regex, &'static str); 3],
}

impl TextRules {
    /// Compiles the patterns.
    pub(crate) fn new() -> Result<Self> {
        let forbidden = [
            (Regex::new(HOST)?, "names a host that packages come from"),
            (Regex::new(REPLACED_SOURCE)?, "replaces a source of packages"),
            (Regex::new(MACHINE_PATH)?, "holds a path of one machine"),
        ];
        Ok(Self { forbidden })
    }

    /// Names what is wrong with one file, with the line of each.
    pub(crate) fn check(&self, file: &TextFile, problems: &mut Vec<String>) {
        let TextFile { path, text } = file;
        for (line, number) in text.split('\n').zip(1..) {
            if line.ends_with(char::is_whitespace) {
                problems.push(format!("`{path}:{number}` ends in white space"));
            }
            for (_, what) in self.forbidden.iter().filter(|(regex, _)| regex.is_match(line)) {
                problems.push(format!("`{path}:{number}` {what}"));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            problems.push(format!("`{path}` does not end in a newline"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TextFile, TextRules};

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let file = TextFile { path: "a".into(), text: text.into() };
        TextRules::new().unwrap().check(&file, &mut problems);
        problems
    }

    #[test]
    fn plain_text_is_fine() {
        let text = "see https://example.org/work/in/progress\n\n[dir](./work/a), \"${x}/work/b\"\n\
                    source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        assert_eq!(problems(text), [""; 0]);
        assert_eq!(problems(""), [""; 0]);
    }

    #[test]
    fn layout_at_the_ends_is_found() {
        assert_eq!(problems("a\nb \n"), ["`a:2` ends in white space"]);
        assert_eq!(problems("a\r\n"), ["`a:1` ends in white space"]);
        assert_eq!(problems("a\nb"), ["`a` does not end in a newline"]);
    }

    // The samples are put together here, or this file would break the rules it tests.

    #[test]
    fn package_hosts_are_found() {
        let samples = [
            ["https://", "registry.npm", ".example/x"],
            ["https://a:b@", "crates-mirror", ".example"],
            ["https://", "static.", "crates.io/crates"],
            ["", "nexus", ".corp.example"],
        ];
        for sample in samples.map(|parts| parts.concat()) {
            assert_eq!(
                problems(&format!("url = \"{sample}\"\n")),
                ["`a:1` names a host that packages come from"],
                "{sample}"
            );
        }
        let replaced = concat!("\n  replace-", "with = \"x\"\n");
        assert_eq!(problems(replaced), ["`a:2` replaces a source of packages"]);
    }

    #[test]
    fn machine_paths_are_found() {
        for place in ["root", "work", "home/someone"] {
            for lead in ["", "\"", "--out=", "in ", "("] {
                let text = format!("{lead}/{place}/x\n");
                assert_eq!(problems(&text), ["`a:1` holds a path of one machine"], "{text}");
            }
        }
        assert_eq!(problems(concat!("a: file:/", "/", "/home", "/x/y\n")).len(), 1);
    }
}
