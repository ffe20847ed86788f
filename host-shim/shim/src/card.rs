//! A card: a simulated GPU with its firmware beside it.

mod error;
mod firmware;

use crate::attached::Attached;
use crate::loss::{Loss, LossCause};
use crate::mcu::{Mcu, Mishap, MishapAt};
use crate::native::Native;
use crate::remote::Remote;
use crate::stepped::{SteppedCall, Steps};
pub use error::CardError;
use firmware::Core;
use godwit_log::LogLine;
use godwit_mmio::{Burst, SharedWords, Words, leave_engines};
use godwit_pump::{PROTOCOL_VERSION, Pump, Turn};
use godwit_regs::Word;
use godwit_regs::bits::OnCrash;
use godwit_regs::boot::Booted;
use godwit_regs::map::{intr, mailbox, route};
use godwit_sim_gpu::{Costs, Gpu, GpuConfig, Stop};
use godwit_types::Gfid;

/// Instructions that one turn of the firmware's loop is charged with where nobody counts
/// them.
const TURN_INSTRUCTIONS: u64 = 1_000;
/// A loop that turns this often without becoming idle has a bug.
const TURNS_MAX: u32 = 1_000_000;
/// A microcontroller's answers to so many calls that leave work each time: each ends when its
/// firmware knows of none.
const CALLS_MAX: u32 = 10_000;
/// Restarts in a row of firmware that answers no call in between but that of its power-on.
const RESTARTS_MAX: u32 = 3;
/// Losses of a card, all in all: one that is lost so often has firmware that does not work.
const LOSSES_MAX: usize = 1_000;

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
    /// Firmware that was lost, and the time of the device then.
    losses: Vec<(u64, Loss)>,
    /// Of these, how many in a row before one came to rest after a call beside that of its
    /// power-on.
    lost_in_a_row: u32,
    /// How many there were when somebody last gave it its chances again.
    lost_before: usize,
    /// Instructions of the longest call since somebody asked.
    longest_call: u32,
}

impl Card {
    /// A card whose firmware is not started yet: whoever listens to it begins before it speaks.
    ///
    /// # Errors
    ///
    /// When the system gives no memory files.
    pub fn new(config: GpuConfig, mcu: &Mcu) -> Result<Self, CardError> {
        let Costs { engine_instruction_ps: instruction_ps, .. } = config.costs;
        // Firmware reads it when it starts, so it must not depend on who is faster.
        let speak = |words: &SharedWords| {
            words.publish(mailbox::host_version(), PROTOCOL_VERSION);
        };
        let (gpu, words, core) = match mcu {
            Mcu::Native => {
                let words = SharedWords::new();
                speak(&words);
                let gpu = Gpu::new(config, words.clone())?;
                let native = Native::start(words.clone());
                (gpu, words, Core::Native(Box::new(native)))
            }
            Mcu::Qemu(mcu) => {
                let remote = Remote::new(mcu.clone())?;
                let words = remote.words();
                speak(&words);
                let gpu = Gpu::new(config, words.clone())?;
                (gpu, words, Core::Remote(Box::new(remote)))
            }
            Mcu::Attached(mcu) => {
                let attached = Attached::new(mcu.clone())?;
                let words = attached.words();
                speak(&words);
                let gpu = Gpu::new(config, words.clone())?;
                (gpu, words, Core::Attached(Box::new(attached)))
            }
        };
        Ok(Self {
            gpu,
            words,
            core,
            instruction_ps,
            watch: None,
            losses: Vec::new(),
            lost_in_a_row: 0,
            lost_before: 0,
            longest_call: 0,
        })
    }

