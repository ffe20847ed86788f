//! Calls of an image's firmware that are stepped: after how many instructions it wrote what.

use crate::remote::Remote;
use godwit_mmio::{SharedWords, Words};
use godwit_regs::Word;
use godwit_sys::{Debugger, QemuError};
use std::time::Duration;

/// A call that takes more instructions than this is not stepped to its end.
const STEPS_MAX: u32 = 1_000_000;
/// How often it is looked whether the core has come to its sleep, and how long is waited between.
const LOOKS_MAX: u32 = 10_000;
const LOOK: Duration = Duration::from_micros(200);

/// A call of the firmware, from the first instruction after its sleep on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SteppedCall {
    /// Words that were watched and changed: which, and after how many instructions.
    pub writes: Vec<(Word, u32)>,
    /// Instructions up to its answer.
    pub instructions: u32,
}

/// Which words are watched, and what was seen of them.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    words: Vec<Word>,
    pub(crate) calls: Vec<SteppedCall>,
}

impl Steps {
    pub(crate) fn new(words: Vec<Word>) -> Self {
        Self { words, calls: Vec::new() }
    }

    /// Steps through a call until it is answered.
    fn take(
        &mut self,
        debugger: &mut Debugger,
        words: &SharedWords,
        is_answered: impl Fn() -> bool,
    ) -> Result<(), QemuError> {
        let read = |word: &Word| words.observe(*word);
        let mut seen: Vec<u32> = self.words.iter().map(read).collect();
        let mut call = SteppedCall::default();
        while !is_answered() && call.instructions < STEPS_MAX {
            debugger.step()?;
            call.instructions += 1;
            for (word, seen) in self.words.iter().zip(&mut seen) {
                let now = read(word);
                if now != *seen {
                    *seen = now;
                    call.writes.push((*word, call.instructions));
                }
            }
        }
        self.calls.push(call);
        Ok(())
    }
}

impl Remote {
    /// Takes hold of the core while it sleeps. What it still does after an answer is nobody's call.
    pub(crate) fn hold_asleep(&mut self) -> Result<Debugger, QemuError> {
        let core = self.core();
        for _ in 0..LOOKS_MAX {
            let mut debugger = Debugger::attach(&self.debugger())?;
            let pc = debugger.register(core.pc, core.register_bytes)?;
            let before = pc.saturating_sub(core.wait.len() as u64);
            if debugger.read(before, core.wait.len())? == core.wait {
                return Ok(debugger);
            }
            debugger.detach()?;
            std::thread::sleep(LOOK);
        }
        Err(QemuError::Line(std::io::Error::other("the core never sleeps")))
    }

    /// Rings for a call and steps the core through it.
    pub(crate) fn step_through(
        &mut self,
        mut debugger: Debugger,
        call: u32,
    ) -> Result<(), QemuError> {
        self.ring()?;
        let words = self.words();
        if let Some(mut steps) = self.steps.take() {
            let stepped = steps.take(&mut debugger, &words, || self.is_answered(call));
            self.steps = Some(steps);
            stepped?;
        }
        debugger.detach()?;
        Ok(())
    }
}
