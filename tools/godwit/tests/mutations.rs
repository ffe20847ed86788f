//! No text makes the reading of a scenario, or what it says about mistakes, panic.

use godwit::{DEMO, Scenario};
use proptest::prelude::*;
use std::path::Path;

/// Pieces that mean something in a scenario, or nearly do.
const PIECES: &[&str] = &[
    "\n",
    "\"",
    "[[host]]\n",
    "[[vgpu]]\n",
    "[[event]]\n",
    "[costs]\n",
    "host = \"beta\"\n",
    "at = \"1 ms\"\n",
    "share = \"25 %\"\n",
    "policy = \"fixed-share\"\n",
    "weight = 7\n",
    "{ }",
    "[",
    "]",
    "=",
    "0",
    "-1",
    "3.5",
    "18446744073709551615",
    "340282366920938463463374607431768211456",
    "2026-01-01",
    "true",
    "\"4 KiB\"",
    "\"1 TiB\"",
    "\"16777215 TiB\"",
    "\"bins\"",
    "\"bins.godwit\"",
    "\"é\u{301}\u{202e}\"",
    "\t",
    "\u{0}",
    "\r\n",
    "#",
];

#[derive(Clone, Debug)]
enum Edit {
    /// Takes characters out.
    Cut { at: usize, count: usize },
    /// Puts a piece in.
    Insert { at: usize, piece: &'static str },
    /// Puts a piece in the place of a word.
    Word { at: usize, piece: &'static str },
    /// Copies a line to another place.
    Copy { from: usize, to: usize },
    /// Takes a line out.
    Drop { at: usize },
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let (at, piece) = (any::<usize>(), || prop::sample::select(PIECES));
    let edit = prop_oneof![
        (at, 0_usize..40).prop_map(|(at, count)| Edit::Cut { at, count }),
        (at, piece()).prop_map(|(at, piece)| Edit::Insert { at, piece }),
        (at, piece()).prop_map(|(at, piece)| Edit::Word { at, piece }),
        (at, at).prop_map(|(from, to)| Edit::Copy { from, to }),
        at.prop_map(|at| Edit::Drop { at }),
    ];
    prop::collection::vec(edit, 1..6)
}

fn apply(text: &str, edit: &Edit) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let characters: Vec<char> = text.chars().collect();
    match *edit {
        _ if lines.is_empty() => return text.to_owned(),
        Edit::Cut { at, count } => {
            let start = at % characters.len();
            let end = (start + count).min(characters.len());
            return characters[..start].iter().chain(&characters[end..]).collect();
        }
        Edit::Insert { at, piece } => {
            let (before, after) = characters.split_at(at % characters.len());
            let piece: Vec<char> = piece.chars().collect();
            return [before, &piece, after].concat().into_iter().collect();
        }
        Edit::Word { at, piece } => {
            let mut words: Vec<&str> = text.split(' ').collect();
            let count = words.len();
            words[at % count] = piece;
            return words.join(" ");
        }
        Edit::Copy { from, to } => lines.insert(to % lines.len(), lines[from % lines.len()]),
        Edit::Drop { at } => drop(lines.remove(at % lines.len())),
    }
    lines.join("\n")
}

/// The demo with little for the host to compute.
fn small_demo() -> String {
    let small = DEMO.replace("iterations = 400", "iterations = 2");
    small.replace("n = 216", "n = 16").replace("rounds = 45", "rounds = 1")
}

fn read(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    if let Err(error) = Scenario::parse(Path::new("mutated.toml"), text, folder.path(), None) {
        let shown = error.to_string();
        assert!(shown.starts_with("mutated.toml:"), "{shown}");
        assert!(shown.contains("; allowed: "), "{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_mutated_demo_is_read_or_refused(edits in edits()) {
        read(&edits.iter().fold(small_demo(), |text, edit| apply(&text, edit)));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        read(&text);
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for (open, count) in [("[", 500_000), ("a.", 300_000), ("{a=", 300_000), ("[[a]]\n", 100_000)] {
        read(&format!("seed = {}", open.repeat(count)));
        read(&open.repeat(count));
    }
}

#[test]
fn as_many_tables_as_a_file_can_hold_are_counted_not_read() {
    read(&"[[host]]\n".repeat((1 << 20) / 9));
    read(&"[[event]]\n".repeat((1 << 20) / 10));
    read(&"[[job]]\nvgpu = \"v\"\n".repeat((1 << 20) / 20));
}
