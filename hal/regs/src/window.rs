//! The window of RAM that a microcontroller shares with its host, and the boards that have one.
//!
//! Firmware and host both read this, so that no offset exists twice. The window lies outside
//! of everything that an image loads: QEMU's system reset loads all of an image's segments
//! again, and what is retained must outlive it.

use crate::map::MAP_BYTES;
use static_assertions::const_assert;

/// The register map.
pub const MAP_AT: usize = 0;
/// First place of the retained record.
pub const RETAINED_A_AT: usize = MAP_BYTES;
/// Second place of the retained record.
pub const RETAINED_B_AT: usize = RETAINED_A_AT + RETAINED_BYTES;
/// What the firmware says when it ends by itself: see [`crate::crash`].
pub const CRASH_AT: usize = RETAINED_B_AT + RETAINED_BYTES;
/// The ring of the firmware's log.
pub const LOG_AT: usize = 0x5_0000;
/// How far the ring is written: see [`crate::log`].
pub const LOG_CONTROL_AT: usize = LOG_AT + LOG_BYTES;
/// What the boot stage says of the image that it starts: see [`crate::boot`].
pub const BOOT_AT: usize = LOG_CONTROL_AT + LOG_CONTROL_BYTES;

/// Bytes of each place of the retained record.
pub const RETAINED_BYTES: usize = 4096;
/// Bytes of the crash record.
pub const CRASH_BYTES: usize = 4096;
/// Bytes of the log's ring.
pub const LOG_BYTES: usize = 0x1_0000;
/// Bytes that are kept for the words beside it.
pub const LOG_CONTROL_BYTES: usize = 4096;
/// Bytes of the boot stage's record.
pub const BOOT_BYTES: usize = 4096;
/// Bytes of the whole window.
pub const WINDOW_BYTES: usize = 0x8_0000;

const_assert!(CRASH_AT + CRASH_BYTES <= LOG_AT);
const_assert!(BOOT_AT + BOOT_BYTES <= WINDOW_BYTES);

/// A board: where an image finds the window, and where the host finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// Its name; `linker/<name>.x` is its linker script.
    pub name: &'static str,
    /// The Rust target of its core.
    pub target: &'static str,
    /// Bytes of the RAM that the host has as a file.
    pub ram_bytes: u64,
    /// First byte of the window in that RAM.
    pub window_at: u64,
    /// Address of the window's first byte on the microcontroller.
    pub window_address: usize,
}

/// QEMU's `virt` machine, 64 bits wide. The firmware is in the first MiB of RAM, and QEMU's
/// device tree in the last two.
pub const QEMU_VIRT_RV64: Board = Board {
    name: "qemu-virt-rv64",
    target: "riscv64imac-unknown-none-elf",
    ram_bytes: 0x100_0000,
    window_at: 0x10_0000,
    window_address: 0x8010_0000,
};

/// QEMU's `virt` machine, 32 bits wide.
pub const QEMU_VIRT_RV32: Board =
    Board { name: "qemu-virt-rv32", target: "riscv32imac-unknown-none-elf", ..QEMU_VIRT_RV64 };

/// Arm's MPS2 board with a Cortex-M4 (AN386). The firmware is in SSRAM, and all of the PSRAM
/// is the host's to see.
pub const MPS2_AN386: Board = Board {
    name: "mps2-an386",
    target: "thumbv7em-none-eabihf",
    ram_bytes: 0x100_0000,
    window_at: 0,
    window_address: 0x2100_0000,
};

/// The board to copy: see `firmware/image/PORTING.md`. Nobody has one, so it is in no list of
/// those that are booted; it is built when it is asked for by its name.
pub const TEMPLATE: Board = Board {
    name: "template",
    target: "riscv64imac-unknown-none-elf",
    // Bytes that the host has of the board's memory, as a file or through a BAR.
    ram_bytes: 0x100_0000,
    // Where in them the window is; a multiple of a page, so that the host can map it.
    window_at: 0x10_0000,
    // Where the core has it; a multiple of `MAP_BYTES`.
    window_address: 0x8010_0000,
};

/// Every board that has an image.
pub const BOARDS: [Board; 3] = [QEMU_VIRT_RV64, QEMU_VIRT_RV32, MPS2_AN386];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_within_what_the_host_can_see() {
        for board in BOARDS.iter().chain([&TEMPLATE]) {
            assert!(board.window_at + WINDOW_BYTES as u64 <= board.ram_bytes, "{}", board.name);
            assert_eq!(board.window_address % MAP_BYTES, 0, "{}", board.name);
        }
    }
}
