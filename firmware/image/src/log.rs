//! The sink of the log: frames go into the window's ring, which the host reads when it likes.

use crate::board;
use core::cell::UnsafeCell;
use defmt::{Encoder, Logger};
use godwit_mmio::{LogRing, LogWords, device_time_ns};

/// The board's window, whose place every access knows by itself.
struct Here;

impl LogWords for Here {
    fn read(&self, at: usize) -> u32 {
        board::window().read(at)
    }

    fn write(&self, at: usize, value: u32) {
        board::window().write(at, value);
    }
}

/// A frame that is being written.
struct Frame {
    encoder: Encoder,
    ring: LogRing<Here>,
}

/// The one frame that may be under way.
struct Home(UnsafeCell<Frame>);

// SAFETY: there is one hart, and no handler that logs ever returns to a frame that was under
// way, so at most one user of the frame goes on.
unsafe impl Sync for Home {}

static HOME: Home =
    Home(UnsafeCell::new(Frame { encoder: Encoder::new(), ring: LogRing::over(Here) }));

/// Lets `use_it` have the frame, which it may not do from within itself.
fn with(use_it: impl FnOnce(&mut Frame)) {
    // SAFETY: the closures below call no logger, so this reference is the only one that is used
    // from here on; see `Home`.
    use_it(unsafe { &mut *HOME.0.get() });
}

#[defmt::global_logger]
struct Log;

// SAFETY: every call goes to the one frame of the one hart. A frame that an exception has cut
// off is dropped by the next `acquire`.
unsafe impl Logger for Log {
    fn acquire() {
        with(|frame| {
            // Without memory of the frame before: each begins with a mark of its own.
            frame.encoder = Encoder::new();
            frame.ring.begin_frame();
            frame.encoder.start_frame(|bytes| frame.ring.write(bytes));
        });
    }

    unsafe fn flush() {
        // Nobody is waited for.
    }

    unsafe fn release() {
        with(|frame| {
            frame.encoder.end_frame(|bytes| frame.ring.write(bytes));
            frame.ring.end_frame();
        });
    }

    unsafe fn write(bytes: &[u8]) {
        with(|frame| frame.encoder.write(bytes, |bytes| frame.ring.write(bytes)));
    }
}

// The device's clock, in nanoseconds.
defmt::timestamp!("{=u64}", device_time_ns(&board::window().words()));
