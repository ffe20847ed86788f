//! How large things are. Functions are measured on the syntax tree, so that neither a brace in
//! a string nor an odd layout fools the count. What stands inside a macro call is not seen.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Signature};

use crate::source::is_test_only;
use crate::workspace::TextFile;

use super::lib_root;

/// A thing whose size is bounded.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rule {
    /// Lines of a file before its test module.
    File,
    /// Lines of a function, from its `fn` to its closing brace.
    Function,
    /// Characters of a file's longest line.
    Line,
    /// Items of a `lib.rs` that belong in a file of their own.
    Lib,
}

impl Rule {
    /// The largest size that needs no exception.
    pub(crate) const fn limit(self) -> usize {
        match self {
            Self::File => 500,
            Self::Function => 70,
            Self::Line => 100,
            Self::Lib => 0,
        }
    }

    /// What the size counts.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::File => "lines before its test module",
            Self::Function => "lines",
            Self::Line => "characters",
            Self::Lib => "items that are neither `mod` nor `pub use`",
        }
    }
}

/// What a measure is of, which is also how an exception names it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    /// Which bound it is held to.
    pub(crate) rule: Rule,
    /// The file.
    pub(crate) path: String,
    /// The function as `Type::name`; nothing for other rules.
    #[serde(default)]
    pub(crate) name: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::File | Rule::Lib => write!(f, "`{}`", self.path),
            Rule::Function => write!(f, "`{}` in `{}`", self.name, self.path),
            Rule::Line => write!(f, "the longest line of `{}`", self.path),
        }
    }
}

/// One size, and the line to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) subject: Subject,
    pub(crate) size: usize,
    pub(crate) line: usize,
}

/// Every size in one Rust file, or why it cannot be read.
pub(crate) fn all(file: &TextFile) -> Result<Vec<Measure>, String> {
    let tree = syn::parse_file(&file.text)
        .map_err(|error| format!("`{}` cannot be parsed: {error}", file.path))?;
    let subject =
        |rule, name: &str| Subject { rule, path: file.path.clone(), name: name.to_owned() };
    let (size, line) = longest_line(&file.text);
    let mut out = vec![
        Measure {
            subject: subject(Rule::File, ""),
            size: lines_before_tests(file, &tree),
            line: 1,
        },
        Measure { subject: subject(Rule::Line, ""), size, line },
    ];
    if lib_root::is_lib(&file.path) {
        let (size, line) = lib_root::foreign_items(&tree);
        out.push(Measure { subject: subject(Rule::Lib, ""), size, line });
    }
    let mut functions = Functions::default();
    functions.visit_file(&tree);
    out.extend(functions.sizes.iter().map(|(name, &(size, line))| Measure {
        subject: subject(Rule::Function, name),
        size,
        line,
    }));
    Ok(out)
}

/// Tests come last in a file and do not count; a file of tests has no such module, and counts.
fn lines_before_tests(file: &TextFile, tree: &syn::File) -> usize {
    let tests = tree.items.iter().find_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_some() && is_test_only(&module.attrs) => {
            Some(module.span().start().line)
        }
        _ => None,
    });
    tests.map_or(file.text.lines().count(), |line| line.saturating_sub(1))
}

/// The length of the longest line, and which it is.
fn longest_line(text: &str) -> (usize, usize) {
    let lengths = text.lines().map(|line| line.chars().count()).zip(1..);
    lengths.max_by_key(|&(length, line)| (length, std::cmp::Reverse(line))).unwrap_or((0, 1))
}

/// The functions of a file: lines and first line of each, by its name within the file. Of two
/// with one name the longer counts.
#[derive(Default)]
struct Functions {
    within: Vec<String>,
    sizes: BTreeMap<String, (usize, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &Signature, block: &Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        let size = (last + 1).saturating_sub(first);
        let mut name = self.within.clone();
        name.push(signature.ident.to_string());
        let known = self.sizes.entry(name.join("::")).or_insert((size, first));
        if known.0 < size {
            *known = (size, first);
        }
    }

