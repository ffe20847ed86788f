//! Boards: the line to the host, sleep, delays, and a count of instructions.

#[cfg(board = "mps2-an386")]
mod mps2_an386;
#[cfg(any(board = "qemu-virt-rv64", board = "qemu-virt-rv32"))]
mod qemu_virt;
#[cfg(board = "template")]
mod template;

#[cfg(board = "mps2-an386")]
pub(crate) use mps2_an386::{BOARD, Here, Uart};
#[cfg(any(board = "qemu-virt-rv64", board = "qemu-virt-rv32"))]
pub(crate) use qemu_virt::{BOARD, Here, Uart};
#[cfg(board = "template")]
pub(crate) use template::{BOARD, Here, Uart};

use core::ptr::{NonNull, with_exposed_provenance_mut};
use embedded_hal::delay::DelayNs;
use godwit_mmio::Window;

/// What the image's loop asks of its board.
pub(crate) trait Board: Sized {
    /// Delays, for start-up.
    type Delay: DelayNs;

    /// Sets the board up: the line's receive interrupt is enabled at the device and at the
    /// interrupt controller, and masked at the core, which it wakes all the same.
    fn start() -> (Self, Self::Delay);

    /// Takes what the host has sent over the line, and clears its interrupt.
    fn clear_line(&mut self);

    /// Sleeps until the line's interrupt is pending, and not at all if it is already.
    fn sleep(&mut self);

    /// Instructions so far, modulo 2^32; always 0 on a core that does not count them.
    fn instructions(&self) -> u32;
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
