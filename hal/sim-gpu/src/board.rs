//! What the engines of the device share: memory, channel slots, the vGPUs, interrupts.

use crate::bar::{BarBlock, BarError};
use crate::channel::Channels;
use crate::costs::Costs;
use crate::dirty::Dirty;
use crate::dma::{self, Windows, Wire};
use crate::fault::Faults;
use crate::gpu::GpuConfig;
use crate::partition::Partition;
use crate::residue::{self, Contexts, Residue};
use crate::staging::Staging;
use crate::stats::{Stay, VgpuStats};
use godwit_hal::Identity;
use godwit_mmio::SharedWords;
use godwit_mmio::device::{DeviceView, PeersRequest, VgpuView};
use godwit_regs::bits::ChannelStatus;
use godwit_regs::guest::DOORBELL_URGENT;
use godwit_sys::MemFile;
use godwit_types::{
    BarMode, CHANNEL_COUNT, ChannelFault, ChannelId, Gfid, GuestChannelId, Index, PAGE_BYTES,
    Route, Table, VGPU_COUNT,
};
use roaring::RoaringTreemap;
use std::collections::BTreeSet;
use std::io;

/// A partition and where the VMMU maps it.
#[derive(Debug)]
pub(crate) struct Home {
    base: u64,
    pub(crate) partition: Partition,
    pub(crate) dirty: Dirty,
}

/// One vGPU.
#[derive(Debug)]
pub(crate) struct Vgpu {
    view: VgpuView<SharedWords>,
    pub(crate) home: Option<Home>,
    route: Option<Route>,
    pub(crate) bar: BarBlock,
    /// What it reaches over the bus.
    pub(crate) dma: Windows,
    /// Which guest memory it has written, while somebody wants to know.
    pub(crate) dma_log: Option<dma::Log>,
    /// Pages of guest memory that it has written through mappings, which the guest's machine does
    /// not see, while somebody wants to know.
    pub(crate) dma_unseen: Option<RoaringTreemap>,
    /// Reads and writes of guest memory that is not mapped.
    pub(crate) wire: Wire,
    /// Where its memory is used again by whoever has this id next: it is the same device to those
    /// who have mapped it.
    pub(crate) keep: Keep,
    pub(crate) peers: Peers,
    pub(crate) stats: VgpuStats,
    /// Count of instructions at which to stop; `u64::MAX`: nowhere. No `Option`, of whose value an
    /// optimised build reads before it knows that there is one: memcheck takes that for a mistake.
    pub(crate) watch: u64,
    /// Changes when something other than a kernel of its own may have written its partition.
    pub(crate) writes: u64,
    contexts: Contexts,
    /// How long its work goes on after it was asked to let go, while it has its partition.
    pub(crate) stubborn_ns: u64,
}

/// What becomes of a vGPU's memory file when its partition is taken away.
#[derive(Debug, Default)]
pub(crate) enum Keep {
    /// It goes, too.
    #[default]
    No,
    /// It is emptied and kept for the next partition of this vGPU, if that is as large.
    Yes(Option<MemFile>),
}

/// A vGPU's way to its peers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peers {
    /// No access may begin.
    pub(crate) closed: bool,
    /// A request that is not answered, and when it can be at the earliest.
    asked: Option<(PeersRequest, u64)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) now_ns: u64,
    pub(crate) costs: Costs,
    pub(crate) identity: Identity,
    pub(crate) device: DeviceView<SharedWords>,
    pub(crate) vgpus: Table<Gfid, Vgpu, { VGPU_COUNT as usize }>,
    pub(crate) channels: Channels,
    pub(crate) context: MemFile,
    pub(crate) staging: Staging,
    pub(crate) faults: Faults,
    /// Something was raised to firmware or host, and nobody was told.
    pub(crate) raised: bool,
    /// What was left in memory that was given back, and nobody has taken note of.
    pub(crate) residues: Vec<Residue>,
    /// Stays of groups on engines that have ended, while somebody wants to know.
    pub(crate) stays: Option<Vec<Stay>>,
    /// Channels whose engine was reset while their work would not let go of it, and of which nobody
    /// has taken note.
    pub(crate) unwilling: BTreeSet<(Gfid, GuestChannelId)>,
}

/// All vGPUs, in order.
pub(crate) fn gfids() -> impl Iterator<Item = Gfid> {
    (0..usize::from(VGPU_COUNT)).filter_map(Gfid::from_index)
}

