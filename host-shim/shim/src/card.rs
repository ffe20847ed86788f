//! A card in this process: a simulated GPU with its firmware beside it.

use godwit_mmio::{AttentionWord, Mmio, SharedRetained, SharedWords};
use godwit_pump::{Pump, Turn};
use godwit_sim_gpu::{Gpu, GpuConfig, Stop};
use godwit_types::Gfid;
use std::io;

type Hal = Mmio<SharedWords, AttentionWord<SharedWords>, SharedRetained>;

/// Instructions that one turn of the firmware's loop is charged with. The image's own count
/// takes its place where the image runs.
const TURN_INSTRUCTIONS: u64 = 1_000;
/// A loop that turns this often without becoming idle has a bug.
const TURNS_MAX: u32 = 1_000_000;

/// A simulated GPU and the firmware that manages it, in this process and in virtual time.
#[derive(Debug)]
pub struct Card {
    gpu: Gpu,
    words: SharedWords,
    retained: SharedRetained,
    hal: Hal,
    pump: Box<Pump>,
    turn_ns: u64,
    /// A watch that was hit while the firmware was at work.
    watch: Option<Gfid>,
}

impl Card {
    /// Powers a card on and starts its firmware.
    ///
    /// # Errors
    ///
    /// When the system gives no memory files.
    pub fn new(config: GpuConfig) -> io::Result<Self> {
        let words = SharedWords::new();
        let turn_ps = config.costs.engine_instruction_ps * TURN_INSTRUCTIONS;
        let gpu = Gpu::new(config, words.clone())?;
        let retained = SharedRetained::default();
        let mut hal = Self::driver(&words, &retained);
        let pump = Box::new(Pump::boot(&mut hal));
        let turn_ns = turn_ps.div_ceil(1_000);
        Ok(Self { gpu, words, retained, hal, pump, turn_ns, watch: None })
    }

    fn driver(words: &SharedWords, retained: &SharedRetained) -> Hal {
        Mmio::new(words.clone(), AttentionWord::new(words.clone()), retained.clone())
    }

    /// The register map, for the host's view.
    pub fn words(&self) -> &SharedWords {
        &self.words
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The GPU, to ring, watch and break.
    pub fn gpu_mut(&mut self) -> &mut Gpu {
        &mut self.gpu
    }

    /// The firmware.
    pub fn pump(&self) -> &Pump {
        &self.pump
    }

    /// The firmware is gone, with all that it had in memory, and starts again. The GPU goes
    /// on meanwhile.
    pub fn restart_firmware(&mut self) {
        self.hal = Self::driver(&self.words, &self.retained);
        *self.pump = Pump::boot(&mut self.hal);
    }

    /// Lets the firmware work until it has nothing to do. Its work takes time, in which the
    /// GPU goes on.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.gpu.service();
            if self.pump.turn(&mut self.hal) == Turn::Idle {
                return;
            }
            if let Stop::Watch(gfid) = self.gpu.advance(self.gpu.now_ns() + self.turn_ns) {
                self.watch = Some(gfid);
            }
        }
        panic!("the firmware does not become idle: {:?}", self.pump.engine().counters());
    }

    /// Lets time pass until `until_ns` of the device, or until something was raised to
    /// firmware or host, or a watch was hit. The firmware has settled when this returns.
    pub fn run(&mut self, until_ns: u64) -> Stop {
        self.settle();
        if let Some(gfid) = self.watch.take() {
            return Stop::Watch(gfid);
        }
        let stop = self.gpu.advance(until_ns);
        self.settle();
        match (stop, self.watch.take()) {
            (Stop::Watch(gfid), _) | (_, Some(gfid)) => Stop::Watch(gfid),
            (stop, None) => stop,
        }
    }
}
