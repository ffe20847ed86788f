//! The end of the firmware by itself: a record for the host, and then nothing more.

use crate::board::{self, Uart};
use core::panic::PanicInfo;
use godwit_regs::crash::Cause;

/// Leaves a record, tells the host to look, and stands still.
pub(crate) fn end(cause: Cause) -> ! {
    board::window().leave(cause);
    Uart.ring();
    loop {
        #[cfg(target_arch = "arm")]
        cortex_m::asm::wfi();
        #[cfg(not(target_arch = "arm"))]
        riscv::asm::wfi();
    }
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    end(Cause::Panic { line: info.location().map_or(0, |location| location.line()) })
}
