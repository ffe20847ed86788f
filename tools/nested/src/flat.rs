//! A program as the bytes that are to be in its board's memory.

use object::elf::{FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

/// A linked program without its file's structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    /// Address of the first byte.
    pub load: u64,
    /// Address that the program starts at.
    pub entry: u64,
    /// All that is loaded, with zeros between.
    pub bytes: Vec<u8>,
}

/// The most bytes that a flat program may have: what lies further apart is a mistake in a linker
/// script.
const BYTES_MAX: u64 = 16 << 20;

/// Takes what an ELF file loads, by its load addresses.
///
/// # Errors
///
/// Why there is nothing to take, or too much.
pub fn flat(elf: &[u8]) -> Result<Flat, String> {
    let parsed = match FileKind::parse(elf) {
        Ok(FileKind::Elf32) => segments::<FileHeader32<Endianness>>(elf),
        Ok(FileKind::Elf64) => segments::<FileHeader64<Endianness>>(elf),
        Ok(_) | Err(_) => return Err("it is no ELF file".to_owned()),
    };
    let (entry, mut segments) = parsed.map_err(|error| error.to_string())?;
    segments.sort_by_key(|(at, _)| *at);
    let load = segments.first().map(|(at, _)| *at).ok_or("it loads nothing")?;
    let mut bytes = Vec::new();
    for (at, data) in segments {
        let offset = at - load;
        if offset < bytes.len() as u64 {
            return Err(format!("what it loads at {at:#x} lies over something else"));
        }
        if offset + data.len() as u64 > BYTES_MAX {
            return Err(format!("it loads more than {BYTES_MAX} bytes"));
        }
        bytes.resize(offset as usize, 0);
        bytes.extend_from_slice(data);
    }
    Ok(Flat { load, entry, bytes })
}

/// A file's entry, and address and bytes of what it loads.
type Loaded<'a> = (u64, Vec<(u64, &'a [u8])>);

fn segments<E: FileHeader<Endian = Endianness>>(elf: &[u8]) -> Result<Loaded<'_>, String> {
    let said = |error: object::Error| error.to_string();
    let header = E::parse(elf).map_err(said)?;
    let endian = header.endian().map_err(said)?;
    let mut loaded = Vec::new();
    for segment in header.program_headers(endian, elf).map_err(said)? {
        if segment.p_type(endian) == PT_LOAD && segment.p_filesz(endian).into() > 0 {
            let data = segment.data(endian, elf).map_err(|()| "a segment is not in the file")?;
            loaded.push((segment.p_paddr(endian).into(), data));
        }
    }
    Ok((header.e_entry(endian).into(), loaded))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of 32 bits with these segments: address, load address, bytes.
    fn elf(segments: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0".to_vec();
        for word in [1, 0x104, 52, 0, 0, 52 | 32 << 16, segments.len() as u32, 0] {
            file.extend(u32::to_le_bytes(word));
        }
        let mut at = 52 + 32 * segments.len() as u32;
        for (address, load, data) in segments {
            let length = data.len() as u32;
            for word in [1, at, *address, *load, length, length, 5, 4] {
                file.extend(u32::to_le_bytes(word));
            }
            at += length;
        }
        file.extend(segments.iter().flat_map(|(_, _, data)| data.iter()));
        file
    }

    #[test]
    fn load_addresses_count_and_gaps_are_zero() {
        let file = elf(&[(0x2000, 0x106, b"data"), (0x100, 0x100, b"code"), (0x3000, 0, b"")]);
        let expected = Flat { load: 0x100, entry: 0x104, bytes: b"code\0\0data".to_vec() };
        assert_eq!(flat(&file), Ok(expected));
    }

    #[test]
    fn what_cannot_be_flat_is_refused() {
        let why = |file: &[u8]| flat(file).unwrap_err();
        assert_eq!(why(b"no ELF file"), "it is no ELF file");
        assert_eq!(why(&elf(&[])), "it loads nothing");
        let over = elf(&[(0, 0x100, b"code"), (0, 0x102, b"data")]);
        assert_eq!(why(&over), "what it loads at 0x102 lies over something else");
        let far = elf(&[(0, 0x100, b"code"), (0, 0x2000_0000, b"data")]);
        assert_eq!(why(&far), "it loads more than 16777216 bytes");
        let short = elf(&[(0, 0x100, b"code")]);
        assert_eq!(why(&short[..short.len() - 1]), "a segment is not in the file");
    }
}
