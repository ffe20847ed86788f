//! A vGPU and its guest.

use crate::bars::HostBars;
use crate::clock::Clock;
use crate::host::HostNode;
use crate::ram::Ram;
use crate::registers::Registers;
use crate::samples::Samples;
use crate::world::{HostId, JobId, WorldError};
use godwit_guest::{Bars, Device};
use godwit_sim_gpu::VgpuStats;
use godwit_types::{Gfid, GuestChannelId, PAGE_BYTES, Placement, Profile, RUNLIST_COUNT, Share};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A vGPU to be made.
#[derive(Clone, Debug)]
pub struct VgpuSpec {
    /// For reports.
    pub name: String,
    /// Where it is made.
    pub host: HostId,
    /// What it is.
    pub profile: Profile,
    /// What it is due of the engines.
    pub share: Share,
}

/// Where a vGPU is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// On a host. During a move: on its source, until the destination runs it.
    Host(HostId, Gfid),
    /// Given away by the source of a move, and not yet run by its destination.
    InFlight,
    /// In a file.
    File(PathBuf),
}

/// A vGPU, its guest, and what is counted of it wherever it runs.
#[derive(Debug)]
pub(crate) struct VgpuNode {
    pub(crate) name: String,
    pub(crate) uuid: [u8; 16],
    pub(crate) profile: Profile,
    /// What it had had too much of each engine's time when it left its last host, as that was told.
    pub(crate) debts_ns: [u32; RUNLIST_COUNT as usize],
    /// What it is due, as firmware was told.
    pub(crate) share: Share,
    pub(crate) home: Home,
    /// Its last place on a host, and which host.
    pub(crate) last_place: Option<(HostId, Placement)>,
    pub(crate) device: Device,
    pub(crate) ram: Ram,
    pub(crate) jobs: Vec<JobId>,
    /// The guest does not run: its vGPU is about to stop, or has.
    pub(crate) paused: bool,
    /// A move, suspend or resume of it is under way.
    pub(crate) in_transfer: bool,
    /// Its guest has begun its jobs in another process.
    pub(crate) comes_from_elsewhere: bool,
    /// Number of its last transfer.
    pub(crate) token: u64,
    /// Time of its last instruction before it left a host.
    pub(crate) last_ns: Option<u64>,
    /// The kernel in the middle of which it left a host, and how far that was.
    pub(crate) left_in: Option<(JobId, u64)>,
    /// What earlier homes have counted.
    pub(crate) earlier: VgpuStats,
    /// Bytes that only this vGPU's memory may hold.
    pub(crate) canary: [u8; CANARY_BYTES],
    pub(crate) clock: Clock,
    pub(crate) registers: Registers,
    pub(crate) samples: Samples,
    /// What it did too much of, as its hosts were told.
    pub(crate) abuses: Vec<String>,
    /// Grace period of its groups, in units of 100 us.
    pub(crate) grace: u8,
    /// Channels whose work did not obey a preempt request.
    pub(crate) unwilling: BTreeSet<GuestChannelId>,
}

pub(crate) const CANARY_BYTES: usize = 32;

impl VgpuNode {
    pub(crate) fn new(
        seed: u64,
        number: usize,
        spec: VgpuSpec,
        gfid: Gfid,
        node: &mut HostNode,
    ) -> Result<Self, WorldError> {
        let (uuid, canary) = Self::ids(seed, number);
        let guest_error =
            |error| WorldError::Guest { name: spec.name.clone(), error: Box::new(error) };
        let placement = node.host.vgpu(gfid).map(|info| (spec.host, info.placement));
        let mut bars = HostBars { host: &mut node.host, gfid };
        let device = Device::probe(&mut bars).map_err(guest_error)?;
        let registers = Registers::probe(&mut bars);
        let ram = Ram::new().map_err(|error| WorldError::Card(error.into()))?;
        plant(&mut bars, &spec, &canary)?;
        Ok(Self {
            name: spec.name,
            uuid,
            profile: spec.profile,
            debts_ns: [0; RUNLIST_COUNT as usize],
            share: spec.share,
            home: Home::Host(spec.host, gfid),
            last_place: placement,
            device,
            ram,
            jobs: Vec::new(),
            paused: false,
            in_transfer: false,
            comes_from_elsewhere: false,
            token: 0,
            last_ns: None,
            left_in: None,
            earlier: VgpuStats::default(),
            canary,
            clock: Clock::default(),
            registers,
            samples: Samples::default(),
            abuses: Vec::new(),
            grace: 0,
            unwilling: BTreeSet::new(),
        })
    }

    /// The own id of a world's vGPU, and what its guest leaves in its memory.
    pub(crate) fn ids(seed: u64, number: usize) -> ([u8; 16], [u8; CANARY_BYTES]) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number as u64 + 1);
        let (mut uuid, mut canary) = ([0; 16], [0; CANARY_BYTES]);
        rng.fill_bytes(&mut uuid);
        rng.fill_bytes(&mut canary);
        (uuid, canary)
    }

    /// Whether it is on this host by this id.
    pub(crate) fn is_at(&self, host: usize, gfid: Gfid) -> bool {
        self.home == Home::Host(HostId(host), gfid)
    }

    /// What was counted of it in all, with what its present home counts.
    pub(crate) fn totals(&self, present: Option<VgpuStats>) -> VgpuStats {
        let mut totals = self.earlier;
        if let Some(stats) = present {
            totals.instructions += stats.instructions;
            totals.preemptions += stats.preemptions;
            totals.resets += stats.resets;
            totals.faults += stats.faults;
            totals.copied_bytes += stats.copied_bytes;
            totals.compute_busy_ns += stats.compute_busy_ns;
            totals.copy_busy_ns += stats.copy_busy_ns;
        }
        totals
    }
}

/// Where the guest leaves bytes in its memory that nobody else may ever see: at the end of the
/// aperture, where no job puts anything.
pub(crate) fn canary_places(profile: &Profile) -> [u64; 2] {
    let page = u64::from(PAGE_BYTES);
    [1, 2].map(|back| profile.bar_bytes.saturating_sub(back * page) + 64 * back)
}

fn plant(bars: &mut HostBars<'_>, spec: &VgpuSpec, canary: &[u8]) -> Result<(), WorldError> {
    for at in canary_places(&spec.profile) {
        bars.write(at, canary)
            .map_err(|error| WorldError::Host { name: spec.name.clone(), error })?;
    }
    Ok(())
}
