//! Firmware in this process.

use godwit_hal::{Retained, RetainedSlot};
use godwit_mmio::{AttentionWord, Mmio, SharedRetained, SharedWords, Words};
use godwit_pump::{Pump, Turn};
use godwit_regs::Word;
use godwit_regs::map::intr;
use std::cell::Cell;
use std::rc::Rc;

type Hal = Mmio<Fused<SharedWords>, AttentionWord<Fused<SharedWords>>, Fused<SharedRetained>>;

/// Why firmware in this process meets no other version of anything.
const BUILT_TOGETHER: &str = "host, device and firmware are one program";

/// The firmware's loop over a map in this process, and what it retains.
#[derive(Debug)]
pub(crate) struct Native {
    words: SharedWords,
    retained: SharedRetained,
    fuse: Fuse,
    /// Words that the next start may write until it is at rest, before its power is cut, too.
    takeover: Option<u32>,
    /// Whether the fuse is for the takeover that goes on.
    is_taking_over: bool,
    hal: Hal,
    pub(crate) pump: Pump,
}

impl Native {
    /// Starts the firmware over this map.
    pub(crate) fn start(words: SharedWords) -> Self {
        let (retained, fuse) = (SharedRetained::default(), Fuse::default());
        let mut hal = driver(&words, &retained, &fuse);
        let pump = Pump::boot(&mut hal).expect(BUILT_TOGETHER);
        Self { words, retained, fuse, takeover: None, is_taking_over: false, hal, pump }
    }

    /// The firmware is gone with all that it had in memory, and starts again.
    pub(crate) fn restart(&mut self) {
        let takeover = self.takeover.take();
        self.is_taking_over = takeover.is_some();
        self.fuse.left.set(takeover);
        self.hal = driver(&self.words, &self.retained, &self.fuse);
        self.pump = Pump::boot(&mut self.hal).expect(BUILT_TOGETHER);
    }

    /// Whether the device has interrupted it.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.words.observe(intr::bell()) != self.words.observe(intr::ack())
    }

    /// One turn of the loop.
    pub(crate) fn turn(&mut self) -> Turn {
        let turn = self.pump.turn(&mut self.hal);
        if turn == Turn::Idle && self.is_taking_over && !self.is_cut() {
            self.call_off();
        }
        turn
    }

    /// Lets the firmware write so many words more, of registers and of what it retains, and then
    /// none: its power is cut.
    pub(crate) fn cut_after(&mut self, words: u32) {
        self.fuse.left.set(Some(words));
    }

    /// Lets the next start write so many words while it takes over what the one before has left:
    /// if it has more to write before it is at rest, its power is cut, too.
    pub(crate) fn cut_takeover_after(&mut self, words: u32) {
        self.takeover = Some(words);
    }

    /// Takes back cuts that have not come.
    pub(crate) fn call_off(&mut self) {
        self.fuse.left.set(None);
        (self.takeover, self.is_taking_over) = (None, false);
    }

    /// Whether a cut is to come.
    pub(crate) fn is_cut_arranged(&self) -> bool {
        self.fuse.left.get().is_some()
    }

    /// Whether its power is cut. What it has done since was done by nobody.
    pub(crate) fn is_cut(&self) -> bool {
        self.fuse.left.get() == Some(0)
    }
}

fn driver(words: &SharedWords, retained: &SharedRetained, fuse: &Fuse) -> Hal {
    let words = Fused { inner: words.clone(), fuse: fuse.clone() };
    let retained = Fused { inner: retained.clone(), fuse: fuse.clone() };
    Mmio::new(words.clone(), AttentionWord::new(words), retained)
}

/// How many words may still be written; `None`: as many as there are.
#[derive(Clone, Debug, Default)]
struct Fuse {
    left: Rc<Cell<Option<u32>>>,
}

impl Fuse {
    /// Whether one more may be written.
    fn allows(&self) -> bool {
        match self.left.get() {
            None => true,
            Some(0) => false,
            Some(left) => {
                self.left.set(Some(left - 1));
                true
            }
        }
    }
}

/// What nothing is written to any more once the fuse has blown.
#[derive(Clone, Debug)]
struct Fused<T> {
    inner: T,
    fuse: Fuse,
}

impl<T: Words> Words for Fused<T> {
    fn read(&self, word: Word) -> u32 {
        self.inner.read(word)
    }

    fn write(&self, word: Word, value: u32) {
        if self.fuse.allows() {
            self.inner.write(word, value);
        }
    }
}

impl<T: Retained> Retained for Fused<T> {
    fn load(&self, slot: RetainedSlot, at: usize, into: &mut [u8]) {
        self.inner.load(slot, at, into);
    }

    fn store(&mut self, slot: RetainedSlot, at: usize, bytes: &[u8]) {
        for (at, word) in (at..).step_by(4).zip(bytes.chunks(4)) {
            if self.fuse.allows() {
                self.inner.store(slot, at, word);
            }
        }
    }
}
