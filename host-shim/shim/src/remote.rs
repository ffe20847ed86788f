//! Firmware on a microcontroller that QEMU emulates.

use crate::listener::Listener;
use crate::loss::{Loss, LossCause};
use crate::mcu::{Core, Mishap, MishapAt, Program, QemuMcu};
use crate::stepped::Steps;
use crate::symbols::{Texts, booted_header, slot_headers};
use godwit_log::{LogLine, LogMemory, written};
use godwit_mmio::{Burst, Caller, SharedWords, WordMemory, Words as _};
use godwit_pump::PROTOCOL_VERSION;
use godwit_regs::boot::{self, Booted};
use godwit_regs::crash::{NUMBER_AT, Record};
use godwit_regs::map::mailbox;
use godwit_regs::window::{
    BOOT_AT, Board, CRASH_AT, MAP_AT, RETAINED_A_AT, RETAINED_B_AT, RETAINED_BYTES,
};
use godwit_slots::Header;
use godwit_sys::{Debugger, ImageFile, MemFile, Qemu, QemuConfig, QemuError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

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

impl LogMemory for Window {
    fn word(&self, at: usize) -> u32 {
        self.at(at).load(Ordering::Acquire)
    }
}

/// Places of the words of both retained records in the window.
fn retained_words() -> impl Iterator<Item = usize> {
    let places = [RETAINED_A_AT, RETAINED_B_AT];
    places.into_iter().flat_map(|from| (from..from + RETAINED_BYTES).step_by(4))
}

/// A microcontroller with the firmware's image.
#[derive(Debug)]
pub(crate) struct Remote {
    mcu: QemuMcu,
    window: Arc<Window>,
    caller: Caller<SharedWords>,
    /// `None` while it has no power.
    qemu: Option<Qemu>,
    /// The call of power-on, until it is answered.
    started: Option<u32>,
    /// Calls so far.
    calls: u32,
    /// The last crash record that was told of.
    record: u32,
    mishap: Option<MishapAt>,
    /// Calls are stepped, to see when words are written.
    pub(crate) steps: Option<Steps>,
    /// Where QEMU listens for debuggers.
    folder: TempDir,
    listener: Listener,
    /// How much the log's ring had when it was powered on last.
    said_before: u32,
    /// What was in the slots of its flash then.
    slots: [Option<Header>; 2],
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
        let folder = tempfile::Builder::new().prefix("godwit-").tempdir()?;
        let listener = Listener::new(mcu.log.is_live, mcu.log.texts.clone());
        Ok(Self {
            mcu,
            window,
            caller,
            qemu: None,
            started: None,
            calls: 0,
            record: 0,
            mishap: None,
            steps: None,
            folder,
            listener,
            said_before: 0,
            slots: [None; 2],
        })
    }

    /// What the debugger must know of its core.
    pub(crate) fn core(&self) -> &'static Core {
        self.mcu.board.core
    }

    /// The map in its RAM.
    pub(crate) fn words(&self) -> SharedWords {
        SharedWords::over(self.window.clone())
    }

    /// What it is.
    pub(crate) fn board(&self) -> &Board {
        self.mcu.board.board()
    }

    /// What it boots.
    pub(crate) fn program(&self) -> &Program {
        &self.mcu.program
    }

    /// What it boots from the next power-on on.
    pub(crate) fn set_image(&mut self, image: Arc<ImageFile>) {
        self.listener.listen(&*self.window);
        let texts = Texts::of(image.clone());
        self.listener.change(Some(Arc::new(texts)), written(&*self.window));
        self.mcu.program = Program::Image(image);
    }

    /// What its firmware retains: the words of both places.
    pub(crate) fn retained(&self) -> Vec<u32> {
        retained_words().map(|at| self.window.at(at).load(Ordering::Acquire)).collect()
    }

    /// Puts that back, while it has no power.
    pub(crate) fn put_retained(&mut self, words: &[u32]) {
        for (at, word) in retained_words().zip(words) {
            self.window.at(at).store(*word, Ordering::Release);
        }
    }

    /// Lets this happen once, in place of what was arranged before.
    pub(crate) fn arrange(&mut self, mishap: MishapAt) {
        self.mishap = Some(mishap);
    }

    /// Takes it back.
    pub(crate) fn call_off(&mut self) {
        self.mishap = None;
    }

    /// Whether it is still to come.
    pub(crate) fn is_mishap_arranged(&self) -> bool {
        self.mishap.is_some()
    }

    /// Calls so far, over all its starts.
    pub(crate) fn calls(&self) -> u32 {
        self.calls
    }

    /// Powers it on, or off and on again: what it retains is outside of all that its image
    /// loads, and stays.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started.
    pub(crate) fn power_on(&mut self) -> Result<(), QemuError> {
        self.qemu = None;
        self.listener.listen(&*self.window);
        self.said_before = written(&*self.window);
        if let Program::Flash(flash) = &self.mcu.program {
            // Until the boot stage has said what it starts, nothing is started.
            self.window.at(BOOT_AT).store(0, Ordering::Release);
            // A flash that cannot be read is QEMU's to tell of.
            self.slots = slot_headers(flash).unwrap_or_default();
        }
        self.started = Some(self.caller.call());
        self.qemu = Some(Qemu::start(&QemuConfig {
            program: self.mcu.board.program,
            package: self.mcu.board.package,
            machine: self.mcu.board.machine,
            ram: &self.window.ram,
            start: self.mcu.start(),
            debugger: Some(&self.debugger()),
        })?);
        Ok(())
    }

    /// Lets the firmware work until it has nothing to do. `None`: it has nothing to do now.
    ///
    /// # Errors
    ///
    /// When it has ended or does not come to rest, or QEMU ends.
    pub(crate) fn work(&mut self) -> Result<Option<Burst>, Loss> {
        if self.started.is_none() && !self.caller.has_work() {
            return Ok(None);
        }
        self.call()
    }

    /// Whether it was powered on and has not answered yet.
    pub(crate) fn is_starting(&self) -> bool {
        self.started.is_some()
    }

    /// Its power is off.
    pub(crate) fn power_off(&mut self) {
        self.qemu = None;
    }

    /// Calls the firmware, whether it has work or not.
    ///
    /// # Errors
    ///
    /// As [`Self::work`].
    pub(crate) fn call(&mut self) -> Result<Option<Burst>, Loss> {
        let is_start = self.is_starting();
        let call = match self.started.take() {
            Some(call) => call,
            None => {
                let number = self.calls.wrapping_add(1);
                let due = self.mishap.take_if(|mishap| number >= mishap.call);
                // It must sleep before it can see the call: what it still does after its last
                // answer is as long as the host was fast.
                let held = match due.is_some() || self.steps.is_some() {
                    true => Some(self.hold_asleep().map_err(|error| self.loss(error))?),
                    false => None,
                };
                let call = self.caller.call();
                self.calls = number;
                match (held, due) {
                    (Some(debugger), Some(mishap)) => self.have(debugger, call, mishap)?,
                    (Some(debugger), None) => {
                        self.step_through(debugger, call).map_err(|error| self.loss(error))?;
                    }
                    (None, _) => self.ring().map_err(|error| self.loss(error))?,
                }
                call
            }
        };
        let begin = Instant::now();
        loop {
            if let Some(burst) = self.caller.answered(call) {
                self.recognise();
                self.listener.listen(&*self.window);
                if is_start {
                    self.check_version()?;
                } else if let Some(lengths) = &self.mcu.lengths {
                    lengths.note(burst.instructions);
                }
                return Ok(Some(burst));
            }
            if let Some(record) = self.record() {
                self.record = record.number;
                return Err(self.loss(LossCause::Crash(Box::new(record))));
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(self.loss(LossCause::Silent));
            }
            let Some(qemu) = &mut self.qemu else {
                return Err(self.loss(LossCause::Silent)); // it has no power
            };
            if let Err(error) = qemu.wait(left) {
                return Err(self.loss(error));
            }
        }
    }

    /// Firmware that speaks another version of the protocol is one that is lost: what it sends is
    /// not what it seems, whether it looks at the host's version itself or not.
    fn check_version(&mut self) -> Result<(), Loss> {
        let firmware = self.words().observe(mailbox::firmware_version());
        if firmware == PROTOCOL_VERSION {
            return Ok(());
        }
        Err(self.loss(LossCause::Version { firmware, host: PROTOCOL_VERSION }))
    }

    pub(crate) fn is_answered(&self, call: u32) -> bool {
        self.caller.is_answered(call)
    }

    pub(crate) fn ring(&mut self) -> Result<(), QemuError> {
        self.qemu.as_mut().map_or(Ok(()), Qemu::ring)
    }

    /// The socket at which QEMU listens for debuggers.
    pub(crate) fn debugger(&self) -> PathBuf {
        self.folder.path().join("debugger")
    }

    /// Steps the core through the call until the mishap, which it then has. If the call ends
    /// before, the mishap waits for the next.
    fn have(&mut self, held: Debugger, call: u32, mishap: MishapAt) -> Result<(), Loss> {
        match self.step(held, call, mishap) {
            Ok(true) if mishap.mishap == Mishap::Cut => {
                self.qemu = None;
                Err(self.loss(LossCause::Arranged(Mishap::Cut)))
            }
            Ok(true) => Ok(()),
            Ok(false) => {
                self.mishap = Some(mishap);
                Ok(())
            }
            Err(error) => Err(self.loss(error)),
        }
    }

    /// Whether it came to the mishap.
    fn step(&mut self, mut debugger: Debugger, call: u32, at: MishapAt) -> Result<bool, QemuError> {
        let core = self.mcu.board.core;
        // The core sleeps; the byte that wakes it comes while it stands still.
        self.ring()?;
        for _ in 0..at.instructions {
            debugger.step()?;
            if self.caller.is_answered(call) {
                debugger.detach()?;
                return Ok(false);
            }
        }
        if let Some(code) = core.code(at.mishap) {
            let pc = debugger.register(core.pc, core.register_bytes)?;
            debugger.write(pc, code)?;
            debugger.detach()?;
        }
        Ok(true)
    }

    /// Looks which image the boot stage has started, and whether its log can be read.
    fn recognise(&mut self) {
        if let (Program::Flash(_), Some(booted)) = (&self.mcu.program, self.booted()) {
            let header = booted_header(&self.slots, &booted);
            let symbols = &self.mcu.log.symbols;
            let fits = header.and_then(|header| symbols.iter().find(|it| it.are_of(&header)));
            self.listener.change(fits.map(|it| it.texts().clone()), self.said_before);
        }
    }

    /// The lines that were logged since the last time.
    pub(crate) fn take_log(&mut self) -> Vec<LogLine> {
        self.listener.take()
    }

    /// Bytes of the log that the firmware has gone over before they were read.
    pub(crate) fn log_lost_bytes(&self) -> u64 {
        self.listener.lost_bytes()
    }

    /// A crash record that was not told of yet.
    fn record(&self) -> Option<Record> {
        let word = |at: usize| self.window.at(CRASH_AT + 4 * at).load(Ordering::Acquire);
        // Its number is written last, so it is read first.
        let number = word(NUMBER_AT);
        let record = Record::parse(&std::array::from_fn(word))?;
        (record.number == number && number != self.record).then_some(record)
    }

    /// Notes what it was last seen doing.
    pub(crate) fn loss(&mut self, cause: impl Into<LossCause>) -> Loss {
        self.recognise();
        self.listener.listen(&*self.window);
        let said = self.qemu.as_mut().map_or_else(String::new, Qemu::said);
        let said = format!("QEMU said: {said}");
        let last = self.listener.last_lines(&*self.window);
        Loss { cause: cause.into(), signs: self.caller.signs(), said, last }
    }

    /// What the boot stage has started; `None` where there is no boot stage, or it has not yet.
    pub(crate) fn booted(&self) -> Option<Booted> {
        let word = |at: usize| self.window.at(BOOT_AT + 4 * at).load(Ordering::Acquire);
        boot::parse(std::array::from_fn(word))
    }
}