fn overlap(base: u64, bytes: u64, other_base: u64, other_bytes: u64) -> bool {
    base < other_base.saturating_add(other_bytes) && other_base < base.saturating_add(bytes)
}

impl Board {
    pub(crate) fn new(config: &GpuConfig, words: &SharedWords) -> io::Result<Self> {
        let vgpu = |index: usize| Vgpu {
            view: VgpuView::new(words.clone(), gfids().nth(index).expect("one for each index")),
            home: None,
            route: None,
            bar: BarBlock::default(),
            dma: Windows::default(),
            dma_log: None,
            dma_unseen: None,
            wire: Wire::default(),
            keep: Keep::No,
            peers: Peers::default(),
            stats: VgpuStats::default(),
            watch: u64::MAX,
            writes: 0,
            contexts: Contexts::default(),
            stubborn_ns: 0,
        };
        Ok(Self {
            now_ns: config.start_ns,
            costs: config.costs,
            identity: config.identity,
            device: DeviceView::new(words.clone(), &config.identity),
            vgpus: Table::new(std::array::from_fn(vgpu)),
            channels: Channels::new(),
            context: MemFile::new("godwit-context", config.identity.context_bytes)?,
            staging: Staging::new()?,
            faults: Faults::default(),
            raised: false,
            residues: Vec::new(),
            stays: None,
            unwilling: BTreeSet::new(),
        })
    }

    /// Takes up the requests of the blocks that a kick announces.
    pub(crate) fn serve_blocks(&mut self) {
        if !self.device.poll_kick() {
            return;
        }
        gfids().for_each(|gfid| self.serve_partition(gfid));
        gfids().for_each(|gfid| self.serve_route(gfid));
        gfids().for_each(|gfid| self.serve_aperture(gfid));
        for raw in 0..CHANNEL_COUNT {
            if let Some(id) = ChannelId::new(raw) {
                self.serve_channel(id);
            }
        }
    }

    fn serve_partition(&mut self, gfid: Gfid) {
        let Some(request) = self.vgpus[gfid].view.poll_partition() else {
            return;
        };
        match request.partition {
            Some((base, bytes)) => self.set_partition(gfid, base, bytes),
            None => self.drop_partition(gfid),
        }
        self.note_write(gfid);
        self.vgpus[gfid].view.finish_partition(request.seq);
        self.raised = true;
    }

    /// Sets a partition, or leaves none where the request is one that cannot be.
    fn set_partition(&mut self, gfid: Gfid, base: u64, bytes: u64) {
        if let Some(home) = &self.vgpus[gfid].home
            && home.base == base
            && home.partition.file().len() == bytes
        {
            return; // a restarted firmware repeats itself
        }
        self.drop_partition(gfid);
        let page = u64::from(PAGE_BYTES);
        let fits = base.checked_add(bytes).is_some_and(|end| end <= self.identity.fb_bytes);
        let taken = self.vgpus.iter().any(|(_, vgpu)| {
            let home = vgpu.home.as_ref();
            home.is_some_and(|home| overlap(base, bytes, home.base, home.partition.file().len()))
        });
        if !fits || taken || !base.is_multiple_of(page) || !bytes.is_multiple_of(page) {
            return;
        }
        let vgpu = &mut self.vgpus[gfid];
        vgpu.stats = VgpuStats::default();
        let kept = match &mut vgpu.keep {
            Keep::Yes(file) => file.take().filter(|file| file.len() == bytes),
            Keep::No => None,
        };
        let partition = match kept {
            Some(file) => Some(Partition::over(file)),
            None => Partition::new(bytes).ok(),
        };
        vgpu.home = partition.map(|partition| Home { base, partition, dirty: Dirty::default() });
    }

    /// Whatever is left in the vGPU's memory now, whoever comes next could read on a real device.
    fn drop_partition(&mut self, gfid: Gfid) {
        let vgpu = &mut self.vgpus[gfid];
        vgpu.stubborn_ns = 0;
        let contexts = vgpu.contexts.take_residues(gfid, &self.context);
        if let Some(home) = vgpu.home.take() {
            self.residues.extend(residue::in_partition(gfid, home.partition.file()));
            self.residues.extend(contexts);
            self.drop_windows(gfid);
            if let Keep::Yes(kept) = &mut self.vgpus[gfid].keep {
                // One that cannot be emptied is not used again.
                let file = home.partition.into_file();
                *kept = file.zero(0, file.len()).is_ok().then_some(file);
            }
        }
    }