    /// Starts the firmware, and waits until it has come up and is at rest.
    ///
    /// # Errors
    ///
    /// When the microcontroller does not start, or the firmware does not come up: one that does
    /// not the first time would not the next.
    pub fn start(&mut self) -> Result<(), CardError> {
        match &mut self.core {
            Core::Native(_) => {}
            Core::Remote(remote) => remote.power_on()?,
            Core::Attached(attached) => attached.come_up(),
        }
        let burst = self.core.work()?;
        self.charge(burst);
        self.settle();
        Ok(())
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

    /// What the engines do while there is no firmware, after one that ended by itself.
    pub fn set_on_crash(&mut self, on_crash: OnCrash) {
        self.words.publish(intr::on_crash(), on_crash.bits());
    }

    /// The firmware, where it is in this process.
    pub fn pump(&self) -> Option<&Pump> {
        match &self.core {
            Core::Native(native) => Some(&native.pump),
            Core::Remote(_) | Core::Attached(_) => None,
        }
    }

    /// What the boot stage has started; `None` where the firmware has none, or is not at rest.
    pub fn booted(&self) -> Option<Booted> {
        match &self.core {
            Core::Native(_) | Core::Attached(_) => None,
            Core::Remote(remote) => remote.booted(),
        }
    }

    /// Whether a vGPU runs. Where the engine cannot be asked, its route says so, which is open
    /// from the start until the stop has got to the vectors.
    pub fn is_running(&self, gfid: Gfid) -> bool {
        match &self.core {
            Core::Native(native) => native.pump.engine().is_running(gfid),
            Core::Remote(_) | Core::Attached(_) => self.words.observe(route::open(gfid)) & 1 != 0,
        }
    }

    /// What its firmware has logged since the last time, up to its last rest: nothing, unless
    /// it is an image whose log is read ([`crate::QemuMcu::with_log`]).
    pub fn take_log(&mut self) -> Vec<LogLine> {
        match &mut self.core {
            Core::Native(_) | Core::Attached(_) => Vec::new(),
            Core::Remote(remote) => remote.take_log(),
        }
    }

    /// Bytes of that log that the firmware has gone over before they were read.
    pub fn log_lost_bytes(&self) -> u64 {
        match &self.core {
            Core::Native(_) | Core::Attached(_) => 0,
            Core::Remote(remote) => remote.log_lost_bytes(),
        }
    }

    /// The firmware is gone, with all that it had in memory, and starts again. The GPU goes
    /// on meanwhile. Somebody has asked for it, so it is given its chances again. That of a
    /// microcontroller which is somebody else's stays as it is ([`Mcu::Attached`]).
    pub fn restart_firmware(&mut self) {
        if !self.core.can_restart() {
            return;
        }
        self.give_chances();
        self.start_again();
        self.come_up();
    }

    /// Firmware that was given up is tried again.
    pub(crate) fn give_chances(&mut self) {
        self.lost_in_a_row = 0;
        self.lost_before = self.losses.len();
    }

    /// Starts the firmware again. What the one before has asked the device for is done first.
    fn start_again(&mut self) {
        match &mut self.core {
            Core::Native(native) => native.restart(),
            Core::Attached(_) => {}
            Core::Remote(remote) => {
                remote.power_off();
                self.gpu.service();
                if let Err(error) = remote.power_on() {
                    let loss = remote.loss(error);
                    self.lose(loss);
                }
            }
        }
    }

    /// Waits until a microcontroller that was powered on has come up. Until then nobody touches
    /// its registers: what it sees must not depend on who is faster. That it has come up says
    /// little of it: a trap may wait for its next work.
    fn come_up(&mut self) {
        while !self.is_lost()
            && let Core::Remote(remote) = &mut self.core
            && remote.is_starting()
        {
            match remote.work() {
                Ok(burst) => self.charge(burst),
                Err(loss) => self.lose(loss),
            }
        }
    }

    /// Makes the firmware end, once. Firmware in this process does so at once and between two
    /// turns of its loop; the engines then do what [`OnCrash`] says, as with any other. Its power
    /// can be cut at any word that it writes: these count as its instructions.
    pub fn arrange(&mut self, mishap: MishapAt) {
        match &mut self.core {
            Core::Native(native) => {
                if mishap.mishap == Mishap::Cut && mishap.instructions != 0 {
                    return native.cut_after(mishap.instructions);
                }
                let loss = Loss::native(LossCause::Arranged(mishap.mishap));
                self.lose(loss);
            }
            Core::Remote(remote) => remote.arrange(mishap),
            // It ends as it likes.
            Core::Attached(_) => {}
        }
    }

    /// Cuts the power of the next start of firmware in this process as well, after so many words
    /// that it writes while it takes over, unless it is at rest before.
    pub fn arrange_takeover(&mut self, words: u32) {
        if let Core::Native(native) = &mut self.core {
            native.cut_takeover_after(words);
        }
    }

    /// Takes back what was arranged, if it has not happened.
    pub fn call_off(&mut self) {
        match &mut self.core {
            Core::Native(native) => native.call_off(),
            Core::Remote(remote) => remote.call_off(),
            Core::Attached(_) => {}
        }
    }

    /// Whether the firmware is still to end as was arranged.
    pub fn is_crash_arranged(&self) -> bool {
        match &self.core {
            Core::Native(native) => native.is_cut_arranged(),
            Core::Remote(remote) => remote.is_mishap_arranged(),
            Core::Attached(_) => false,
        }
    }

    /// Calls to a microcontroller of the host's so far; `None`: the firmware is elsewhere.
    pub fn calls(&self) -> Option<u32> {
        match &self.core {
            Core::Native(_) | Core::Attached(_) => None,
            Core::Remote(remote) => Some(remote.calls()),
        }
    }

    /// Instructions of the longest call to a microcontroller since this was asked last: 0 where
    /// there was none, or nobody counts.
    pub fn take_longest_call(&mut self) -> u32 {
        std::mem::take(&mut self.longest_call)
    }

    /// Steps the microcontroller through each call from now on, and notes when these words change;
    /// none: does so no more. Slow, and without effect where the firmware is in this process.
    pub fn step_calls(&mut self, words: Vec<Word>) {
        if let Core::Remote(remote) = &mut self.core {
            remote.steps = (!words.is_empty()).then(|| Steps::new(words));
        }
    }

    /// The calls that were stepped since the last time.
    pub fn take_stepped(&mut self) -> Vec<SteppedCall> {
        let steps = self.remote().and_then(|remote| remote.steps.as_mut());
        steps.map(|steps| std::mem::take(&mut steps.calls)).unwrap_or_default()
    }

    /// Every loss of the firmware, with the device's time then, in order. It was restarted after
    /// each, unless [`Self::is_lost`], or it runs and has lost vGPUs.
    pub fn losses(&self) -> &[(u64, Loss)] {
        &self.losses
    }

    /// Whether the firmware is gone for good, since it was lost again and again. The GPU goes on
    /// with what is on its engines, and nobody takes turns.
    pub fn is_lost(&self) -> bool {
        self.lost_in_a_row > RESTARTS_MAX || self.losses.len() - self.lost_before >= LOSSES_MAX
    }

    /// Notes what is lost with firmware that runs.
    pub(crate) fn note(&mut self, cause: LossCause) {
        let loss = self.core.loss(cause);
        self.losses.push((self.gpu.now_ns(), loss));
    }

    /// The microcontroller, where the firmware is an image.
    pub(crate) fn remote(&mut self) -> Option<&mut Remote> {
        match &mut self.core {
            Core::Native(_) | Core::Attached(_) => None,
            Core::Remote(remote) => Some(remote),
        }
    }

    /// How long somebody else's microcontroller may take from now on.
    #[cfg(test)]
    pub(crate) fn set_patience(&mut self, patience: std::time::Duration) {
        if let Core::Attached(attached) = &mut self.core {
            attached.set_patience(patience);
        }
    }

    /// Whether the microcontroller is the host's to be powered on and off.
    pub(crate) fn is_ours(&self) -> bool {
        self.core.can_restart()
    }

    /// How long somebody else's firmware may take for an answer; `None`: it is ours.
    pub(crate) fn patience(&self) -> Option<std::time::Duration> {
        match &self.core {
            Core::Attached(attached) => Some(attached.patience()),
            Core::Native(_) | Core::Remote(_) => None,
        }
    }

    /// Firmware that answers calls and does not do what it is asked for is given up, where it is
    /// somebody else's. `false`: it is ours.
    pub(crate) fn give_up(&mut self) -> bool {
        if self.is_ours() {
            return false;
        }
        let loss = self.core.loss(LossCause::Silent);
        self.lose(loss);
        true
    }

    /// Notes a loss, and starts the firmware again.
    fn lose(&mut self, loss: Loss) {
        if !self.core.can_restart() {
            // It may be there yet, and write its words: they are left to it.
            self.losses.push((self.gpu.now_ns(), loss));
            self.lost_in_a_row = RESTARTS_MAX + 1;
            return;
        }
        if loss.left_engines() {
            // What it was to do with the engines it could not: it is gone, so nobody else writes
            // its words.
            self.core.power_off();
            leave_engines(&self.words);
        }
        self.losses.push((self.gpu.now_ns(), loss));
        self.lost_in_a_row += 1;
        if !self.is_lost() {
            self.start_again();
        } else {
            self.core.power_off();
        }
    }

    /// Lets the firmware work until it has nothing to do. Its work takes time, in which the
    /// GPU goes on. Firmware that ends is restarted.
    ///
    /// # Panics
    ///
    /// When firmware in this process does not become idle, which is a bug in it.
    pub fn settle(&mut self) {
        let mut calls = 0;
        for _ in 0..TURNS_MAX {
            self.come_up();
            self.gpu.service();
            if self.is_lost() {
                return;
            }
            match &mut self.core {
                Core::Native(native) => {
                    // What it does about an interrupt comes when it has worked for it, not before.
                    let interrupted = native.is_interrupted();
                    if interrupted {
                        self.pass(self.work_ns(TURN_INSTRUCTIONS));
                    }
                    let Core::Native(native) = &mut self.core else { continue };
                    let turn = native.turn();
                    if native.is_cut() {
                        self.lose(Loss::native(LossCause::Arranged(Mishap::Cut)));
                        continue;
                    }
                    if turn == Turn::Idle {
                        self.lost_in_a_row = 0;
                        return;
                    }
                    if !interrupted {
                        self.pass(self.work_ns(TURN_INSTRUCTIONS));
                    }
                }
                Core::Remote(_) | Core::Attached(_) => match self.core.work() {
                    Ok(None) => {
                        if calls != 0 {
                            self.lost_in_a_row = 0;
                        }
                        return;
                    }
                    Ok(_) if calls == CALLS_MAX => {
                        let loss = self.core.loss(LossCause::Restless);
                        calls = 0;
                        self.lose(loss);
                    }
                    Ok(burst) => {
                        calls += 1;
                        self.charge(burst);
                    }
                    Err(loss) => {
                        calls = 0;
                        self.lose(loss);
                    }
                },
            }
        }
        let counters = self.pump().map(|pump| pump.engine().counters());
        panic!("the firmware does not become idle: {counters:?}");
    }

    /// Lets the time pass that the firmware's work took.
    pub(crate) fn charge(&mut self, burst: Option<Burst>) {
        let Some(burst) = burst else { return };
        self.longest_call = self.longest_call.max(burst.instructions);
        let instructions = match burst.instructions {
            0 => u64::from(burst.turns) * TURN_INSTRUCTIONS,
            counted => u64::from(counted),
        };
        self.pass(self.work_ns(instructions));
    }

    fn work_ns(&self, instructions: u64) -> u64 {
        (instructions * self.instruction_ps).div_ceil(1_000)
    }

    /// Lets time pass, whatever is raised meanwhile: firmware that is at work does not look.
    fn pass(&mut self, ns: u64) {
        let until_ns = self.gpu.now_ns() + ns;
        while self.gpu.now_ns() < until_ns {
            self.watch(|gpu| gpu.advance(until_ns));
        }
    }

    fn watch(&mut self, advance: impl FnOnce(&mut Gpu) -> Stop) {
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
