//! Firmware on a microcontroller that QEMU emulates.

use crate::mcu::QemuMcu;
use godwit_mmio::{Burst, Caller, SharedWords, WordMemory};
use godwit_regs::boot::{self, Booted};
use godwit_regs::crash;
use godwit_regs::window::{BOOT_AT, CRASH_AT, MAP_AT};
use godwit_slots::Refusal;
use godwit_sys::{MemFile, Qemu, QemuConfig, QemuError};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest time, by the host's own clock, that the firmware may work on one call.
const PATIENCE: Duration = Duration::from_secs(10);

/// The window that is shared with the microcontroller.
#[derive(Debug)]
struct Window {
    ram: MemFile,
    at: u64,
}

impl Window {
    fn at(&self, offset: usize) -> &AtomicU32 {
        let word = self.ram.word(self.at + offset as u64);
        word.expect("a board's window lies within its RAM")
    }
}

impl WordMemory for Window {
    fn word(&self, offset: usize) -> &AtomicU32 {
        self.at(MAP_AT + offset)
    }
}

/// A microcontroller with the firmware's image.
#[derive(Debug)]
pub(crate) struct Remote {
    mcu: QemuMcu,
    window: Arc<Window>,
    caller: Caller<SharedWords>,
    /// `None` until it is powered on.
    qemu: Option<Qemu>,
    /// The call of power-on, until it is answered.
    started: Option<u32>,
}

impl Remote {
    /// A microcontroller whose RAM is there, and that is not powered on yet.
    ///
    /// # Errors
    ///
    /// When the system gives no memory file.
    pub(crate) fn new(mcu: QemuMcu) -> std::io::Result<Self> {
        let board = mcu.board.board();
        let ram = MemFile::new("godwit-mcu", board.ram_bytes)?;
        let window = Arc::new(Window { ram, at: board.window_at });
        let caller = Caller::new(SharedWords::over(window.clone()));
        Ok(Self { mcu, window, caller, qemu: None, started: None })
    }

    /// The map in its RAM.
    pub(crate) fn words(&self) -> SharedWords {
        SharedWords::over(self.window.clone())
    }

    /// Powers it on, or off and on again: what it retains is outside of all that its image
    /// loads, and stays.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started.
    pub(crate) fn power_on(&mut self) -> Result<(), QemuError> {
        self.qemu = None;
        self.started = Some(self.caller.call());
        self.qemu = Some(Qemu::start(&QemuConfig {
            program: self.mcu.board.program,
            package: self.mcu.board.package,
            machine: self.mcu.board.machine,
            ram: &self.window.ram,
            start: self.mcu.start(),
        })?);
        Ok(())
    }

    /// Lets the firmware work until it has nothing to do. `None`: it has nothing to do now.
    ///
    /// # Errors
    ///
    /// When it does not come to rest, or QEMU ends.
    pub(crate) fn work(&mut self) -> Result<Option<Burst>, Unwell> {
        let call = match self.started.take() {
            Some(call) => call,
            None if !self.caller.has_work() => return Ok(None),
            None => {
                let call = self.caller.call();
                let rung = self.qemu.as_mut().map(Qemu::ring);
                rung.transpose().map_err(|error| self.unwell(Some(error)))?;
                call
            }
        };
        let begin = Instant::now();
        loop {
            if let Some(burst) = self.caller.answered(call) {
                return Ok(Some(burst));
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            if left.is_zero() || self.crash().is_some() {
                return Err(self.unwell(None));
            }
            let waited = self.qemu.as_mut().map(|qemu| qemu.wait(left));
            waited.transpose().map_err(|error| self.unwell(Some(error)))?;
        }
    }

    fn crash(&self) -> Option<crash::Cause> {
        let word = |at: usize| self.window.at(CRASH_AT + 4 * at).load(Ordering::Acquire);
        crash::parse(std::array::from_fn(word))
    }

    /// What the boot stage has started; `None` where there is no boot stage, or it has not yet.
    pub(crate) fn booted(&self) -> Option<Booted> {
        let word = |at: usize| self.window.at(BOOT_AT + 4 * at).load(Ordering::Acquire);
        boot::parse(std::array::from_fn(word))
    }

    fn unwell(&mut self, qemu: Option<QemuError>) -> Unwell {
        Unwell {
            qemu,
            crash: self.crash(),
            signs: self.caller.signs(),
            said: self.qemu.as_mut().map(Qemu::said).unwrap_or_default(),
        }
    }
}

/// Firmware that does not come to rest, and what it was last seen doing.
#[derive(Debug)]
pub(crate) struct Unwell {
    qemu: Option<QemuError>,
    crash: Option<crash::Cause>,
    signs: [u32; 4],
    said: String,
}

impl fmt::Display for Unwell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [turns, idle, call, rest] = self.signs;
        match (&self.qemu, self.crash) {
            (_, Some(crash::Cause::NoImage { a, b })) => {
                return write!(f, "neither slot boots: slot a: {}; slot b: {}", why(a), why(b));
            }
            (_, Some(cause)) => write!(f, "the firmware has ended: {cause:?}")?,
            (Some(error), None) => write!(f, "the firmware's microcontroller is gone: {error}")?,
            (None, None) if turns == 0 => write!(f, "the firmware does not start")?,
            (None, None) => write!(f, "the firmware does not come to rest")?,
        }
        write!(
            f,
            "; seen last: {turns} turns of its loop, idle {idle} times, call {call}, answered \
             {rest}"
        )?;
        match self.qemu {
            // Which tells it already.
            Some(_) => Ok(()),
            None => write!(f, "; QEMU said: {}", self.said),
        }
    }
}

/// Why a slot does not boot, by the boot stage's number.
fn why(code: u32) -> String {
    match Refusal::from_code(code) {
        Some(refusal) => refusal.to_string(),
        None => format!("reason {code}, which this host does not know"),
    }
}
