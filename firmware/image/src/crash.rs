//! The end of the firmware by itself: a record for the host, the engines as the host has asked
//! for, and then nothing more.

use crate::board::{self, Board, Here, Uart};
use core::panic::PanicInfo;
use embedded_hal::digital::OutputPin;
use godwit_mmio::{AttentionWord, leave_engines};
use godwit_regs::crash::{Cause, Core, REGISTERS};

/// The core's registers where nobody has saved them.
pub(crate) const NO_REGISTERS: [u64; REGISTERS] = [0; REGISTERS];

/// What left this image's records.
const CORE: Core = if cfg!(target_arch = "arm") { Core::CortexM } else { Core::RiscV };

/// Leaves a record, tells the host to look, and stands still.
pub(crate) fn end(cause: Cause, registers: &[u64; REGISTERS]) -> ! {
    let window = board::window();
    window.leave(cause, CORE, registers);
    leave_engines(&window.words());
    let Ok(()) = AttentionWord::new(window.words()).set_high();
    Uart.ring();
    loop {
        Here::stand();
    }
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    let line = info.location().map_or(0, |location| location.line());
    end(Cause::Panic { line }, &NO_REGISTERS)
}
