//! Image files of the built images, and cards that boot from a flash file.

use godwit_nested::flat;
use godwit_regs::boot::Booted;
use godwit_shim::{Card, Mcu, QemuBoard, QemuMcu};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_slots::{BoardName, DEVELOPMENT_KEY, Header, SecretKey, Version, seal};
use godwit_types::{Engines, Identity};
use std::path::Path;

/// A board's built image as an image file, signed with the development key.
///
/// # Panics
///
/// When there is none.
pub fn image_file(board: &str, version: [u16; 3], security_version: u32) -> Vec<u8> {
    let elf = godwit_images::image(board).expect("an image for every board is built");
    image_file_of(elf, board, version, security_version)
}

/// The same of another ELF file.
///
/// # Panics
///
/// When it is none.
pub fn image_file_of(elf: &[u8], board: &str, version: [u16; 3], security_version: u32) -> Vec<u8> {
    let flat = flat(elf).expect("it is an ELF file");
    let header = Header {
        board: BoardName::new(board).expect("boards have plain names"),
        version: Version::new(version),
        security_version,
        load: flat.load,
        entry: flat.entry,
        length: 0, // both are the payload's
        sha256: [0; 32],
    };
    let key = SecretKey::from_text(DEVELOPMENT_KEY).expect("the key in the tree is one");
    [&seal(header, &flat.bytes, &key)[..], &flat.bytes].concat()
}

/// A board that boots from a flash file.
///
/// # Panics
///
/// When there is no such board.
pub fn flashed(board: &str, flash: &Path) -> Mcu {
    let board = QemuBoard::named(board).expect("QEMU emulates every board");
    Mcu::Qemu(QemuMcu::with_flash(board, flash.to_owned()))
}

/// Boots a card from a flash file: what its boot stage has started, or what the host says when
/// the firmware does not come to rest.
///
/// # Errors
///
/// What the host says.
///
/// # Panics
///
/// When the system gives no memory, or QEMU does not start.
pub fn booted(board: &str, flash: &Path) -> Result<Booted, String> {
    let identity = Identity {
        fb_bytes: 1 << 20,
        bar_bytes: 1 << 20,
        context_bytes: 1 << 20,
        context_layout: 1,
        engines: Engines::ALL,
    };
    let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
    let mut card = Card::new(config, &flashed(board, flash)).expect("a card");
    card.start().map_err(|error| error.to_string())?;
    Ok(card.booted().expect("a boot stage says what it starts"))
}
