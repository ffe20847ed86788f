//! A `lib.rs` is a table of contents: docs, lints, `mod` and `pub use`.

use syn::spanned::Spanned;
use syn::{Item, Visibility};

use crate::source::is_test_only;

/// Whether a file is the root of a library.
pub(crate) fn is_lib(path: &str) -> bool {
    path == "src/lib.rs" || path.ends_with("/src/lib.rs")
}

/// How many items belong elsewhere, and the line of the first.
pub(crate) fn foreign_items(tree: &syn::File) -> (usize, usize) {
    let mut foreign = tree.items.iter().filter(|item| !belongs(item));
    let line = foreign.next().map(|item| item.span().start().line);
    (foreign.count() + usize::from(line.is_some()), line.unwrap_or(1))
}

fn belongs(item: &Item) -> bool {
    match item {
        Item::Mod(module) => module.content.is_none() || is_test_only(&module.attrs),
        Item::Use(reexport) => !matches!(reexport.vis, Visibility::Inherited),
        // Says which libraries are linked, as an attribute would: `no_std` crates need it to
        // have the standard library in their tests.
        Item::ExternCrate(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{foreign_items, is_lib};

    fn foreign(text: &str) -> (usize, usize) {
        foreign_items(&syn::parse_file(text).unwrap())
    }

    #[test]
    fn a_table_of_contents_is_fine() {
        let text = "//! Doc.\n#![no_std]\n#[cfg(test)]\nextern crate std;\nmod a;\npub mod b;\n\
                    pub use a::A;\n#[cfg(test)]\nmod tests {\n    use super::A;\n}\n";
        assert_eq!(foreign(text), (0, 1));
    }

    #[test]
    fn anything_else_is_counted() {
        let text = "mod a;\nuse a::A;\nfn f() {}\nmod b {\n}\nconst_assert!(true);\n";
        assert_eq!(foreign(text), (4, 2));
    }

    #[test]
    fn a_root_is_known_by_its_place() {
        assert!(is_lib("hal/types/src/lib.rs") && !is_lib("hal/types/src/glib.rs"));
    }
}
