//! QEMU's `virt` machine, 64 or 32 bits wide: its flash, its window, its UART.

use core::ptr::{
    NonNull, slice_from_raw_parts, with_exposed_provenance, with_exposed_provenance_mut,
};
use godwit_mmio::Window;
use godwit_regs::flash::{self, Bank, Place};
use godwit_regs::window::{self, Board};

#[cfg(board = "qemu-virt-rv64")]
const BOARD: Board = window::QEMU_VIRT_RV64;
#[cfg(board = "qemu-virt-rv32")]
const BOARD: Board = window::QEMU_VIRT_RV32;

/// Where the image goes.
pub(crate) const PLACE: Place = {
    let [rv64, rv32, _] = flash::PLACES;
    if cfg!(board = "qemu-virt-rv64") { rv64 } else { rv32 }
};

const BANK: Bank = match PLACE.bank {
    Some(bank) => bank,
    None => panic!("a board without a flash has no boot stage"),
};

/// The UART's data register.
const UART_DATA: usize = 0x1000_0000;

/// All of the flash that is used.
pub(crate) fn flash() -> &'static [u8] {
    const { assert!(BANK.address != 0 && BANK.bytes >= flash::END) };
    let bytes = slice_from_raw_parts(with_exposed_provenance::<u8>(BANK.address), flash::END);
    // SAFETY: the machine has flash there, which is read like memory, and nothing of this
    // program writes to it.
    unsafe { &*bytes }
}

/// The window that is shared with the host.
pub(crate) fn window() -> Window {
    const { assert!(BOARD.window_address != 0) };
    let address = with_exposed_provenance_mut(BOARD.window_address);
    // SAFETY: the address is not 0, as was just asserted.
    let base = unsafe { NonNull::new_unchecked(address) };
    // SAFETY: the board has RAM there for the whole window, the linker script keeps the
    // program's own memory out of it, and it is reached through `Window` only.
    unsafe { Window::new(base) }
}

/// Tells the host to look.
pub(crate) fn ring() {
    let data = core::ptr::without_provenance_mut::<u8>(UART_DATA);
    // SAFETY: the machine's NS16550A has its data register there, one byte wide.
    unsafe { data.write_volatile(b'!') };
}
