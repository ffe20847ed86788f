//! Updates: another image in place of the one that runs, and the one before again if need be.

use crate::card::{Card, CardError};
use crate::host::Host;
use crate::image::check_image;
use crate::mcu::Program;
use crate::tally;
use godwit_sys::ImageFile;
use std::sync::Arc;

/// How long firmware may take to say that it has started: twice as long as it waits for the device.
const START_NS_MAX: u64 = 2_000_000_000;
/// Time between two looks whether it has.
const LOOK_NS: u64 = 10_000;

/// What an update replaces.
#[derive(Debug)]
struct Before {
    image: Arc<ImageFile>,
    /// What it had retained.
    retained: Vec<u32>,
}

impl Host {
    /// Replaces the firmware under everything by another image, an ELF file, in the same way as it
    /// is restarted: the vGPUs run on. If the other one does not come up, speaks another version
    /// of the protocol, or does not take over all vGPUs, the one before does.
    ///
    /// # Errors
    ///
    /// When the one before is back or was never gone, or the firmware is in this process.
    pub fn update_firmware(&mut self, image: &[u8]) -> Result<(), CardError> {
        self.take_events();
        let ran = self.that_run();
        let before = self.card.set_up(image)?;
        self.take_events();
        let tried = self.card.try_out().and_then(|()| self.all_taken_over(ran));
        if let Err(why) = &tried {
            self.take_back(&before, matches!(why, CardError::Vgpus(_)));
        }
        self.take_events();
        tried
    }

    /// vGPUs that run, as the host was told and the device says.
    fn that_run(&self) -> u32 {
        let started = tally::gfids(self.tally.started());
        tally::word(started.filter(|gfid| self.card.is_running(*gfid)))
    }

    /// Waits until the firmware tells what it has taken over: every vGPU, and those run that ran
    /// before.
    fn all_taken_over(&mut self, ran: u32) -> Result<(), CardError> {
        self.await_start()?;
        match self.tally.missing() | ran & !self.tally.started() {
            0 => Ok(()),
            missing => Err(CardError::Vgpus(tally::gfids(missing).collect())),
        }
    }

    /// Lets time pass until the firmware that was powered on tells that it has started.
    pub(crate) fn await_start(&mut self) -> Result<(), CardError> {
        let starts = self.tally.starts();
        let until_ns = self.now_ns() + START_NS_MAX;
        loop {
            self.take_told();
            if self.tally.starts() != starts {
                return Ok(());
            }
            if self.card.is_lost() {
                let told = self.card.losses().last().map(|(_, loss)| loss.to_string());
                return Err(CardError::Lost(told.unwrap_or_default()));
            }
            if self.now_ns() >= until_ns {
                return Err(CardError::NeverStarted);
            }
            self.card.run(self.now_ns() + LOOK_NS);
        }
    }

    /// Powers the image before on. What the other one has retained is true, unless vGPUs are
    /// missing in it: then what was retained before the update is the better word, though the
    /// engines may have lost work.
    fn take_back(&mut self, before: &Before, is_worse: bool) {
        let mut retained = is_worse.then_some(&before.retained[..]);
        loop {
            self.card.put_back(&before.image, retained);
            let has_started = self.await_start().is_ok();
            if !has_started || self.tally.missing() == 0 || retained.is_some() {
                return;
            }
            retained = Some(&before.retained);
        }
    }
}

impl Card {
    /// Sets an image up to be powered on. Returns what it replaces.
    fn set_up(&mut self, image: &[u8]) -> Result<Before, CardError> {
        if !self.is_ours() {
            return Err(CardError::NotOurs);
        }
        self.settle();
        let remote = self.remote().ok_or(CardError::NoImage)?;
        let before = match remote.program() {
            Program::Image(image) => image.clone(),
            Program::Flash(_) => return Err(CardError::Flashed),
        };
        check_image(remote.board(), image)?;
        let image = Arc::new(ImageFile::from_bytes(image)?);
        remote.power_off();
        let retained = remote.retained();
        remote.set_image(image);
        Ok(Before { image: before, retained })
    }

    /// Powers it on.
    fn try_out(&mut self) -> Result<(), CardError> {
        let remote = self.remote().ok_or(CardError::NoImage)?;
        remote.power_on()?;
        let burst = remote.work()?;
        // It must live through a call beside that of power-on before the one before is let go.
        let probed = remote.call()?;
        self.give_chances();
        self.charge(burst);
        self.charge(probed);
        Ok(())
    }

    /// Powers an image on in its place.
    fn put_back(&mut self, image: &Arc<ImageFile>, retained: Option<&[u32]>) {
        if let Some(remote) = self.remote() {
            remote.power_off();
            if let Some(retained) = retained {
                remote.put_retained(retained);
            }
            remote.set_image(image.clone());
        }
        self.restart_firmware();
        self.settle();
    }
}
