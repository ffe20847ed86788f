//! QEMU's `virt` machine, 64 or 32 bits wide: an NS16550A, a PLIC and a CLINT.

use super::{WATCHDOG_MS, riscv_trap};
use crate::register::Register;
use crate::run;
use godwit_regs::window;
use riscv::delay::McycleDelay;
use riscv::register::minstret;

/// What the host knows of this board.
#[cfg(board = "qemu-virt-rv64")]
pub(crate) const BOARD: window::Board = window::QEMU_VIRT_RV64;
/// What the host knows of this board.
#[cfg(board = "qemu-virt-rv32")]
pub(crate) const BOARD: window::Board = window::QEMU_VIRT_RV32;

/// Under `-icount shift=0` an instruction takes a nanosecond.
const CYCLES_PER_SECOND: u32 = 1_000_000_000;

/// The UART's data register.
// SAFETY: the machine's NS16550A has byte registers from 0x1000_0000.
const DATA: Register<u8> = unsafe { Register::new(0x1000_0000) };
/// Its interrupt enables; bit 0 is for received data.
// SAFETY: as above.
const INTERRUPT_ENABLE: Register<u8> = unsafe { Register::new(0x1000_0001) };
/// Its line status; bit 0 says that there is received data.
// SAFETY: as above.
const LINE_STATUS: Register<u8> = unsafe { Register::new(0x1000_0005) };

/// The UART's interrupt at the PLIC.
const UART_INTERRUPT: u32 = 10;
/// That interrupt's priority.
// SAFETY: the machine's PLIC has word registers from 0x0c00_0000: a priority for each source.
const PRIORITY: Register<u32> = unsafe { Register::new(0x0c00_0028) };
/// Enables of the first 32 sources for the first hart's machine mode.
// SAFETY: as above.
const ENABLE: Register<u32> = unsafe { Register::new(0x0c00_2000) };
/// Threshold of the same.
// SAFETY: as above.
const THRESHOLD: Register<u32> = unsafe { Register::new(0x0c20_0000) };
/// Claim, when read, and complete, when written, of the same.
// SAFETY: as above.
const CLAIM: Register<u32> = unsafe { Register::new(0x0c20_0004) };

/// The first hart's `mtimecmp`, whose interrupt is pending while `mtime` has reached it.
// SAFETY: the machine's CLINT has word registers from 0x0200_0000.
const COMPARE_LO: Register<u32> = unsafe { Register::new(0x0200_4000) };
/// Its high half.
// SAFETY: as above.
const COMPARE_HI: Register<u32> = unsafe { Register::new(0x0200_4004) };
/// `mtime`.
// SAFETY: as above.
const TIME_LO: Register<u32> = unsafe { Register::new(0x0200_bff8) };
/// Its high half.
// SAFETY: as above.
const TIME_HI: Register<u32> = unsafe { Register::new(0x0200_bffc) };
/// Ticks of `mtime` in a millisecond.
const TICKS_PER_MS: u64 = 10_000;

/// The sending half of the line to the host.
#[derive(Debug)]
pub(crate) struct Uart;

impl Uart {
    /// Sends a byte. It says nothing but "look", so one that overtakes another that is still
    /// in the transmitter costs nothing, and there is no wait.
    pub(crate) fn ring(&mut self) {
        DATA.write(b'!');
    }
}

/// This board.
#[derive(Debug)]
pub(crate) struct Here {
    /// `minstret` at [`Board::count`](super::Board::count).
    began: usize,
}

impl super::Board for Here {
    type Delay = McycleDelay;

    fn start() -> (Self, McycleDelay) {
        riscv_trap::guard_stack();
        INTERRUPT_ENABLE.write(1);
        PRIORITY.write(1);
        ENABLE.write(1 << UART_INTERRUPT);
        THRESHOLD.write(0);
        (Self { began: 0 }, McycleDelay::new(CYCLES_PER_SECOND))
    }

    fn clear_line(&mut self) {
        let claimed = CLAIM.read();
        // One register, one byte: what the host sent beyond it is still on its way, and rings
        // again.
        if LINE_STATUS.read() & 1 != 0 {
            DATA.read();
        }
        if claimed != 0 {
            CLAIM.write(claimed);
        }
    }

    fn feed(&mut self) {
        let at = ticks().wrapping_add(TICKS_PER_MS.wrapping_mul(u64::from(WATCHDOG_MS)));
        // At no moment is the pair in the past.
        COMPARE_HI.write(u32::MAX);
        COMPARE_LO.write(at as u32);
        COMPARE_HI.write(at.wrapping_shr(32) as u32);
        riscv_trap::watch();
    }

    fn sleep(&mut self) {
        riscv_trap::sleep();
    }

    fn count(&mut self) {
        self.began = minstret::read();
    }

    fn counted(&self) -> u32 {
        minstret::read().wrapping_sub(self.began) as u32
    }

    fn stand() {
        riscv_trap::stand();
    }
}

/// `mtime`, read high, low, high.
fn ticks() -> u64 {
    loop {
        let (before, low, after) = (TIME_HI.read(), TIME_LO.read(), TIME_HI.read());
        if before == after {
            return godwit_regs::bits::whole(low, after);
        }
    }
}

#[riscv_rt::entry]
fn main() -> ! {
    run::run()
}
