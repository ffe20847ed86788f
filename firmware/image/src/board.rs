//! Boards: the line to the host, sleep, delays, and a count of instructions.

#[cfg(board = "mps2-an386")]
mod mps2_an386;
#[cfg(any(board = "qemu-virt-rv64", board = "qemu-virt-rv32"))]
mod qemu_virt;
#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
mod riscv_trap;
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
    ///
    /// The guard below the stack is in place from here on.
    fn start() -> (Self, Self::Delay);

    /// Takes what the host has sent over the line, and clears its interrupt.
    fn clear_line(&mut self);

    /// Sets the watchdog to [`WATCHDOG_MS`] from now: unless it is fed again or put to rest by
    /// then, it ends the firmware with [`Cause::Stalled`](godwit_regs::crash::Cause::Stalled).
    fn feed(&mut self);

    /// Puts the watchdog to rest, and sleeps until the line's interrupt is pending; not at all if
    /// it is already.
    fn sleep(&mut self);

    /// Starts to count instructions, from 0.
    fn count(&mut self);

    /// Instructions since [`Self::count`], modulo 2^32; always 0 on a board that cannot count
    /// them.
    fn counted(&self) -> u32;

    /// Stands still for a moment, with every interrupt off, for firmware that has ended.
    fn stand();
}

/// How long a turn of the loop may take: far more than any does, and little enough that a host
/// that waits for an answer need not.
#[cfg_attr(board = "template", allow(dead_code, reason = "the template names no watchdog"))]
pub(crate) const WATCHDOG_MS: u32 = 100;

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
