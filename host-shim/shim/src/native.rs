//! Firmware in this process.

use godwit_mmio::{AttentionWord, Mmio, SharedRetained, SharedWords};
use godwit_pump::{Pump, Turn};

type Hal = Mmio<SharedWords, AttentionWord<SharedWords>, SharedRetained>;

/// The firmware's loop over a map in this process, and what it retains.
#[derive(Debug)]
pub(crate) struct Native {
    words: SharedWords,
    retained: SharedRetained,
    hal: Hal,
    pub(crate) pump: Pump,
}

impl Native {
    /// Starts the firmware over this map.
    pub(crate) fn start(words: SharedWords) -> Self {
        let retained = SharedRetained::default();
        let mut hal = driver(&words, &retained);
        let pump = Pump::boot(&mut hal);
        Self { words, retained, hal, pump }
    }

    /// The firmware is gone with all that it had in memory, and starts again.
    pub(crate) fn restart(&mut self) {
        self.hal = driver(&self.words, &self.retained);
        self.pump = Pump::boot(&mut self.hal);
    }

    /// One turn of the loop.
    pub(crate) fn turn(&mut self) -> Turn {
        self.pump.turn(&mut self.hal)
    }
}

fn driver(words: &SharedWords, retained: &SharedRetained) -> Hal {
    Mmio::new(words.clone(), AttentionWord::new(words.clone()), retained.clone())
}
