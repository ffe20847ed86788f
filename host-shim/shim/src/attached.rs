//! Firmware on a microcontroller that somebody else runs: all that there is of it here is a file
//! with its window, and perhaps a line to ring.
//!
//! ```text
//!   claimed, of zeros ──▶ the device comes up ──▶ Started ──▶ call, answer, call, … ──▶ left
//!                      (the firmware is powered on before or after)
//! ```
//!
//! The file is the RAM of a QEMU that shares it, or the resource of a PCI device: words of 32 bits
//! either way. What is in it is believed only where a host with a microcontroller of its own
//! believes it, too. The power of this one is not the host's: firmware that is lost stays lost.

mod window;

use crate::loss::{Loss, LossCause, told};
use godwit_mmio::{Burst, Caller, SharedWords, Words as _};
use godwit_pump::PROTOCOL_VERSION;
use godwit_regs::crash::{NUMBER_AT, Record};
use godwit_regs::map::mailbox;
use godwit_regs::window::CRASH_AT;
use godwit_sys::Line;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use window::Window;
pub use window::WindowError;

/// So often an answer is looked for at once; where there is none, and nobody rings, there is a
/// pause between two looks.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_micros(100);
/// Turns of the firmware's loop in one call: so many have no end.
const TURNS_MAX: u32 = 1_000_000;
/// How long a line is listened to at once: what comes over it is a hint, and the words say all.
const LISTEN: Duration = Duration::from_millis(20);

/// Where a microcontroller of somebody else's is found.
#[derive(Clone, Debug)]
pub struct AttachedMcu {
    /// The file that the window is in.
    pub window: PathBuf,
    /// The window's first byte in it: a multiple of 4096.
    pub at: u64,
    /// The UNIX socket at which its serial port listens. `None`: the firmware looks by itself.
    pub line: Option<PathBuf>,
    /// Longest time, by the host's own clock, that it may take to come up, and to answer a call.
    pub patience: Duration,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Attached {
    mcu: AttachedMcu,
    window: Arc<Window>,
    caller: Caller<SharedWords>,
    /// The line, once it is there, and what it has said last while it was not.
    line: Option<Line>,
    no_line: Option<io::Error>,
    /// The call of power-on, until it is answered.
    started: Option<u32>,
    /// A crash record that was there before: it is of another start.
    before: Option<Record>,
}

impl Attached {
    /// Claims the window, in which the device is not up yet.
    ///
    /// # Errors
    ///
    /// See [`WindowError`]. Nothing in the file has changed.
    pub(crate) fn new(mcu: AttachedMcu) -> Result<Self, WindowError> {
        if let Some(path) = &mcu.line {
            Line::check(path).map_err(|error| WindowError::Line { path: path.clone(), error })?;
        }
        let window = Arc::new(Window::claim(&mcu.window, mcu.at)?);
        let caller = Caller::new(SharedWords::over(window.clone()));
        let before = record(&window);
        Ok(Self { mcu, window, caller, line: None, no_line: None, started: None, before })
    }

    /// The map in the window.
    pub(crate) fn words(&self) -> SharedWords {
        SharedWords::over(self.window.clone())
    }

    /// Lets the device be seen: the firmware starts then, or when it is powered on.
    pub(crate) fn come_up(&mut self) {
        self.started = Some(self.caller.call());
        self.window.show();
    }

    /// Lets the firmware work until it has nothing to do. `None`: it has nothing to do now.
    ///
    /// # Errors
    ///
    /// When it has ended, or does not answer in time, or its line breaks.
    pub(crate) fn work(&mut self) -> Result<Option<Burst>, Loss> {
        if self.started.is_none() && !self.caller.has_work() {
            return Ok(None);
        }
        self.call().map(Some)
    }

    /// How long an answer may take.
    pub(crate) fn patience(&self) -> Duration {
        self.mcu.patience
    }

    #[cfg(test)]
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.mcu.patience = patience;
    }

    fn call(&mut self) -> Result<Burst, Loss> {
        let (call, is_start) = match self.started.take() {
            Some(call) => (call, true),
            None => (self.caller.call(), false),
        };
        let begin = Instant::now();
        if let Some(line) = &self.line {
            line.ring().map_err(|error| self.loss(LossCause::Line(error)))?;
        }
        for looks in 0_u32.. {
            if let Some(burst) = self.caller.answered(call) {
                // It is believed no more than firmware here: so much time would pass.
                if burst.turns > TURNS_MAX {
                    return Err(self.loss(LossCause::Restless));
                }
                if is_start {
                    self.check_version()?;
                }
                return Ok(burst);
            }
            if let Some(record) = self.record() {
                return Err(self.loss(LossCause::Crash(Box::new(record))));
            }
            let left = self.mcu.patience.saturating_sub(begin.elapsed());
            if left.is_zero() {
                break;
            }
            self.wait(left, looks).map_err(|error| self.loss(LossCause::Line(error)))?;
        }
        Err(self.loss(LossCause::Silent))
    }

    /// Waits until there may be something to see.
    fn wait(&mut self, left: Duration, looks: u32) -> io::Result<()> {
        let Some(path) = &self.mcu.line else {
            match looks < LOOKS {
                true => std::thread::yield_now(),
                false => std::thread::sleep(PAUSE.min(left)),
            }
            return Ok(());
        };
        if let Some(line) = &mut self.line {
            return line.wait(LISTEN.min(left)).map(drop);
        }
        match Line::connect(path) {
            Ok(line) => {
                // Who was at work already may have looked before the call was there.
                line.ring()?;
                self.line = Some(line);
            }
            // Whoever is to listen there has not begun, or is busy.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::WouldBlock
                ) =>
            {
                self.no_line = Some(error);
                std::thread::sleep(PAUSE.min(left));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// One that was at work before answers, too, and knows nothing of this device.
    fn check_version(&self) -> Result<(), Loss> {
        match self.words().observe(mailbox::firmware_version()) {
            PROTOCOL_VERSION => Ok(()),
            0 => Err(self.loss(LossCause::Stale)),
            firmware => Err(self.loss(LossCause::Version { firmware, host: PROTOCOL_VERSION })),
        }
    }

    /// A crash record that was not there before.
    fn record(&self) -> Option<Record> {
        let number = self.before.as_ref().map(|before| before.number);
        record(&self.window).filter(|record| Some(record.number) != number)
    }

    /// Notes what it was last seen doing.
    pub(crate) fn loss(&self, cause: LossCause) -> Loss {
        let mut said = Vec::new();
        if let (Some(path), None, Some(error)) = (&self.mcu.line, &self.line, &self.no_line) {
            said.push(format!("nobody listens at its line, {}: {error}", path.display()));
        }
        if let Some(before) = &self.before {
            said.push(format!("before this device came up: {}", told(before)));
        }
        Loss { cause, signs: self.caller.signs(), said: said.join("; "), last: Vec::new() }
    }
}

/// The crash record in a window.
fn record(window: &Window) -> Option<Record> {
    let word = |at: usize| window.load(CRASH_AT + 4 * at);
    // Its number is written last, so it is read first.
    let number = word(NUMBER_AT);
    Record::parse(&std::array::from_fn(word)).filter(|record| record.number == number)
}

#[cfg(test)]
mod tests;
