//! The header that is checked in is what cbindgen makes of the crate, and the symbol map has the
//! functions that it declares.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BLESS: &str = "GODWIT_BLESS=1 cargo test -p godwit-capi --test header";

/// The calls that a reader of the header meets first, in their order; those of all other files come
/// behind them.
const FIRST: [&str; 6] = ["device", "vgpu", "guest", "dma", "migration", "file"];

/// The files that calls are in: whoever adds one need not come here.
fn calls() -> Vec<PathBuf> {
    let place =
        |path: &PathBuf| FIRST.iter().position(|name| path.file_stem() == Some(name.as_ref()));
    let entries = std::fs::read_dir(Path::new(ROOT).join("src/abi")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("mod.rs"));
    for path in &files {
        // What is in a folder would be missed.
        assert!(path.extension() == Some("rs".as_ref()), "{} is no source", path.display());
    }
    files.sort_by_key(|path| (place(path).unwrap_or(FIRST.len()), path.clone()));
    files
}

fn made() -> String {
    let config = cbindgen::Config::from_file(Path::new(ROOT).join("cbindgen.toml")).unwrap();
    // Only this crate's own sources are looked at: nothing of others crosses the boundary.
    let types = Path::new(ROOT).join("src/types.rs");
    let builder = cbindgen::Builder::new().with_config(config).with_src(types);
    let builder = calls().into_iter().fold(builder, cbindgen::Builder::with_src);
    let bindings = builder.generate().unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).unwrap();
    // What rustdoc takes for a heading.
    text.replace("// # Safety\n//\n// See POINTERS", "// See POINTERS")
}

#[test]
fn the_header_is_what_the_crate_has() {
    let path = Path::new(ROOT).join("include/godwit.h");
    let made = made();
    if std::env::var_os("GODWIT_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let same = found.lines().zip(made.lines()).take_while(|(a, b)| a == b).count();
    assert!(
        found == made,
        "{} is stale from line {} on: `{BLESS}` makes it anew",
        path.display(),
        same + 1
    );
}

#[test]
fn the_symbol_map_has_every_function() {
    let map = std::fs::read_to_string(Path::new(ROOT).join("godwit.map")).unwrap();
    let listed: BTreeSet<&str> =
        map.lines().filter_map(|line| line.trim().strip_suffix(';')).filter(is_name).collect();
    let made = made();
    let declared: BTreeSet<&str> = made
        .lines()
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(is_name)
        .collect();
    assert_eq!(listed, declared);
}

fn is_name(text: &&str) -> bool {
    text.starts_with("godwit_")
}