    fn inside(&mut self, name: String, go_on: impl FnOnce(&mut Self)) {
        self.within.push(name);
        go_on(self);
        self.within.pop();
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        self.inside(item.sig.ident.to_string(), |this| {
            visit::visit_item_fn(this, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        self.inside(item.sig.ident.to_string(), |this| {
            visit::visit_impl_item_fn(this, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        self.inside(item.sig.ident.to_string(), |this| {
            visit::visit_trait_item_fn(this, item);
        });
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.inside(type_name(&item.self_ty), |this| {
            visit::visit_item_impl(this, item);
        });
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.inside(item.ident.to_string(), |this| {
            visit::visit_item_trait(this, item);
        });
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.inside(item.ident.to_string(), |this| {
            visit::visit_item_mod(this, item);
        });
    }
}

/// The name of the type that an `impl` is for, without its parameters.
fn type_name(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => {
            path.path.segments.last().map_or_else(String::new, |part| part.ident.to_string())
        }
        syn::Type::Reference(reference) => type_name(&reference.elem),
        _ => "_".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Measure, Rule, TextFile, all};

    fn measured(path: &str, text: &str) -> Vec<Measure> {
        all(&TextFile { path: path.into(), text: text.into() }).unwrap()
    }

    fn size(measures: &[Measure], rule: Rule, name: &str) -> (usize, usize) {
        let found = measures.iter().find(|m| m.subject.rule == rule && m.subject.name == name);
        found.map(|measure| (measure.size, measure.line)).unwrap()
    }

    #[test]
    fn a_function_is_measured_by_its_tree() {
        let text = "/// Doc.\n#[inline]\npub fn f() {\n    g(\"}\");\n    // }\n}\n";
        assert_eq!(size(&measured("a.rs", text), Rule::Function, "f"), (4, 3));
    }

    #[test]
    fn methods_and_nested_functions_have_their_own_names() {
        let text = "impl<T> A<T> {\n    fn f() {\n        fn g() {}\n    }\n}\n\
                    trait B {\n    fn f() {}\n    fn h();\n}\nmod m {\n    fn f() {\n    }\n}\n";
        let measures = measured("a.rs", text);
        assert_eq!(size(&measures, Rule::Function, "A::f"), (3, 2));
        assert_eq!(size(&measures, Rule::Function, "A::f::g"), (1, 3));
        assert_eq!(size(&measures, Rule::Function, "B::f"), (1, 7));
        assert_eq!(size(&measures, Rule::Function, "m::f"), (2, 11));
        assert!(!measures.iter().any(|measure| measure.subject.name == "B::h"));
    }

    #[test]
    fn of_two_functions_with_one_name_the_longer_counts() {
        let text = "impl From<u8> for A {\n    fn from() {}\n}\n\
                    impl From<u16> for A {\n    fn from() {\n    }\n}\n";
        assert_eq!(size(&measured("a.rs", text), Rule::Function, "A::from"), (2, 5));
    }

    #[test]
    fn a_test_module_does_not_count() {
        let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n";
        assert_eq!(size(&measured("a.rs", text), Rule::File, ""), (2, 1));
        // The module's file counts on its own; what follows its name is code like any other.
        let text = "#[cfg(test)]\nmod tests;\nfn f() {}\n";
        assert_eq!(size(&measured("a.rs", text), Rule::File, ""), (3, 1));
    }

    #[test]
    fn characters_count_not_bytes() {
        let text = "// ééé\n// ab\n// cdé\n";
        assert_eq!(size(&measured("a.rs", text), Rule::Line, ""), (6, 1));
    }

    #[test]
    fn only_a_library_root_is_measured_as_one() {
        let text = "//! Doc.\nmod a;\nfn f() {}\n";
        assert_eq!(size(&measured("a/src/lib.rs", text), Rule::Lib, ""), (1, 3));
        assert!(!measured("a/src/main.rs", text).iter().any(|m| m.subject.rule == Rule::Lib));
    }

    #[test]
    fn a_file_that_is_not_rust_is_named() {
        let file = TextFile { path: "a.rs".into(), text: "fn {".into() };
        assert!(all(&file).unwrap_err().starts_with("`a.rs` cannot be parsed"));
    }
}
