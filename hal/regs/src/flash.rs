//! Where images go: the memory that each board loads one into, and the flash that it boots from.

use crate::window;
use static_assertions::const_assert;

/// The boot stage, from the flash's first byte.
pub const BOOT_AT: usize = 0;
/// The board and the public key that images are checked with: the boot stage's last kibibyte.
pub const KEY_AT: usize = BOOT_AT + BOOT_BYTES - KEY_BYTES;
/// First place of the state: a sector of its own.
pub const STATE_A_AT: usize = BOOT_AT + BOOT_BYTES;
/// Second place of the state.
pub const STATE_B_AT: usize = STATE_A_AT + STATE_BYTES;
/// First slot.
pub const SLOT_A_AT: usize = 0x20_0000;
/// Second slot.
pub const SLOT_B_AT: usize = SLOT_A_AT + SLOT_BYTES;
/// End of all that is used.
pub const END: usize = SLOT_B_AT + SLOT_BYTES;

/// Bytes of the boot stage, the key included.
pub const BOOT_BYTES: usize = 0x10_0000;
/// Bytes of the key's place.
pub const KEY_BYTES: usize = 1024;
/// Bytes of each place of the state.
pub const STATE_BYTES: usize = 0x4_0000;
/// Bytes of each slot.
pub const SLOT_BYTES: usize = 0x10_0000;

const_assert!(STATE_B_AT + STATE_BYTES <= SLOT_A_AT);

/// A board's flash, as the core reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// Address of its first byte.
    pub address: usize,
    /// Its bytes; [`END`] at least.
    pub bytes: usize,
}

/// Where a board has its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The board's name.
    pub board: &'static str,
    /// First address that an image may load at.
    pub load_from: u64,
    /// End of the addresses that an image may load at. What lies above is the boot stage's
    /// while it loads one.
    pub load_end: u64,
    /// The flash with the slots; `None` where the board boots in another way.
    pub bank: Option<Bank>,
}

/// QEMU's `virt` machine, of either width: with a file for its first flash the core starts there.
const QEMU_VIRT: Place = Place {
    board: window::QEMU_VIRT_RV64.name,
    load_from: 0x8000_0000,
    load_end: 0x800c_0000,
    bank: Some(Bank { address: 0x2000_0000, bytes: 0x200_0000 }),
};

/// Every board that has an image. Arm's MPS2 board has no flash in QEMU.
pub const PLACES: [Place; 3] = [
    QEMU_VIRT,
    Place { board: window::QEMU_VIRT_RV32.name, ..QEMU_VIRT },
    Place { board: window::MPS2_AN386.name, load_from: 0, load_end: 0x40_0000, bank: None },
];

/// The place of a board's image; `None` when there is no such board.
pub fn place(board: &str) -> Option<&'static Place> {
    PLACES.iter().find(|place| place.board == board)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::BOARDS;

    #[test]
    fn every_board_has_a_place_below_its_window() {
        assert_eq!(PLACES.len(), BOARDS.len());
        for board in BOARDS {
            let place = place(board.name).expect("every board has a place");
            assert!(place.load_from < place.load_end, "{}", board.name);
            assert!(place.load_end <= board.window_address as u64, "{}", board.name);
            assert!(place.bank.is_none_or(|bank| bank.bytes >= END), "{}", board.name);
        }
    }
}
