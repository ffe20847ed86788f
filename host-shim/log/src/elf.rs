//! The image's file, as the decoder wants it.

use object::elf::{FileHeader64, SHT_SYMTAB};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{LittleEndian, U64};
use std::borrow::Cow;

/// The section of the log's texts.
const TEXTS: &[u8] = b".defmt";
/// Where a symbol of 64 bits has its value.
const VALUE_AT: usize = 8;
const SYMBOL_BYTES: usize = 24;

/// The file with the texts at the low halves of their addresses, which are what frames name
/// them by: see `linker/log-rv64.x`. A file that needs no change, or that is no ELF file of 64
/// bits, is as it was.
pub(crate) fn with_low_texts(elf: &[u8]) -> Cow<'_, [u8]> {
    match moved(elf) {
        Some(values) => {
            let mut bytes = elf.to_vec();
            for (at, value) in values {
                if let Some(place) = bytes.get_mut(at..at + size_of::<u64>()) {
                    place.copy_from_slice(&value.to_le_bytes());
                }
            }
            Cow::Owned(bytes)
        }
        None => Cow::Borrowed(elf),
    }
}

/// Where in the file the values of the texts' symbols are, and what they are to be.
fn moved(elf: &[u8]) -> Option<Vec<(usize, u64)>> {
    let header = FileHeader64::<LittleEndian>::parse(elf).ok()?;
    let sections = header.sections(LittleEndian, elf).ok()?;
    let (texts, _) = sections.section_by_name(LittleEndian, TEXTS)?;
    let symbols = sections.symbols(LittleEndian, elf, SHT_SYMTAB).ok()?;
    let table = sections.section(symbols.section()).ok()?.sh_offset(LittleEndian) as usize;
    let here = symbols.enumerate().filter(|(index, symbol)| {
        symbols.symbol_section(LittleEndian, symbol, *index) == Ok(Some(texts))
    });
    let value =
        |symbol: &object::elf::Sym64<LittleEndian>| -> U64<LittleEndian> { symbol.st_value };
    Some(
        here.map(|(index, symbol)| {
            let at = table + index.0 * SYMBOL_BYTES + VALUE_AT;
            (at, value(symbol).get(LittleEndian) & 0xffff)
        })
        .collect(),
    )
}
