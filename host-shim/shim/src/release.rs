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

/// A start that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    gfid: Gfid,
    pending: Pending,
}

impl Start {
    /// Asks the firmware to let a vGPU run.
    pub(crate) fn new(host: &mut Host, gfid: Gfid) -> Self {
        Self { gfid, pending: host.send(gfid, Command::Start) }
    }

    /// Whether it is done; asks again after a restart.
    pub(crate) fn step(&mut self, host: &mut Host) -> Result<bool, Reject> {
        match host.poll_answer(&self.pending) {
            Answer::Waiting => Ok(false),
            Answer::Done => Ok(true),
            Answer::Void if host.was_running(self.gfid) => Ok(true),
            // The device is late: the vGPU stands still, and can be started.
            Answer::Void | Answer::Refused(Reject::Deadline) => {
                self.pending = host.send(self.gfid, Command::Start);
                Ok(false)
            }
            Answer::Refused(why) => Err(why),
        }
    }
}
