//! What a text may ask of the decoder.
//!
//! The decoder makes room for as many values as a frame says that a list has, before it looks
//! whether they are there; values without bytes never end. It pads to as many columns as a text
//! says, and ends the program at a date that is none. Texts are out of a file and frames out of
//! memory that others write, so no text may ask for any of it. With the rest a line is no longer
//! than the texts that a frame has room to name.

use crate::reader::LogError;
use defmt_parser::{DisplayHint, Fragment, Parameter, ParserMode, Type, parse};
use object::{File, Object as _, ObjectSymbol as _};

/// Longest text that is believed.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;
/// Most columns that a number is padded to.
const COLUMNS_MAX: usize = 128;

/// Checks every text of an image's log.
pub(crate) fn check(elf: &[u8]) -> Result<(), LogError> {
    let file = File::parse(elf).map_err(|error| LogError::unreadable(&error))?;
    for symbol in file.symbols() {
        let Some(text) = symbol.name().ok().and_then(text) else { continue };
        if let Err(why) = check_text(&text) {
            let text = text.chars().take(TEXT_BYTES_MAX).collect();
            return Err(LogError::Unbounded { text, why });
        }
    }
    Ok(())
}

/// The text that is in a symbol's name; `None` when it has none.
fn text(name: &str) -> Option<String> {
    let symbol: serde_json::Value = serde_json::from_str(name).ok()?;
    Some(symbol.get("data")?.as_str()?.to_owned())
}

/// Why a text is not believed.
fn check_text(text: &str) -> Result<(), &'static str> {
    if text.len() > TEXT_BYTES_MAX {
        return Err("it is far too long");
    }
    // What cannot be parsed is not decoded either: a string, or a text that frames fail with.
    let fragments = parse(text, ParserMode::ForwardsCompatible).unwrap_or_default();
    fragments.iter().try_for_each(|fragment| match fragment {
        Fragment::Literal(_) => Ok(()),
        Fragment::Parameter(parameter) => check_parameter(parameter),
    })
}

fn check_parameter(parameter: &Parameter) -> Result<(), &'static str> {
    if let Type::FormatSlice | Type::FormatArray(_) = parameter.ty {
        return Err("it has a list of values, of any length");
    }
    match parameter.hint {
        Some(
            DisplayHint::NoHint { zero_pad }
            | DisplayHint::Hexadecimal { zero_pad, .. }
            | DisplayHint::Octal { zero_pad, .. }
            | DisplayHint::Binary { zero_pad, .. },
        ) if zero_pad > COLUMNS_MAX => Err("it has far too many columns"),
        Some(DisplayHint::ISO8601(_)) => Err("it has a date"),
        Some(DisplayHint::Cbor) => Err("it has CBOR"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_a_bound_are_refused_and_others_are_not() {
        for text in [
            "{=[?]}",
            "a {=[?;4]} b",
            "A|B {=u8} {=[?]:x}",
            "{=u8:0129}",
            "{=u32:#0999999999x}",
            "{=u64:iso8601ms}",
            "{=[u8]:cbor}",
            &"x".repeat(TEXT_BYTES_MAX + 1),
        ] {
            assert!(check_text(text).is_err(), "{text}");
        }
        for text in ["", "{", "{=?}: {=istr}", "A({=u8})|B", "{=[u8]:a}", "{=u64:#018x}", "{=str}"]
        {
            assert_eq!(check_text(text), Ok(()), "{text}");
        }
    }
}
