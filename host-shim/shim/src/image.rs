//! Whether a file is an image for a board, before a microcontroller is given it.

use godwit_regs::window::{Board, WINDOW_BYTES};
use object::elf::{EM_ARM, EM_RISCV, PT_LOAD};
use object::read::elf::{ElfFile32, ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

/// Longest image that is believed.
pub const IMAGE_BYTES_MAX: usize = 16 << 20;

/// Why a file is no image for a board.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is far too long.
    #[error("it has {bytes} bytes; an image has up to {IMAGE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is no ELF file, or a broken one.
    #[error("it is no whole ELF file: {why}")]
    Elf {
        /// What is wrong.
        why: String,
    },
    /// It is for another core.
    #[error("it is for another core than that of {board} ({target})")]
    Core {
        /// The board.
        board: &'static str,
        /// The Rust target of its core.
        target: &'static str,
    },
    /// It has nothing to load.
    #[error("it loads nothing")]
    Empty,
    /// It reaches into the window.
    #[error(
        "it loads {from:#x} to {end:#x}, which reaches into the window that is shared with the \
         host, from {window:#x} on"
    )]
    Window {
        /// The first address.
        from: u64,
        /// After the last.
        end: u64,
        /// The window's first address.
        window: u64,
    },
}

/// Checks a file.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_image(board: &Board, file: &[u8]) -> Result<(), ImageError> {
    if file.len() > IMAGE_BYTES_MAX {
        return Err(ImageError::TooLong { bytes: file.len() });
    }
    let broken = |error: object::Error| ImageError::Elf { why: error.to_string() };
    let is_wide = board.target.starts_with("riscv64");
    let machine = if board.target.starts_with("riscv") { EM_RISCV } else { EM_ARM };
    let kind = FileKind::parse(file).map_err(broken)?;
    match (kind, is_wide) {
        (FileKind::Elf64, true) => {
            let elf = ElfFile64::<Endianness>::parse(file).map_err(broken)?;
            check(board, file, elf.elf_header(), elf.elf_program_headers(), machine)
        }
        (FileKind::Elf32, false) => {
            let elf = ElfFile32::<Endianness>::parse(file).map_err(broken)?;
            check(board, file, elf.elf_header(), elf.elf_program_headers(), machine)
        }
        (FileKind::Elf32 | FileKind::Elf64, _) => Err(other_core(board)),
        (other, _) => Err(ImageError::Elf { why: format!("it is {other:?}") }),
    }
}

fn other_core(board: &Board) -> ImageError {
    ImageError::Core { board: board.name, target: board.target }
}

fn check<H: FileHeader<Endian = Endianness>>(
    board: &Board,
    file: &[u8],
    header: &H,
    segments: &[H::ProgramHeader],
    machine: object::elf::Machine,
) -> Result<(), ImageError> {
    let endian = Endianness::Little;
    if header.e_machine(endian) != machine {
        return Err(other_core(board));
    }
    let mut any = false;
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD) {
        any = true;
        segment.data(endian, file).map_err(|()| ImageError::Elf {
            why: "a segment reaches past the file's end".to_owned(),
        })?;
        let from: u64 = segment.p_paddr(endian).into();
        let end = from.saturating_add(segment.p_memsz(endian).into());
        let window = board.window_address as u64;
        if from < window + WINDOW_BYTES as u64 && window < end {
            return Err(ImageError::Window { from, end, window });
        }
    }
    if any { Ok(()) } else { Err(ImageError::Empty) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_regs::window::{MPS2_AN386, QEMU_VIRT_RV32, QEMU_VIRT_RV64};

    /// An ELF file of one segment, as QEMU's RV64 board would load it.
    fn elf(at: u64, bytes: u64) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        for half in [2u16, 243] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1u32.to_le_bytes());
        for wide in [at, 64, 0] {
            file.extend(wide.to_le_bytes());
        }
        file.extend(0u32.to_le_bytes());
        for half in [64u16, 56, 1, 0, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        for word in [1u32, 5] {
            file.extend(word.to_le_bytes());
        }
        for wide in [120, at, at, 16, bytes, 4] {
            file.extend(wide.to_le_bytes());
        }
        file.extend([0; 16]);
        file
    }

    #[test]
    fn an_image_of_the_board_passes_and_others_are_named() {
        let file = elf(0x8000_0000, 4096);
        assert_eq!(check_image(&QEMU_VIRT_RV64, &file), Ok(()));
        for board in [QEMU_VIRT_RV32, MPS2_AN386] {
            let error = check_image(&board, &file).unwrap_err();
            assert_eq!(error, other_core(&board));
        }
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_refused() {
        let file = elf(0x8000_0000, 4096);
        for length in 0..file.len() {
            let error = check_image(&QEMU_VIRT_RV64, &file[..length]).unwrap_err();
            assert!(matches!(error, ImageError::Elf { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn a_segment_in_the_window_is_refused() {
        let window = QEMU_VIRT_RV64.window_address as u64;
        for (at, bytes) in [(window - 16, 17), (window + 8, 16), (0, u64::MAX)] {
            let error = check_image(&QEMU_VIRT_RV64, &elf(at, bytes)).unwrap_err();
            assert!(matches!(error, ImageError::Window { .. }), "{error}");
        }
    }
}
