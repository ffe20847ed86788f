//! What an operator asks of a host whose vGPUs are at work: each is stepped, and waits for nobody.

use crate::host::{Answer, Host, HostError, Pending};
use crate::release::{Release, Start};
use crate::share::{any, to_wire};
use godwit_types::{Gfid, Placement, Profile, Scheduling, Share};
use godwit_wire::mailbox::{self, Command, Reject};

#[derive(Debug)]
enum Making {
    Creating(Pending),
    Starting(Start),
    /// The firmware has it, and can only release it.
    Undoing(Release, Reject),
}

/// A vGPU that is being made and started.
#[derive(Debug)]
pub struct Creation {
    gfid: Gfid,
    profile: Profile,
    placement: Placement,
    share: Share,
    phase: Making,
}

impl Creation {
    /// Asks for a vGPU at a place that is free ([`Host::place`], [`Host::place_at`]), which is
    /// taken from now on.
    pub fn new(
        host: &mut Host,
        (gfid, placement): (Gfid, Placement),
        profile: Profile,
        share: Share,
    ) -> Self {
        let phase = Making::Creating(host.create(gfid, profile, placement, share));
        Self { gfid, profile, placement, share, phase }
    }

    /// The GPU's number of it.
    pub fn gfid(&self) -> Gfid {
        self.gfid
    }

    /// Goes on. `None`: it is under way. After an error nothing of it is left.
    ///
    /// # Errors
    ///
    /// When the firmware refuses, or is lost.
    pub fn step(&mut self, host: &mut Host) -> Option<Result<(), HostError>> {
        let gfid = self.gfid;
        match &mut self.phase {
            Making::Creating(pending) => match host.poll_answer(pending) {
                Answer::Waiting => {}
                Answer::Void if !host.was_present(gfid) => {
                    *pending = host.create(gfid, self.profile, self.placement, self.share);
                }
                Answer::Done | Answer::Void => {
                    self.phase = Making::Starting(Start::new(host, gfid));
                }
                Answer::Refused(why @ Reject::Deadline) => {
                    self.phase = Making::Undoing(Release::new(host, gfid), why);
                }
                Answer::Refused(why) => {
                    host.forget(gfid);
                    return Some(Err(HostError::Refused(why)));
                }
            },
            Making::Starting(start) => match start.step(host) {
                Ok(true) => return Some(Ok(())),
                Ok(false) => {}
                Err(why) => self.phase = Making::Undoing(Release::new(host, gfid), why),
            },
            Making::Undoing(release, why) => {
                let why = *why;
                if release.step(host) {
                    return Some(Err(HostError::Refused(why)));
                }
            }
        }
        host.lost_for_good().map(Err)
    }
}

/// A vGPU that is being removed, with all that it has.
#[derive(Debug)]
pub struct Removal(Release);

impl Removal {
    /// Asks for it.
    pub fn new(host: &mut Host, gfid: Gfid) -> Self {
        Self(Release::new(host, gfid))
    }

    /// Goes on. `None`: it is under way.
    ///
    /// # Errors
    ///
    /// When the firmware is lost.
    pub fn step(&mut self, host: &mut Host) -> Option<Result<(), HostError>> {
        if self.0.step(host) { Some(Ok(())) } else { host.lost_for_good().map(Err) }
    }
}

#[derive(Clone, Copy, Debug)]
enum To {
    Share(Gfid, Share),
    Scheduling(Scheduling),
}

impl To {
    fn command(self) -> (Gfid, Command) {
        match self {
            Self::Share(gfid, share) => (gfid, Command::SetShare(to_wire(share))),
            Self::Scheduling(Scheduling { policy, slice_ns, averaging }) => {
                let how = mailbox::Scheduling { policy: policy as u8, slice_ns, averaging };
                (any(), Command::SetScheduling(how))
            }
        }
    }
}

/// A change of who gets how much of the engines.
#[derive(Debug)]
pub struct Change {
    to: To,
    pending: Pending,
}

impl Change {
    /// Of what a vGPU is due.
    pub fn of_share(host: &mut Host, gfid: Gfid, share: Share) -> Self {
        Self::new(host, To::Share(gfid, share))
    }

    /// Of how the vGPUs take turns.
    pub fn of_scheduling(host: &mut Host, how: Scheduling) -> Self {
        Self::new(host, To::Scheduling(how))
    }

    fn new(host: &mut Host, to: To) -> Self {
        let (gfid, command) = to.command();
        Self { to, pending: host.send(gfid, command) }
    }

    /// Goes on. `None`: it is under way. Firmware that is restarted meanwhile is asked again.
    ///
    /// # Errors
    ///
    /// When the firmware refuses, or is lost.
    pub fn step(&mut self, host: &mut Host) -> Option<Result<(), HostError>> {
        match host.poll_answer(&self.pending) {
            Answer::Waiting => host.lost_for_good().map(Err),
            Answer::Void => {
                *self = Self::new(host, self.to);
                None
            }
            Answer::Refused(why) => Some(Err(HostError::Refused(why))),
            Answer::Done => {
                match self.to {
                    To::Share(gfid, share) => host.note_share(gfid, share),
                    To::Scheduling(how) => host.scheduling = how,
                }
                Some(Ok(()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
