//! Start-up and the main loop.

use crate::board::{self, Board, Here, Uart};
use crate::crash::{self, NO_REGISTERS};
use crate::line::Line;
use embedded_hal::delay::DelayNs;
use godwit_mmio::{Burst, Callee, Mmio, MmioWords, Words};
use godwit_pump::{Mismatch, PROTOCOL_VERSION, Pump, RETAINED_VERSION, Turn};
use godwit_regs::bits::{MAGIC, MAP_VERSION};
use godwit_regs::crash::{Cause, Shared};
use godwit_regs::map::identity;
use static_cell::ConstStaticCell;

/// How long the device may take to come up, in looks a millisecond apart.
const DEVICE_LOOKS: u32 = 100;
const LOOK_US: u32 = 1_000;

static PUMP: ConstStaticCell<Pump> = ConstStaticCell::new(Pump::new());

/// All that the image does. Every board's entry point ends here.
pub(crate) fn run() -> ! {
    let (mut board, mut delay) = Here::start();
    // Power-on is a call, too, which begins here.
    board.count();
    let window = board::window();
    let words = window.words();
    if !comes_up(&words, &mut delay) {
        crash::end(Cause::NoDevice, &NO_REGISTERS);
    }
    // Past here every register is used.
    let found = words.read(identity::version());
    if found != MAP_VERSION {
        let cause = Cause::Version { of: Shared::Map, found, known: MAP_VERSION };
        crash::end(cause, &NO_REGISTERS);
    }
    let callee = Callee::new(words);
    let mut hal = Mmio::new(words, Line::new(words, Uart), window.retained());
    let Some(pump) = PUMP.try_take() else {
        // It is taken nowhere else.
        crash::end(Cause::Panic { line: line!() }, &NO_REGISTERS);
    };

    let mut call = callee.call();
    board.feed();
    if let Err(mismatch) = pump.start(&mut hal) {
        crash::end(cause(mismatch), &NO_REGISTERS);
    }
    loop {
        let mut turns = 1;
        board.feed();
        while pump.turn(&mut hal) == Turn::Busy {
            board.feed();
            turns = u32::wrapping_add(turns, 1);
        }
        let instructions = board.counted();
        callee.answer(call, Burst { instructions, turns });
        Uart.ring();
        // A ring that comes after the line was cleared is pending, and ends the sleep at once;
        // the call of one that came before shows in its number.
        loop {
            board.clear_line();
            if !callee.is_answered() {
                break;
            }
            board.sleep();
        }
        call = callee.call();
        board.count();
    }
}

/// Waits for the device's identity; `false` when it does not come.
fn comes_up(words: &MmioWords, delay: &mut impl DelayNs) -> bool {
    for _ in 0..DEVICE_LOOKS {
        if words.observe(identity::magic()) == MAGIC {
            return true;
        }
        delay.delay_us(LOOK_US);
    }
    false
}

/// What is told of firmware that does not begin.
fn cause(mismatch: Mismatch) -> Cause {
    let (of, found, known) = match mismatch {
        Mismatch::Host(found) => (Shared::Mailbox, found, PROTOCOL_VERSION),
        Mismatch::Retained(found) => {
            (Shared::Retained, u32::from(found), u32::from(RETAINED_VERSION))
        }
    };
    Cause::Version { of, found, known }
}