    /// No window outlives the partitions at its ends: who has this id next is somebody else.
    fn drop_windows(&mut self, gfid: Gfid) {
        self.vgpus[gfid].dma.clear();
        self.vgpus[gfid].dma_log = None;
        self.vgpus[gfid].wire.clear();
        for (_, vgpu) in self.vgpus.iter_mut() {
            vgpu.dma.forget_peer(gfid);
        }
    }

    fn serve_route(&mut self, gfid: Gfid) {
        let vgpu = &mut self.vgpus[gfid];
        if let Some(request) = vgpu.view.poll_route() {
            vgpu.route = Some(request.route);
            vgpu.view.finish_route(request.seq);
        }
        if let Some(vectors) = vgpu.view.poll_inject() {
            vgpu.view.raise_vectors(vectors);
            self.raised = true;
        }
        self.serve_peers(gfid);
    }

    fn serve_aperture(&mut self, gfid: Gfid) {
        let Some(request) = self.vgpus[gfid].view.poll_aperture() else {
            return;
        };
        let stuck_ns = self.faults.take_bar_stuck().unwrap_or(0);
        let wait_ns = self.costs.bar_bind_ns.saturating_add(stuck_ns);
        let at_ns = self.now_ns.saturating_add(wait_ns);
        self.vgpus[gfid].bar.bind(request, at_ns);
    }

    /// Lets the binds of BAR blocks that are due take effect.
    pub(crate) fn settle_apertures(&mut self) {
        for gfid in gfids() {
            let Some(request) = self.vgpus[gfid].bar.take_due(self.now_ns) else {
                continue;
            };
            let mut aperture = request.aperture;
            let end = aperture.bar_base.checked_add(aperture.byte_count);
            let fits = end.is_some_and(|end| end <= self.identity.bar_bytes);
            let others = self.vgpus.iter().filter(|(other, _)| *other != gfid);
            let taken = others.into_iter().any(|(_, other)| other.bar.overlaps(&aperture));
            if !fits || taken {
                // A window that cannot be reaches nothing, and hides no neighbour's.
                aperture.byte_count = 0;
                aperture.mode = BarMode::Blocked;
            }
            self.vgpus[gfid].bar.set(aperture);
            self.vgpus[gfid].view.finish_aperture(request.seq);
            self.raised = true;
        }
    }

    /// Takes up a request to close or open a vGPU's way to its peers. It holds at once, and is
    /// answered by [`Self::settle_peers`].
    fn serve_peers(&mut self, gfid: Gfid) {
        let Some(request) = self.vgpus[gfid].view.poll_peers() else { return };
        let stuck_ns = self.faults.take_peers_stuck().unwrap_or(0);
        let at_ns = self.now_ns.saturating_add(stuck_ns);
        self.vgpus[gfid].peers = Peers { closed: request.closed, asked: Some((request, at_ns)) };
    }

    /// Answers such requests, once no access is under way that is not to be; `busy`: whether one
    /// is for this vGPU.
    pub(crate) fn settle_peers(&mut self, busy: impl Fn(&Self, Gfid) -> bool) {
        for gfid in gfids() {
            let Some((request, at_ns)) = self.vgpus[gfid].peers.asked else { continue };
            if at_ns > self.now_ns || (request.closed && busy(self, gfid)) {
                continue;
            }
            let vgpu = &mut self.vgpus[gfid];
            vgpu.peers.asked = None;
            vgpu.view.finish_peers(request.word);
            self.raised = true;
        }
    }

    pub(crate) fn next_peers_ns(&self) -> Option<u64> {
        let asked = self.vgpus.iter().filter_map(|(_, vgpu)| vgpu.peers.asked);
        asked.map(|(_, at_ns)| at_ns).filter(|at_ns| *at_ns > self.now_ns).min()
    }

    pub(crate) fn next_aperture_ns(&self) -> Option<u64> {
        self.vgpus.iter().filter_map(|(_, vgpu)| vgpu.bar.next_ns()).min()
    }

    fn serve_channel(&mut self, id: ChannelId) {
        let Some((config, seq)) = self.device.poll_channel(id) else {
            return;
        };
        let config = config.filter(|config| {
            let end = config.context_at.checked_add(u64::from(config.context_bytes));
            end.is_some_and(|end| end <= self.identity.context_bytes)
        });
        let status = match config {
            Some(_) => ChannelStatus::ENABLE,
            None => ChannelStatus::empty(),
        };
        if let Some(config) = &config {
            let contexts = &mut self.vgpus[config.gfid].contexts;
            contexts.note(config.context_at, config.context_bytes);
        }
        self.channels.bind(id, config);
        self.device.acknowledge_channel(id, seq);
        self.device.set_channel_status(id, status);
    }

