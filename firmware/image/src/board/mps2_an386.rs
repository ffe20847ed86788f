//! Arm's MPS2 board with a Cortex-M4 (AN386), as QEMU emulates it: a UART, a watchdog and a dual
//! timer of Arm's CMSDK.

use super::WATCHDOG_MS;
use crate::crash;
use crate::register::Register;
use crate::run;
use core::arch::naked_asm;
use cortex_m::delay::Delay;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::{MPU, NVIC, Peripherals, SCB};
use cortex_m_rt::{ExceptionFrame, entry, exception};
use godwit_regs::crash::{Cause, REGISTERS};
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

/// The watchdog's load, which it counts down from; it counts at all times.
// SAFETY: the board's watchdog has word registers from 0x4000_8000.
const WATCHDOG_LOAD: Register<u32> = unsafe { Register::new(0x4000_8000) };
/// Its control; bit 0 lets it bite, with the NMI.
// SAFETY: as above.
const WATCHDOG_CONTROL: Register<u32> = unsafe { Register::new(0x4000_8008) };
/// Writing it starts it anew, and takes a bite back that it had no leave for.
// SAFETY: as above.
const WATCHDOG_CLEAR: Register<u32> = unsafe { Register::new(0x4000_800c) };

/// The dual timer's first load; writing it starts it anew.
// SAFETY: the board's dual timer has word registers from 0x4000_2000.
const TIMER_LOAD: Register<u32> = unsafe { Register::new(0x4000_2000) };
/// Its value, which counts down.
// SAFETY: as above.
const TIMER_VALUE: Register<u32> = unsafe { Register::new(0x4000_2004) };
/// Its control.
// SAFETY: as above.
const TIMER_CONTROL: Register<u32> = unsafe { Register::new(0x4000_2008) };
/// On, and 32 bits wide.
const TIMER_ON: u32 = 1 << 7 | 1 << 1;

/// Under `-icount shift=0` an instruction takes a nanosecond: so many go by in a cycle of the
/// board's clock.
const INSTRUCTIONS_PER_CYCLE: u32 = 1_000_000_000 / CYCLES_PER_SECOND;

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
        guard_stack(&core.MPU);
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

    fn feed(&mut self) {
        WATCHDOG_LOAD.write((CYCLES_PER_SECOND / 1_000).wrapping_mul(WATCHDOG_MS));
        WATCHDOG_CLEAR.write(1);
        WATCHDOG_CONTROL.write(1);
    }

    fn sleep(&mut self) {
        WATCHDOG_CONTROL.write(0);
        // A timer that runs on would let QEMU's clock go on with the host's.
        TIMER_CONTROL.write(0);
        cortex_m::asm::wfi();
    }

    fn count(&mut self) {
        TIMER_CONTROL.write(TIMER_ON);
        TIMER_LOAD.write(u32::MAX);
    }

    fn counted(&self) -> u32 {
        let cycles = u32::MAX.wrapping_sub(TIMER_VALUE.read());
        cycles.wrapping_mul(INSTRUCTIONS_PER_CYCLE)
    }

    fn stand() {
        WATCHDOG_CONTROL.write(0);
        cortex_m::asm::wfi();
    }
}

unsafe extern "C" {
    /// The first byte of the guard below the stack.
    static _stack_guard: u8;
    /// The first byte of the stack proper.
    static _stack_guard_end: u8;
}

/// Forbids every access to the guard, but not while a hard fault or the NMI is handled: they run
/// on the stack that has overflown, and the guard is the room that they have.
fn guard_stack(mpu: &MPU) {
    let (from, end) = (&raw const _stack_guard, &raw const _stack_guard_end);
    let (from, bytes) = (from.addr() as u32, end.addr().wrapping_sub(from.addr()) as u32);
    // RBAR: valid, region 0. RASR: 2^(SIZE + 1) bytes, no access, never code, enabled.
    let size = bytes.trailing_zeros().wrapping_sub(1);
    // SAFETY: nothing but a stack that has overflown is in the range.
    unsafe { mpu.rbar.write(from | 1 << 4) };
    // SAFETY: as above.
    unsafe { mpu.rasr.write(1 << 28 | size.wrapping_shl(1) | 1) };
    // On, with the default map for everything else.
    // SAFETY: as above.
    unsafe { mpu.ctrl.write(1 | 1 << 2) };
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

#[entry]
fn main() -> ! {
    run::run()
}

/// What the core has saved of itself at a fault, and the registers that say more of it.
fn registers(frame: &ExceptionFrame) -> [u64; REGISTERS] {
    // SAFETY: the block is always there, and these are only read.
    let scb = unsafe { &*SCB::PTR };
    let sp = (&raw const *frame).addr().wrapping_add(size_of::<ExceptionFrame>());
    let cfsr = scb.cfsr.read();
    let saved = [
        sp as u32,
        frame.r0(),
        frame.r1(),
        frame.r2(),
        frame.r3(),
        frame.r12(),
        frame.lr(),
        frame.pc(),
        frame.xpsr(),
        cfsr,
        scb.mmfar.read(),
        scb.bfar.read(),
    ];
    let mut registers = crash::NO_REGISTERS;
    for (to, from) in registers.iter_mut().zip(saved) {
        *to = u64::from(from);
    }
    registers
}

/// CFSR: the frame of an exception could not be saved, since memory protection forbade it.
const STACKING_FAULT: u32 = 1 << 4;
/// CFSR: a data access was forbidden, and MMFAR says where.
const ACCESS_FAULT: u32 = 1 << 1 | 1 << 7;

// SAFETY: it returns never, and needs nothing that the fault may have broken but the window.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    // SAFETY: the block is always there, and these are only read.
    let scb = unsafe { &*SCB::PTR };
    let (cfsr, address) = (scb.cfsr.read(), scb.mmfar.read());
    let (from, end) = (&raw const _stack_guard, &raw const _stack_guard_end);
    let in_guard = (from.addr()..end.addr()).contains(&(address as usize));
    let at = u64::from(frame.pc());
    let cause = if cfsr & STACKING_FAULT != 0 || (cfsr & ACCESS_FAULT == ACCESS_FAULT && in_guard) {
        Cause::StackOverflow { at, value: u64::from(address) }
    } else {
        Cause::Exception { number: 3, at, value: u64::from(cfsr) }
    };
    crash::end(cause, &registers(frame))
}

/// The watchdog bites: the frame that the core has saved is at the top of the stack.
// SAFETY: the start-up code looks for this name; it passes no argument.
#[unsafe(export_name = "NonMaskableInt")]
#[unsafe(naked)]
extern "C" fn bitten() {
    naked_asm!("mrs r0, msp", "b {stalled}", stalled = sym stalled)
}

extern "C" fn stalled(frame: &ExceptionFrame) -> ! {
    crash::end(Cause::Stalled { at: u64::from(frame.pc()) }, &registers(frame))
}
