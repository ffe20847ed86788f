//! Proof tokens: `Quiesced` is minted in one file, so that whoever holds one knows who vouches.

use crate::source::{Word, words};
use crate::workspace::TextFile;

/// The type of the token.
const TOKEN: &str = "Quiesced";

/// Finds every use of the minting constructor outside of `module`, and renames of the token's
/// type, which could hide one.
pub(crate) fn check(module: &str, sources: &[TextFile], problems: &mut Vec<String>) {
    let mut minted = false;
    for source in sources {
        // A file that is not Rust mints nothing; `tidy` names such files.
        let Ok(words) = words(&source.text) else {
            continue;
        };
        let home = source.path == module;
        for line in minting(&words) {
            minted |= home;
            if !home {
                let path = &source.path;
                problems.push(format!("`{path}:{line}` mints `{TOKEN}`, which only {module} may"));
            }
        }
        for line in renaming(&words) {
            let path = &source.path;
            problems.push(format!("`{path}:{line}` renames `{TOKEN}`, which would hide a mint"));
        }
    }
    if !minted {
        problems.push(format!("`{module}` mints no `{TOKEN}`: is it still the proof module?"));
    }
}

/// The lines that say `Quiesced::mint` or `<Quiesced>::mint`, called or not.
fn minting(words: &[Word]) -> impl Iterator<Item = usize> {
    let plain: &[&str] = &[TOKEN, ":", ":", "mint"];
    let qualified: &[&str] = &[TOKEN, ">", ":", ":", "mint"];
    lines_of(words, plain).chain(lines_of(words, qualified))
}

/// The lines that say `Quiesced as`.
fn renaming(words: &[Word]) -> impl Iterator<Item = usize> {
    lines_of(words, &[TOKEN, "as"])
}

/// Where a run of tokens starts.
fn lines_of<'a>(words: &'a [Word], run: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    words
        .windows(run.len())
        .filter(move |window| window.iter().map(|word| &word.text).eq(run))
        .map(|window| window[0].line)
}

#[cfg(test)]
mod tests {
    use super::{TextFile, check};

    fn problems(other: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let home = file("home.rs", "fn f() -> Quiesced { Quiesced::mint(1, 2) }\n");
        let mut problems = Vec::new();
        check("home.rs", &[home, file("other.rs", other)], &mut problems);
        problems
    }

    #[test]
    fn the_proof_module_may_mint() {
        assert_eq!(
            problems("//! Unlike `Quiesced::mint(1, 2)`.\nfn f(q: &Quiesced) {}\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_mint_elsewhere_is_found() {
        let elsewhere = [
            "fn f() {\n    g(Quiesced::mint(1, 2));\n}\n",
            "fn f() {\n    types::Quiesced ::\n mint(1, 2);\n}\n",
            "fn f() {\n    pairs.map(Quiesced::mint);\n}\n",
            "fn f() {\n    <Quiesced>::mint(1, 2);\n}\n",
        ];
        for text in elsewhere {
            assert_eq!(problems(text), ["`other.rs:2` mints `Quiesced`, which only home.rs may"]);
        }
    }

    #[test]
    fn a_rename_is_found() {
        let found = problems("use types::Quiesced as Q;\nfn f() { Q::mint(1, 2); }\n");
        assert_eq!(found, ["`other.rs:1` renames `Quiesced`, which would hide a mint"]);
    }

    #[test]
    fn a_proof_module_without_a_mint_is_found() {
        let mut problems = Vec::new();
        check("gone.rs", &[], &mut problems);
        assert_eq!(problems, ["`gone.rs` mints no `Quiesced`: is it still the proof module?"]);
    }
}
