//! Rust source as a tree and as tokens, for the checks that read it.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, MetaList, Token};

/// One token, flattened, and the line it starts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The token as written; brackets are tokens of their own.
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// The tokens of a file, in order. Comments are gone; a doc comment or a string is one token,
/// so that what is said about code is not taken for code.
pub(crate) fn words(text: &str) -> Result<Vec<Word>, proc_macro2::LexError> {
    let mut out = Vec::new();
    flatten(text.parse()?, &mut out);
    Ok(out)
}

fn flatten(stream: TokenStream, out: &mut Vec<Word>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push(Word { text: open.to_owned(), line });
                flatten(group.stream(), out);
                let line = group.span_close().start().line;
                out.push(Word { text: close.to_owned(), line });
            }
            other => out.push(Word { text: other.to_string(), line }),
        }
    }
}

/// One attribute of a file, taken out of any `cfg_attr` around it.
pub(crate) struct Applied {
    /// The condition of the `cfg_attr`, without spaces.
    pub(crate) condition: Option<String>,
    /// The attribute itself.
    pub(crate) meta: Meta,
}

/// The attributes that apply, with the condition under which each does.
pub(crate) fn applied(attrs: &[Attribute]) -> Vec<Applied> {
    let mut out = Vec::new();
    for attr in attrs {
        match &attr.meta {
            Meta::List(list) if list.path.is_ident("cfg_attr") => {
                let mut parts = nested(list).into_iter();
                let condition = parts.next().as_ref().map(condition_text);
                out.extend(parts.map(|meta| Applied { condition: condition.clone(), meta }));
            }
            meta => out.push(Applied { condition: None, meta: meta.clone() }),
        }
    }
    out
}

/// What stands in the brackets of a list such as `deny(a, b)`.
pub(crate) fn nested(list: &MetaList) -> Vec<Meta> {
    let parsed = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    parsed.map(|metas| metas.into_iter().collect()).unwrap_or_default()
}

fn condition_text(meta: &Meta) -> String {
    match meta {
        Meta::Path(path) => path_text(path),
        Meta::List(list) => {
            let inner: Vec<String> = nested(list).iter().map(condition_text).collect();
            format!("{}({})", path_text(&list.path), inner.join(","))
        }
        Meta::NameValue(pair) => {
            let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(value), .. }) = &pair.value else {
                return path_text(&pair.path);
            };
            format!("{}={:?}", path_text(&pair.path), value.value())
        }
    }
}

/// A path as it is written, without spaces.
pub(crate) fn path_text(path: &syn::Path) -> String {
    let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
    parts.join("::")
}

/// Whether an item is compiled for tests only.
pub(crate) fn is_test_only(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            nested(list).first().is_some_and(requires_test)
        }
        _ => false,
    })
}

fn requires_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => nested(list).iter().any(requires_test),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use syn::ItemMod;

    use super::{applied, is_test_only, words};

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "/// unsafe\nfn f() { /* unsafe */ \"unsafe\"; }\n";
        assert!(words(text).unwrap().iter().all(|word| word.text != "unsafe"));
        let found = words("fn f() {\n    unsafe {}\n}\n").unwrap();
        assert_eq!(found.iter().find(|word| word.text == "unsafe").unwrap().line, 2);
    }

    #[test]
    fn a_condition_is_kept_without_spaces() {
        let text = "#![cfg_attr(not( any(test, feature = \"std\") ), no_std, no_main)]\n";
        let file = syn::parse_file(text).unwrap();
        let found = applied(&file.attrs);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].condition.as_deref(), Some("not(any(test,feature=\"std\"))"));
        assert!(found[1].meta.path().is_ident("no_main"));
    }

    #[test]
    fn only_what_needs_test_is_test_only() {
        let test_only = |text: &str| is_test_only(&syn::parse_str::<ItemMod>(text).unwrap().attrs);
        assert!(test_only("#[cfg(test)] mod tests {}"));
        assert!(test_only("#[cfg(all(test, unix))] mod tests {}"));
        assert!(!test_only("#[cfg(not(test))] mod real {}"));
        assert!(!test_only("#[cfg(any(test, unix))] mod either {}"));
    }
}
