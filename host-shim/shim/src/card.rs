//! A card: a simulated GPU with its firmware beside it.

use crate::mcu::Mcu;
use crate::native::Native;
use crate::remote::Remote;
use godwit_mmio::{SharedWords, Words};
use godwit_pump::{Pump, Turn};
use godwit_regs::boot::Booted;
use godwit_regs::map::route;
use godwit_sim_gpu::{Costs, Gpu, GpuConfig, Stop};
use godwit_sys::QemuError;
use godwit_types::Gfid;
use std::io;

/// Instructions that one turn of the firmware's loop is charged with where nobody counts
/// them.
const TURN_INSTRUCTIONS: u64 = 1_000;
/// A loop that turns this often without becoming idle has a bug.
const TURNS_MAX: u32 = 1_000_000;

/// Why there is no card.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The system gives no memory files.
    #[error("the system gives no memory for a simulated GPU: {0}")]
    Memory(#[from] io::Error),
    /// The microcontroller does not start.
    #[error(transparent)]
    Mcu(#[from] QemuError),
    /// Firmware and host speak different versions of the mailbox's protocol.
    #[error(
        "the firmware speaks version {firmware} of the mailbox's protocol and this host version \
         {host}: the {} is too old",
        if firmware < host { "firmware" } else { "host" }
    )]
    Version {
        /// The firmware's.
        firmware: u32,
        /// The host's.
        host: u32,
    },
}

/// Whether firmware and host understand each other.
pub(crate) fn check_versions(firmware: u32, host: u32) -> Result<(), CardError> {
    if firmware == host { Ok(()) } else { Err(CardError::Version { firmware, host }) }
}

/// What the firmware runs on.
#[derive(Debug)]
enum Core {
    Native(Box<Native>),
    Remote(Box<Remote>),
}

/// A simulated GPU in this process and in virtual time, and the firmware that manages it.
///
/// Time passes for the GPU only while the firmware is at rest, wherever it runs; what its work
/// took is made up for afterwards. So nothing depends on how fast the host is.
#[derive(Debug)]
pub struct Card {
    gpu: Gpu,
    words: SharedWords,
    core: Core,
    instruction_ps: u64,
    /// A watch that was hit while the firmware was at work.
    watch: Option<Gfid>,
}

impl Card {
    /// Powers a card on and starts its firmware.
    ///
    /// # Errors
    ///
    /// When the system gives no memory files, or the microcontroller does not start.
    pub fn new(config: GpuConfig, mcu: &Mcu) -> Result<Self, CardError> {
        let Costs { engine_instruction_ps: instruction_ps, .. } = config.costs;
        let (gpu, words, core) = match mcu {
            Mcu::Native => {
                let words = SharedWords::new();
                let gpu = Gpu::new(config, words.clone())?;
                let native = Native::start(words.clone());
                (gpu, words, Core::Native(Box::new(native)))
            }
            Mcu::Qemu(mcu) => {
                let mut remote = Remote::new(mcu.clone())?;
                let words = remote.words();
                let gpu = Gpu::new(config, words.clone())?;
                remote.power_on()?;
                (gpu, words, Core::Remote(Box::new(remote)))
            }
        };
        Ok(Self { gpu, words, core, instruction_ps, watch: None })
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

    /// The firmware, where it is in this process.
    pub fn pump(&self) -> Option<&Pump> {
        match &self.core {
            Core::Native(native) => Some(&native.pump),
            Core::Remote(_) => None,
        }
    }

    /// What the boot stage has started; `None` where the firmware has none, or is not at rest.
    pub fn booted(&self) -> Option<Booted> {
        match &self.core {
            Core::Native(_) => None,
            Core::Remote(remote) => remote.booted(),
        }
    }

    /// Whether a vGPU runs. Where the engine cannot be asked, its route says so, which is open
    /// from the start until the stop has got to the vectors.
    pub fn is_running(&self, gfid: Gfid) -> bool {
        match &self.core {
            Core::Native(native) => native.pump.engine().is_running(gfid),
            Core::Remote(_) => self.words.observe(route::open(gfid)) & 1 != 0,
        }
    }

    /// The firmware is gone, with all that it had in memory, and starts again. The GPU goes
    /// on meanwhile.
    ///
    /// # Panics
    ///
    /// When a microcontroller that was there is not any more.
    pub fn restart_firmware(&mut self) {
        match &mut self.core {
            Core::Native(native) => native.restart(),
            Core::Remote(remote) => match remote.power_on() {
                Ok(()) => {}
                Err(error) => panic!("the firmware cannot be restarted: {error}"),
            },
        }
    }

    /// Lets the firmware work until it has nothing to do. Its work takes time, in which the
    /// GPU goes on.
    ///
    /// # Panics
    ///
    /// When it does not become idle; the message says what it was last seen doing.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.gpu.service();
            match &mut self.core {
                Core::Native(native) => {
                    if native.turn() == Turn::Idle {
                        return;
                    }
                    let until_ns = self.gpu.now_ns() + self.work_ns(TURN_INSTRUCTIONS);
                    self.note(|gpu| gpu.advance(until_ns));
                }
                Core::Remote(remote) => match remote.work() {
                    Ok(None) => return,
                    Ok(Some(burst)) => {
                        let instructions = match burst.instructions {
                            0 => u64::from(burst.turns) * TURN_INSTRUCTIONS,
                            counted => u64::from(counted),
                        };
                        self.pass(self.work_ns(instructions));
                    }
                    Err(unwell) => panic!("{unwell}"),
                },
            }
        }
        let counters = self.pump().map(|pump| pump.engine().counters());
        panic!("the firmware does not become idle: {counters:?}");
    }

    fn work_ns(&self, instructions: u64) -> u64 {
        (instructions * self.instruction_ps).div_ceil(1_000)
    }

    /// Lets time pass, whatever is raised meanwhile: firmware that is at work does not look.
    fn pass(&mut self, ns: u64) {
        let until_ns = self.gpu.now_ns() + ns;
        while self.gpu.now_ns() < until_ns {
            self.note(|gpu| gpu.advance(until_ns));
        }
    }

    fn note(&mut self, advance: impl FnOnce(&mut Gpu) -> Stop) {
        if let Stop::Watch(gfid) = advance(&mut self.gpu) {
            self.watch = Some(gfid);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_side_is_named() {
        assert!(check_versions(3, 3).is_ok());
        let why = |firmware, host| check_versions(firmware, host).unwrap_err().to_string();
        assert!(why(1, 2).ends_with("the firmware is too old"), "{}", why(1, 2));
        assert!(why(2, 1).ends_with("the host is too old"), "{}", why(2, 1));
    }
}