    /// Stops a channel with a fault.
    pub(crate) fn fault(&mut self, id: ChannelId, fault: ChannelFault) {
        let Some(slot) = self.channels.get(id) else {
            return;
        };
        let gfid = slot.config.gfid;
        self.channels.set_fault(id, fault);
        self.vgpus[gfid].stats.faults += 1;
        let status = ChannelStatus::ENABLE | ChannelStatus::ENG_FAULTED;
        self.device.set_channel_status(id, status);
        self.device.fault_channel(id, fault);
        self.raised = true;
    }

    /// An engine is reset since a channel's work would not let go of it.
    pub(crate) fn note_unwilling(&mut self, id: Option<ChannelId>) {
        if let Some(slot) = id.and_then(|id| self.channels.get(id)) {
            self.unwilling.insert((slot.config.gfid, slot.config.guest));
        }
    }

    /// Raises vectors of a vGPU that has a route.
    pub(crate) fn raise_vectors(&mut self, gfid: Gfid, vectors: u32) {
        let vgpu = &mut self.vgpus[gfid];
        if vgpu.route.is_some() {
            vgpu.view.raise_vectors(vectors);
            self.raised = true;
        }
    }

    /// A guest's write to its doorbell page. `false`: the token names no channel of its.
    pub(crate) fn ring(&mut self, gfid: Gfid, token: u32) -> bool {
        let Some(route) = self.vgpus[gfid].route else {
            return false;
        };
        let urgent = token & DOORBELL_URGENT != 0;
        let token = token & !DOORBELL_URGENT;
        if token >= u32::from(route.channel_count) {
            return false;
        }
        let channel = u32::from(route.channel_base) + token;
        let id = u16::try_from(channel).ok().and_then(ChannelId::new);
        let own = id.filter(|id| {
            let slot = self.channels.get(*id);
            slot.is_some_and(|slot| slot.config.gfid == gfid)
        });
        // A channel that stands still for good has no use for its bell.
        let slot = own.and_then(|id| self.channels.get(id));
        if let Some(id) = own.filter(|_| slot.is_some_and(|slot| slot.fault.is_none())) {
            if urgent {
                self.device.ring_hint(gfid);
            }
            self.device.ring_doorbell(id);
            self.raised = true;
        }
        own.is_some()
    }

    /// The partition and the place in it that an access through the BAR means.
    pub(crate) fn resolve(&self, at: u64, byte_count: u64) -> Result<(Gfid, u64), BarError> {
        let found = self.vgpus.iter().find_map(|(gfid, vgpu)| {
            let place = vgpu.bar.resolve(at, byte_count)?;
            Some(place.map(|place| (gfid, place)))
        });
        found.unwrap_or(Err(BarError::Unbound))
    }

    pub(crate) fn partition(&self, gfid: Gfid) -> Option<&Partition> {
        Some(&self.vgpus[gfid].home.as_ref()?.partition)
    }

    pub(crate) fn partition_mut(&mut self, gfid: Gfid) -> Option<&mut Partition> {
        Some(&mut self.vgpus[gfid].home.as_mut()?.partition)
    }

    /// Notes that something other than a kernel may have written a partition: what was
    /// decoded of it and what is reserved in it is void.
    pub(crate) fn note_write(&mut self, gfid: Gfid) {
        self.vgpus[gfid].writes += 1;
    }

    /// Reads a word of a partition; `None` outside it.
    pub(crate) fn load_word(&self, gfid: Gfid, at: u64) -> Option<u32> {
        let word = self.partition(gfid)?.load::<u32>(at).ok()?;
        Some(u32::from_le(word))
    }

    /// Writes a word of a partition; `None` outside it.
    pub(crate) fn store_word(&mut self, gfid: Gfid, at: u64, value: u32) -> Option<()> {
        let partition = self.partition_mut(gfid)?;
        partition.store(at, value.to_le()).ok()?;
        self.note_write(gfid);
        Some(())
    }

    /// Takes the vGPU whose instruction watch is reached.
    pub(crate) fn take_watch(&mut self) -> Option<Gfid> {
        let (gfid, vgpu) = self
            .vgpus
            .iter_mut()
            .find(|(_, vgpu)| vgpu.watch != u64::MAX && vgpu.stats.instructions >= vgpu.watch)?;
        vgpu.watch = u64::MAX;
        Some(gfid)
    }
}
