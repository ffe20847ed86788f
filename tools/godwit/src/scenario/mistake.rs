//! What is wrong with a scenario, where, and what is allowed there.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Mistakes that are shown of one file; the rest are counted.
const SHOWN_MAX: usize = 20;
/// Names that are listed as allowed; the rest are counted.
const LISTED_MAX: usize = 12;

/// One mistake, at a place in the file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Bytes of the text that are wrong.
    pub(super) span: Range<usize>,
    /// What is wrong.
    pub(super) what: String,
    /// What may stand there.
    pub(super) allowed: String,
}

/// Why a file is no scenario.
///
/// Shown as `FILE:LINE:COLUMN: what is wrong; allowed: what is allowed`, the line, and a mark
/// under the place; several mistakes one after the other, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    path: PathBuf,
    text: Option<String>,
    mistakes: Vec<Mistake>,
}

impl ScenarioError {
    pub(super) fn new(path: &Path, text: &str, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|mistake| mistake.span.start);
        Self { path: path.to_owned(), text: Some(text.to_owned()), mistakes }
    }

    /// A mistake of the file as a whole, without a place in it.
    pub(super) fn whole(path: &Path, what: impl Into<String>, allowed: impl Into<String>) -> Self {
        let mistake = Mistake { span: 0..0, what: what.into(), allowed: allowed.into() };
        Self { path: path.to_owned(), text: None, mistakes: vec![mistake] }
    }

    /// The message, in colours if the renderer has them.
    pub fn render(&self, renderer: &Renderer) -> String {
        let mut out = String::new();
        for mistake in self.mistakes.iter().take(SHOWN_MAX) {
            out.push_str(&self.render_one(mistake, renderer));
            out.push('\n');
        }
        let count = self.mistakes.len();
        if count > SHOWN_MAX {
            let _ = writeln!(out, "and {} more", count - SHOWN_MAX);
        }
        out
    }

    fn render_one(&self, mistake: &Mistake, renderer: &Renderer) -> String {
        let (path, what, allowed) = (self.path.display(), &mistake.what, &mistake.allowed);
        let Some(text) = &self.text else {
            return format!("{path}: {what}; allowed: {allowed}");
        };
        let (line, column) = line_and_column(text, mistake.span.start);
        let title = format!("{path}:{line}:{column}: {what}; allowed: {allowed}");
        let mark = AnnotationKind::Primary.span(mistake.span.clone());
        let source = Snippet::source(text.as_str()).annotation(mark);
        let group = Level::ERROR.no_name().primary_title(title).element(source);
        renderer.render(&[group])
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(&Renderer::plain()).trim_end())
    }
}

impl std::error::Error for ScenarioError {}

/// Line and column, both from 1, of a byte of the text. Columns count characters.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// Names in backticks, after what they are the names of.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown = names.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Mistakes of TOML and of its shape, in the words of the others.
pub(super) fn from_toml(error: &toml::de::Error, text: &str) -> Mistake {
    let message = error.message();
    let (what, allowed) = match message.split_once(", expected ") {
        Some((what, allowed)) => (what, allowed.strip_prefix("one of ").unwrap_or(allowed)),
        None if message == "duplicate key" => (message, "each key once"),
        None => (message, "a document in TOML 1.1, see https://toml.io"),
    };
    let what = match what.strip_prefix("unknown field ") {
        Some(name) => format!("unknown key {name}"),
        None => what.replacen("unknown variant ", "unknown value ", 1),
    };
    // The words of TOML, not of Rust; dates are tables to the parser.
    let span = error.span().unwrap_or(0..0);
    let written = text.get(span.clone()).unwrap_or("");
    let shape = if written.starts_with(['[', '{']) { "table" } else { "date or time" };
    let what = what.replacen("invalid type: map", &format!("invalid type: {shape}"), 1);
    let what = what.replacen("invalid type: sequence", "invalid type: list", 1);
    let allowed = match allowed {
        "a sequence" => "a list: [...], or [[...]] for tables",
        other => other,
    };
    let allowed = allowed.to_owned();
    Mistake { span, what, allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        assert_eq!(line_and_column("", 0), (1, 1));
        assert_eq!(line_and_column("é = 1", 3), (1, 3));
        assert_eq!(line_and_column("a\nb\n", 4), (3, 1));
        assert_eq!(line_and_column("a\nb", 99), (2, 2));
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let names = ["n"; 14];
        assert!(listed(names.into_iter()).ends_with("`n` and 2 more"));
        assert_eq!(listed([].into_iter()), "none");
    }

    #[test]
    fn only_so_many_mistakes_are_shown() {
        let mistake = |at| Mistake {
            span: at..at + 1,
            what: "wrong".to_owned(),
            allowed: "right".to_owned(),
        };
        let error = ScenarioError::new(
            Path::new("a.toml"),
            &"x".repeat(25),
            (0..25).rev().map(mistake).collect(),
        );
        let shown = error.to_string();
        assert!(shown.starts_with("a.toml:1:1: wrong; allowed: right\n"), "{shown}");
        assert!(shown.ends_with("and 5 more"), "{shown}");
    }
}
