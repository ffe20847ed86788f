//! A board to copy: a RISC-V core that has nothing of its own yet.
//!
//! What a silicon team fills in is marked `PORT`, in the order of `PORTING.md`. As it is, the
//! board is whole: it polls where it could sleep, and says "look" with no wire, so that its
//! host polls, too. Nothing is lost by that but power and time. Each mark that is filled in
//! takes a piece of the polling away.

use super::riscv_trap;
use crate::register::Register;
use crate::run;
use godwit_regs::window;
use riscv::delay::McycleDelay;
use riscv::register::minstret;

/// What the host knows of this board.
// PORT 1: a constant of its own in `hal/regs/src/window.rs`, and a linker script of its name.
pub(crate) const BOARD: window::Board = window::TEMPLATE;

/// Cycles of the core in a second. One that is too high makes start-up wait for longer, and
/// no wait of less than a second depends on it.
// PORT 2: the core's clock after reset.
const CYCLES_PER_SECOND: u32 = 1_000_000_000;

/// The register by which the firmware tells its host to look, and what is written there: a
/// doorbell in the bus's endpoint, an interrupt to the other core, a UART's data register.
/// Without one the host looks at the window on its own.
// PORT 3: `Some((register, value))`; `Register::new` is `unsafe`, and says what is promised.
const CALL_HOST: Option<(Register<u32>, u32)> = None;

/// The register in which the interrupt of the host's call is cleared, and what is written
/// there. Without one there is no interrupt: the firmware looks for calls on its own.
// PORT 4: `Some((register, value))`.
const CLEAR_CALL: Option<(Register<u32>, u32)> = None;

/// Registers that are written once, in this order: the clock, the pins, the enables of the
/// call's interrupt at the device and at the interrupt controller.
// PORT 5: such as `&[(ENABLE, 1 << 10)]`.
const SET_UP: &[(Register<u32>, u32)] = &[];

/// Whether a pending call ends a `wfi`: it is enabled everywhere up to the core, and masked
/// there. While this is `false` the core does not sleep, since nothing would wake it.
// PORT 6: `true`, once `SET_UP` says so, with the core's own enable in `start`.
const CALL_WAKES: bool = false;

/// The register by which the watchdog is fed, and what is written there: its load or its
/// restart. Without one a loop that hangs is seen by the host alone.
// PORT 7: `Some((register, value))`, with its start in `SET_UP`; its bite is the timer's
// interrupt or the NMI.
const FEED: Option<(Register<u32>, u32)> = None;
/// The register by which the watchdog is put to rest, and what is written there.
const REST: Option<(Register<u32>, u32)> = None;

/// Whether the core has physical memory protection, which guards the stack.
// PORT 8: `false` on a core that has none; the size report's stack is then all there is.
const HAS_PMP: bool = true;

/// Whether the core counts its instructions in `minstret`.
// PORT 9: `false` on a core that does not; the host then charges none.
const COUNTS_INSTRUCTIONS: bool = true;

const _: () =
    assert!(!CALL_WAKES || CLEAR_CALL.is_some(), "a call that cannot be cleared never ends");

/// The sending half of the line to the host.
#[derive(Debug)]
pub(crate) struct Uart;

impl Uart {
    /// Tells the host to look. It may be told twice, and waits for nothing.
    pub(crate) fn ring(&mut self) {
        if let Some((register, value)) = CALL_HOST {
            register.write(value);
        }
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
        if HAS_PMP {
            riscv_trap::guard_stack();
        }
        for (register, value) in SET_UP {
            register.write(*value);
        }
        (Self { began: 0 }, McycleDelay::new(CYCLES_PER_SECOND))
    }

    fn clear_line(&mut self) {
        // Before the firmware looks for calls: one that comes between is pending again.
        if let Some((register, value)) = CLEAR_CALL {
            register.write(value);
        }
    }

    fn feed(&mut self) {
        if let Some((register, value)) = FEED {
            register.write(value);
            riscv_trap::watch();
        }
    }

    fn sleep(&mut self) {
        if let Some((register, value)) = REST {
            register.write(value);
        }
        if CALL_WAKES {
            riscv_trap::sleep();
        } else {
            core::hint::spin_loop();
        }
    }

    fn count(&mut self) {
        if COUNTS_INSTRUCTIONS {
            self.began = minstret::read();
        }
    }

    fn counted(&self) -> u32 {
        if COUNTS_INSTRUCTIONS { minstret::read().wrapping_sub(self.began) as u32 } else { 0 }
    }

    fn stand() {
        riscv_trap::stand();
    }
}

#[riscv_rt::entry]
fn main() -> ! {
    run::run()
}
