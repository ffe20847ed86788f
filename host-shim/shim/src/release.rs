//! Commands that must come to their end whatever the firmware does meanwhile.

use crate::host::{Answer, Host, HostError, Pending};
use godwit_types::Gfid;
use godwit_wire::mailbox::{Command, Reject};

impl Host {
    /// Scrubs a vGPU and makes it absent, and waits for that: for start-up, before anything else
    /// goes on.
    ///
    /// # Errors
    ///
    /// When the firmware refuses.
    pub fn release(&mut self, gfid: Gfid) -> Result<(), HostError> {
        let pending = self.send(gfid, Command::Release);
        self.wait(&pending).map_err(HostError::Refused)?;
        self.forget(gfid);
        Ok(())
    }
}

/// A release that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    gfid: Gfid,
    pending: Pending,
}

impl Release {
    /// Asks the firmware to scrub a vGPU and make it absent.
    pub(crate) fn new(host: &mut Host, gfid: Gfid) -> Self {
        host.slots.end(gfid);
        Self { gfid, pending: host.send(gfid, Command::Release) }
    }

    /// Whether it is done; asks again after a restart.
    pub(crate) fn step(&mut self, host: &mut Host) -> bool {
        match host.poll_answer(&self.pending) {
            Answer::Waiting => return false,
            Answer::Void if host.was_present(self.gfid) => {
                self.pending = host.send(self.gfid, Command::Release);
                return false;
            }
            // The device is late with it: the firmware goes on, and says when it is done if it
            // is asked again.
            Answer::Refused(Reject::Deadline) => {
                self.pending = host.send(self.gfid, Command::Release);
                return false;
            }
            // Otherwise a release is refused only where there is nothing to release.
            Answer::Done | Answer::Refused(_) | Answer::Void => {}
        }
        host.forget(self.gfid);
        true
    }
}

/// So often a vGPU that has come from elsewhere is asked to start here, where the device is late
/// each time: its deadline is a second. After that it goes back to where it is whole.
pub(crate) const STARTS_MAX: u32 = 8;

/// A start that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    gfid: Gfid,
    pending: Pending,
    /// The firmware's start that was asked first.
    generation: u32,
    /// How often the device may be late yet; `None`: as often as it likes.
    late_left: Option<u32>,
}

impl Start {
    /// Asks the firmware to let a vGPU run, until it does.
    pub(crate) fn new(host: &mut Host, gfid: Gfid) -> Self {
        let pending = host.send(gfid, Command::Start);
        Self { gfid, pending, generation: host.generation(), late_left: None }
    }

    /// The same for one that can be had elsewhere: it is asked [`STARTS_MAX`] times.
    pub(crate) fn of_arrived(host: &mut Host, gfid: Gfid) -> Self {
        Self { late_left: Some(STARTS_MAX - 1), ..Self::new(host, gfid) }
    }

    /// Whether a vGPU that was refused has surely never run: firmware that was lost since it was
    /// asked may have started it.
    pub(crate) fn has_not_run(&self, host: &Host) -> bool {
        self.generation == host.generation()
    }

    /// Whether it is done; asks again after a restart.
    pub(crate) fn step(&mut self, host: &mut Host) -> Result<bool, Reject> {
        match host.poll_answer(&self.pending) {
            Answer::Waiting => return Ok(false),
            Answer::Done => return Ok(true),
            Answer::Void if host.was_running(self.gfid) => return Ok(true),
            Answer::Void => {}
            // The device is late: the vGPU stands still, and can be started.
            Answer::Refused(Reject::Deadline) if self.late_left != Some(0) => {
                self.late_left = self.late_left.map(|left| left - 1);
            }
            Answer::Refused(why) => return Err(why),
        }
        self.pending = host.send(self.gfid, Command::Start);
        Ok(false)
    }
}
