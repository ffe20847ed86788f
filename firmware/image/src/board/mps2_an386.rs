//! Arm's MPS2 board with a Cortex-M4 (AN386), as QEMU emulates it: a CMSDK APB UART.

use crate::crash;
use crate::register::Register;
use crate::run;
use cortex_m::delay::Delay;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::{NVIC, Peripherals};
use cortex_m_rt::{ExceptionFrame, entry, exception};
use godwit_regs::crash::Cause;
use godwit_regs::window;

/// What the host knows of this board.
pub(crate) const BOARD: window::Board = window::MPS2_AN386;

/// The board's system clock.
const CYCLES_PER_SECOND: u32 = 25_000_000;

/// The UART's data register.
// SAFETY: the board's first UART has word registers from 0x4000_4000.
const DATA: Register<u32> = unsafe { Register::new(0x4000_4000) };
/// Its state; bit 1 says that there is received data.
// SAFETY: as above.
const STATE: Register<u32> = unsafe { Register::new(0x4000_4004) };
/// Its control.
// SAFETY: as above.
const CONTROL: Register<u32> = unsafe { Register::new(0x4000_4008) };
/// Its interrupts, cleared where 1 is written; bit 1 is the receiver's.
// SAFETY: as above.
const INTERRUPT_CLEAR: Register<u32> = unsafe { Register::new(0x4000_400c) };
/// Its divider, 16 at least.
// SAFETY: as above.
const DIVIDER: Register<u32> = unsafe { Register::new(0x4000_4010) };

/// Sender on, receiver on, receiver's interrupt on.
const CONTROL_BITS: u32 = 1 | 1 << 1 | 1 << 3;
/// The receiver's bit in `STATE` and in `INTERRUPT_CLEAR`.
const RECEIVED: u32 = 1 << 1;

/// The interrupt of the first UART's receiver.
#[derive(Clone, Copy, Debug)]
struct Received;

// SAFETY: the board's interrupt 0 is the first UART's receiver.
unsafe impl InterruptNumber for Received {
    fn number(self) -> u16 {
        0
    }
}

/// The sending half of the line to the host.
#[derive(Debug)]
pub(crate) struct Uart;

impl Uart {
    /// Sends a byte. It says nothing but "look", so one that overtakes another that is still
    /// in the transmitter costs nothing, and there is no wait.
    pub(crate) fn ring(&mut self) {
        DATA.write(u32::from(b'!'));
    }
}

/// This board.
#[derive(Debug)]
pub(crate) struct Here;

impl super::Board for Here {
    type Delay = Delay;

    fn start() -> (Self, Delay) {
        cortex_m::interrupt::disable();
        DIVIDER.write(16);
        CONTROL.write(CONTROL_BITS);
        // SAFETY: interrupts stay disabled, so no handler ever runs; this one only ends a
        // `wfi`.
        unsafe { NVIC::unmask(Received) };
        // SAFETY: this is called once, at the start, and nobody else has them.
        let core = unsafe { Peripherals::steal() };
        (Self, Delay::new(core.SYST, CYCLES_PER_SECOND))
    }

    fn clear_line(&mut self) {
        // The next byte comes only when this one is taken, and its interrupt is a new one.
        INTERRUPT_CLEAR.write(RECEIVED);
        NVIC::unpend(Received);
        if STATE.read() & RECEIVED != 0 {
            DATA.read();
        }
    }

    fn sleep(&mut self) {
        cortex_m::asm::wfi();
    }

    fn instructions(&self) -> u32 {
        0
    }
}

#[entry]
fn main() -> ! {
    run::run()
}

// SAFETY: it returns never, and needs nothing that the fault may have broken but the window.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    crash::end(Cause::Exception { number: 3, at: u64::from(frame.pc()), value: 0 })
}
