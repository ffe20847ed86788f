//! What vGPUs are due of a card's engines, and what is told of how they have them.

use crate::host::{Host, HostError};
use godwit_mmio::SwitchRead;
use godwit_types::{Abuse, Gfid, Limits, Measure, Scheduling, Share};
use godwit_wire::mailbox::{self, Command, Reject};

/// A vGPU has done too much of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbuseReport {
    /// Which vGPU.
    pub gfid: Gfid,
    /// Of what.
    pub abuse: Abuse,
    /// What is done about it until the window ends.
    pub measure: Measure,
}

impl AbuseReport {
    /// Reads a message; `None`: the numbers are none.
    pub(crate) fn new(gfid: u8, abuse: u8, measure: u8) -> Option<Self> {
        let abuse = Abuse::ALL.into_iter().find(|one| *one as u8 == abuse)?;
        Some(Self { gfid: Gfid::new(gfid)?, abuse, measure: Measure::new(measure)? })
    }
}

pub(crate) fn to_wire(share: Share) -> mailbox::Share {
    let Share { weight, part, cap } = share;
    mailbox::Share { weight, part, cap }
}

/// A share as a state has it. One that cannot be is replaced by the default: it belongs to the
/// host that the vGPU comes from, and says nothing of the vGPU's state.
pub(crate) fn from_wire(share: mailbox::Share) -> Share {
    let mailbox::Share { weight, part, cap } = share;
    Some(Share { weight, part, cap }).filter(Share::is_valid).unwrap_or(Share::DEFAULT)
}

impl Host {
    /// Changes what a vGPU is due of the engines, and waits until that is so. It runs on.
    ///
    /// # Errors
    ///
    /// When there is no such vGPU, or a number is out of its range.
    pub fn set_share(&mut self, gfid: Gfid, share: Share) -> Result<(), HostError> {
        self.settled(gfid, Command::SetShare(to_wire(share)))?;
        self.note_share(gfid, share);
        Ok(())
    }

    /// Changes how the card's vGPUs take turns, and waits until that is so. They run on.
    ///
    /// # Errors
    ///
    /// When a number is out of its range.
    pub fn set_scheduling(&mut self, how: Scheduling) -> Result<(), HostError> {
        let Scheduling { policy, slice_ns, averaging } = how;
        let wire = mailbox::Scheduling { policy: policy as u8, slice_ns, averaging };
        self.settled(any(), Command::SetScheduling(wire))?;
        self.scheduling = how;
        Ok(())
    }

    /// How the card's vGPUs take turns.
    pub fn scheduling(&self) -> Scheduling {
        self.scheduling
    }

    /// How long it takes until all have had a turn, at most, in nanoseconds; 0 for one that is
    /// alone.
    pub(crate) fn round_ns(&self) -> u64 {
        let count = u32::try_from(self.vgpus.len()).unwrap_or(u32::MAX);
        let default_ns = Scheduling::default_slice_ns(count);
        let slice_ns = self.scheduling.slice_ns.unwrap_or(default_ns);
        if count <= 1 { 0 } else { slice_ns * u64::from(count) }
    }

    /// Bytes of the contexts of a vGPU's channels, in use or not.
    pub(crate) fn context_bytes(&self, gfid: Gfid) -> u64 {
        let profile = self.vgpu(gfid).map(|info| info.profile);
        profile.map_or(0, |profile| {
            u64::from(profile.channel_count) * u64::from(profile.context_bytes)
        })
    }

    /// Changes how much of something is too much.
    ///
    /// # Errors
    ///
    /// When a number is out of its range.
    pub fn set_limits(&mut self, limits: &Limits) -> Result<(), HostError> {
        let of = limits
            .of
            .map(|limit| mailbox::Limit { count: limit.count, measure: limit.measure as u8 });
        let limits = mailbox::Limits { window_ms: limits.window_ms, of };
        self.settled(any(), Command::SetLimits(limits))
    }

    /// Sends a command until a firmware has answered it: one that is restarted meanwhile may not
    /// know of it.
    pub(crate) fn settled(&mut self, gfid: Gfid, command: Command) -> Result<(), HostError> {
        loop {
            let pending = self.send(gfid, command);
            let answer = self.wait(&pending);
            if answer == Err(Reject::WrongPhase) && pending.is_void(self) {
                continue;
            }
            return answer.map_err(HostError::Refused);
        }
    }

    /// Takes what was told of vGPUs that do too much of something.
    pub fn take_abuses(&mut self) -> Vec<AbuseReport> {
        std::mem::take(&mut self.abuses)
    }

    /// Faults of channels that were told of vGPUs that had this id, since the host was powered on.
    pub fn fault_count(&self, gfid: Gfid) -> u64 {
        self.faults.get(&gfid).copied().unwrap_or(0)
    }

    pub(crate) fn count_fault(&mut self, gfid: u8) {
        if let Some(gfid) = Gfid::new(gfid) {
            *self.faults.entry(gfid).or_default() += 1;
        }
    }

    pub(crate) fn note_share(&mut self, gfid: Gfid, share: Share) {
        if let Some(info) = self.vgpus.get_mut(&gfid) {
            info.share = share;
        }
    }

    /// What the card's firmware tells next of groups that leave an engine; `None`: nothing yet.
    pub fn poll_switch(&mut self) -> Option<SwitchRead> {
        self.switches.poll()
    }
}

/// A command for all of the card names some vGPU.
pub(crate) fn any() -> Gfid {
    Gfid::new(1).expect("every card has a first vGPU id")
}
