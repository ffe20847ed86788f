//! Start: from nothing, or from what an earlier firmware left.

use crate::parse;
use crate::trace::trace;
use crate::turn::Pump;
use godwit_engine::{Engine, Registers, RetainedPhase, RetainedVgpu};
use godwit_hal::{Hardware, RetainedSlot};
use godwit_types::{
    ChannelConfig, ChannelFault, ChannelId, Engines, Epoch, Gfid, Identity, Limits, RunlistId,
    RunlistState, Scheduling,
};
use godwit_wire::retained::{self, Kept};

/// Version of the mailbox protocol that this firmware speaks.
pub const PROTOCOL_VERSION: u32 = 3;

/// Why firmware does not start: what it meets is of another version than it knows. It has written
/// nothing then but the version that it speaks itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The host speaks this version of the mailbox's protocol.
    Host(u32),
    /// What an earlier firmware retained has this version.
    Retained(u8),
}

/// The registers as a restarted engine reads them.
struct Device<'a, H>(&'a H);

impl<H: Hardware> Registers for Device<'_, H> {
    fn channel(&self, channel: ChannelId) -> Option<ChannelConfig> {
        self.0.read_channel(channel)
    }

    fn fault(&self, channel: ChannelId) -> Option<ChannelFault> {
        self.0.channel_fault(channel)
    }

    fn runlist(&self, runlist: RunlistId) -> (RunlistState, (u32, u32, u32)) {
        (self.0.runlist_state(runlist), self.0.last_requests(runlist))
    }
}

impl Pump {
    /// Starts on a device that has come up. What an earlier firmware retained is taken over;
    /// without it the device is taken to be at rest.
    ///
    /// It cannot be placed later: the caller gives it a static home.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn boot<H: Hardware>(hal: &mut H) -> Result<Self, Mismatch> {
        let mut pump = Self::with_engine(Engine::new(NOTHING));
        pump.start(hal)?;
        Ok(pump)
    }

    /// A pump that has not started, for a `static`. Call [`Self::start`] first.
    pub const fn new() -> Self {
        Self::with_engine(Engine::new(NOTHING))
    }

    /// See [`Self::boot`].
    ///
    /// # Errors
    ///
    /// When this firmware is not the one for this device: its host speaks another version, or an
    /// earlier firmware has left what it does not read.
    pub fn start<H: Hardware>(&mut self, hal: &mut H) -> Result<(), Mismatch> {
        // A host that has not said speaks none yet, and will say so before it sends anything.
        let host = hal.exchange_version(PROTOCOL_VERSION);
        if host != 0 && host != PROTOCOL_VERSION {
            return Err(Mismatch::Host(host));
        }
        self.take_over(hal)?;
        trace!(info, "started, generation {}", self.generation);
        let (identity, now_ns) = (hal.identity(), hal.now_ns());
        self.engine.recover(identity, &Device(&*hal), now_ns);
        Ok(())
    }

    /// Takes over what an earlier firmware retained.
    #[inline(never)]
    fn take_over<H: Hardware>(&mut self, hal: &mut H) -> Result<(), Mismatch> {
        let read = |slot| Kept::read(|at, into: &mut [u8]| hal.load(slot, at, into)).ok();
        let (slot, kept) = match (read(RetainedSlot::A), read(RetainedSlot::B)) {
            // A number that counts writes wraps.
            (Some(a), Some(b)) if (a.number.wrapping_sub(b.number) as i32) > 0 => {
                (RetainedSlot::A, Some(a))
            }
            (Some(a), None) => (RetainedSlot::A, Some(a)),
            (_, b) => (RetainedSlot::B, b),
        };
        self.retained_number = kept.map_or(0, |kept| kept.number);
        // No two starts that have told of themselves have the same, since each retains.
        self.generation = self.retained_number.wrapping_add(1);
        let Some(kept) = kept else { return Ok(()) };
        if kept.version != retained::VERSION {
            // Somebody's vGPUs are on the device. Who takes it to be at rest ends their work, and
            // writes over what says whose they are.
            return Err(Mismatch::Retained(kept.version));
        }
        let rules = kept.rules(|at, into| hal.load(slot, at, into)).ok();
        if let Some((scheduling, limits)) = rules.as_ref().and_then(rules_of) {
            self.engine.recover_rules(scheduling, limits);
        }
        for index in 0..kept.count {
            let entry = kept.vgpu(index, |at, into| hal.load(slot, at, into));
            if let Some(vgpu) = entry.ok().as_ref().and_then(vgpu) {
                self.engine.recover_vgpu(&vgpu, &Device(&*hal));
                self.drain(hal);
            }
        }
        Ok(())
    }
}

impl Default for Pump {
    fn default() -> Self {
        Self::new()
    }
}

const NOTHING: Identity = Identity {
    fb_bytes: 0,
    bar_bytes: 0,
    context_bytes: 0,
    context_layout: 0,
    engines: Engines::NONE,
};

/// Reads what holds for all vGPUs, likewise.
fn rules_of(kept: &retained::Rules) -> Option<(Scheduling, Limits)> {
    Some((parse::scheduling(kept.scheduling)?, parse::limits(&kept.limits)?))
}

/// Reads one vGPU; one that makes no sense cannot have been written by us, and is dropped.
fn vgpu(kept: &retained::Vgpu) -> Option<RetainedVgpu> {
    let phase = match kept.phase {
        retained::Phase::Running { time_offset_ns } => RetainedPhase::Running { time_offset_ns },
        retained::Phase::Stopped { guest_time_ns, vectors, pristine } => {
            RetainedPhase::Stopped { guest_time_ns, vectors, pristine }
        }
        retained::Phase::Broken => RetainedPhase::Broken,
    };
    let profile = parse::profile(&kept.profile);
    profile.check().ok()?;
    Some(RetainedVgpu {
        gfid: Gfid::new(kept.gfid)?,
        phase,
        profile,
        placement: parse::placement(&kept.placement),
        epoch: Epoch(kept.epoch),
        share: parse::share(kept.share)?,
    })
}
