//! A device with the firmware's and the host's side of its registers, for tests.

use crate::compute::program::{EXIT, add, addi, bne, ld, li, lui, mul, sd, slli};
use crate::{Costs, Gpu, GpuConfig, Stop};
use ckb_vm::registers::{A0, A1, T0, T1, T2, T3, ZERO};
use godwit_hal::{
    Apertures, Channels, CopyRing, Identity, Interrupts, Mailbox, Partitions, Routes, Runlists,
    Timer,
};
use godwit_mmio::{AttentionWord, HostView, Mmio, SharedRetained, SharedWords};
use godwit_regs::fifo::{Entry, Launch, USERD_GET};
use godwit_types::{
    Aperture, BarMode, ChannelConfig, ChannelId, CopyDone, CopyOp, CopyRequest, Engines, Gfid,
    GuestChannelId, PAGE_BYTES, Placement, PreemptMode, Profile, RingConfig, Route, RunlistEvent,
    RunlistId, TsgId,
};

pub(crate) const PROFILE: Profile = Profile {
    fb_bytes: 8 << 20,
    bar_bytes: 1 << 20,
    channel_count: 8,
    context_bytes: 2 * PAGE_BYTES,
};
pub(crate) const CODE: u64 = 0x1_0000;
pub(crate) const DATA: u64 = 0x10_0000;
const RINGS: u64 = 0x8_0000;
const RING_LOG2: u8 = 4;

pub(crate) fn gfid(raw: u8) -> Gfid {
    Gfid::new(raw).unwrap()
}

pub(crate) fn channel(raw: u16) -> ChannelId {
    ChannelId::new(raw).unwrap()
}

pub(crate) fn tsg(raw: u16) -> TsgId {
    TsgId::new(raw).unwrap()
}

/// A kernel in which each thread adds up `rounds` terms in a loop and stores the sum: seven
/// instructions before the loop, four in each round, nine after it.
pub(crate) fn sum_kernel(rounds: i32) -> Vec<u32> {
    assert!((1..2048).contains(&rounds));
    let mut code = vec![
        li(T0, rounds),
        li(T1, 0),
        addi(T2, A1, 1),
        slli(T3, A1, 3),
        add(T3, T3, A0),
        li(ZERO, 0),
        li(ZERO, 0),
        // The loop.
        mul(T1, T1, T2),
        add(T1, T1, T0),
        addi(T0, T0, -1),
        bne(T0, ZERO, -12),
        sd(T1, 0, T3),
    ];
    code.extend(EXIT);
    code
}

/// What thread `index` of that kernel stores.
pub(crate) fn sum(index: u64, rounds: u64) -> u64 {
    (1..=rounds).rev().fold(0u64, |sum, term| sum.wrapping_mul(index + 1).wrapping_add(term))
}

/// A kernel that never ends.
pub(crate) fn endless_kernel() -> Vec<u32> {
    vec![addi(T0, T0, 1), bne(T0, ZERO, -4)]
}

/// A kernel that loads from an address far outside.
pub(crate) fn wild_kernel() -> Vec<u32> {
    vec![lui(T0, 0x7_0000), ld(T1, 0, T0)]
}

pub(crate) fn launch(entry: u64, grid: u32, block: u32) -> Entry {
    Entry::Launch(Launch {
        entry,
        grid,
        block,
        args: DATA,
        stacks: DATA + 0x1_0000,
        stack_bytes: 256,
        shared_bytes: 0,
        shared: 0,
    })
}

type Firmware = Mmio<SharedWords, AttentionWord<SharedWords>, SharedRetained>;

pub(crate) struct Rig {
    pub(crate) gpu: Gpu,
    pub(crate) firmware: Firmware,
    pub(crate) host: HostView<SharedWords>,
    pub(crate) words: SharedWords,
    puts: Vec<u32>,
    seq: u32,
    tag: u16,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(0, Costs::default())
    }

    pub(crate) fn with(start_ns: u64, costs: Costs) -> Self {
        let words = SharedWords::new();
        let identity = Identity {
            fb_bytes: 64 << 20,
            bar_bytes: 64 << 20,
            context_bytes: 4 << 20,
            context_layout: 3,
            engines: Engines::ALL,
        };
        let config = GpuConfig { identity, start_ns, costs };
        let gpu = Gpu::new(config, words.clone()).unwrap();
        let line = AttentionWord::new(words.clone());
        let mut firmware = Mmio::new(words.clone(), line, SharedRetained::default());
        firmware.exchange_version(1);
        Self {
            gpu,
            firmware,
            host: HostView::new(words.clone()),
            words,
            puts: vec![0; 64],
            seq: 0,
            tag: 0,
        }
    }

    /// A device with vGPU 1 in its first place.
    pub(crate) fn with_vgpu() -> Self {
        let mut rig = Self::new();
        rig.add_vgpu(gfid(1), 0);
        rig
    }

    /// Gives a vGPU the `index`-th partition, block of channels and context buffers.
    pub(crate) fn add_vgpu(&mut self, gfid: Gfid, index: u16) {
        let placement = Self::placement(index);
        self.firmware.set_partition(gfid, &placement, &PROFILE);
        let route = Route {
            channel_base: placement.channel_base,
            channel_count: PROFILE.channel_count,
            time_offset_ns: 0,
            interrupts_open: true,
        };
        self.firmware.set_route(gfid, &route);
        self.gpu.service();
        self.drain_stops();
    }

    pub(crate) fn placement(index: u16) -> Placement {
        Placement {
            fb_base: u64::from(index) * PROFILE.fb_bytes,
            bar_base: u64::from(index) * PROFILE.bar_bytes,
            channel_base: index * PROFILE.channel_count,
            context_base: u64::from(index) * PROFILE.context_total(),
        }
    }

    /// What channel `guest` of the vGPU at a place is bound to, in its own group.
    pub(crate) fn config(gfid: Gfid, index: u16, guest: u16, runlist: RunlistId) -> ChannelConfig {
        let placement = Self::placement(index);
        let guest_id = GuestChannelId::new(guest).unwrap();
        let ring = RINGS + u64::from(guest) * 0x1000;
        ChannelConfig {
            gfid,
            guest: guest_id,
            tsg: tsg(placement.channel_base + guest),
            runlist,
            ring: RingConfig::new(ring, RING_LOG2, PROFILE.fb_bytes).unwrap(),
            context_at: placement.context_base
                + u64::from(guest) * u64::from(PROFILE.context_bytes),
            context_bytes: PROFILE.context_bytes,
            grace: 0,
            fault: None,
        }
    }

    pub(crate) fn bind(&mut self, id: ChannelId, config: &ChannelConfig) {
        self.firmware.bind_channel(id, config);
        self.gpu.service();
        self.drain_stops();
    }

    /// Binds the first `count` channels of vGPU 1 in one group, which is group 0.
    pub(crate) fn bind_together(&mut self, count: u16, runlist: RunlistId) {
        for guest in 0..count {
            let mut config = Self::config(gfid(1), 0, guest, runlist);
            config.tsg = tsg(0);
            self.bind(channel(guest), &config);
        }
    }

    /// Binds channel `guest` of vGPU 1, in its own group.
    pub(crate) fn bind_plain(&mut self, guest: u16, runlist: RunlistId) {
        self.bind(channel(guest), &Self::config(gfid(1), 0, guest, runlist));
    }

    /// Opens the window of the vGPU at a place onto the start of its partition.
    pub(crate) fn open_window(&mut self, gfid: Gfid, index: u16) {
        let aperture = Self::window(index, BarMode::Direct);
        self.firmware.bind_aperture(gfid, &aperture);
        self.pass(Costs::default().bar_bind_ns);
        self.firmware.collect();
        assert_eq!(self.firmware.poll_aperture(), Some(gfid));
    }

    pub(crate) fn window(index: u16, mode: BarMode) -> Aperture {
        Aperture {
            bar_base: Self::placement(index).bar_base,
            fb_offset: 0,
            byte_count: PROFILE.bar_bytes,
            mode,
        }
    }

    /// Takes what was raised so far, so that the next stop means something.
    pub(crate) fn drain_stops(&mut self) {
        while self.gpu.advance(self.gpu.now_ns()) != Stop::Reached {}
        self.firmware.collect();
    }

    /// Writes a partition as the CPU does.
    pub(crate) fn poke(&self, gfid: Gfid, at: u64, bytes: &[u8]) {
        let partition = self.gpu.partition(gfid).unwrap();
        partition.file().write(at, bytes).unwrap();
    }

    pub(crate) fn peek<const N: usize>(&self, gfid: Gfid, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.gpu.partition(gfid).unwrap().read(at, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn peek_u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.peek(gfid(1), at))
    }

    pub(crate) fn load_code(&self, gfid: Gfid, at: u64, code: &[u32]) {
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.poke(gfid, at, &bytes);
    }

    /// Writes an entry to the ring of a guest's channel and moves its PUT.
    pub(crate) fn push(&mut self, gfid: Gfid, guest: u16, entry: &Entry) {
        self.push_words(gfid, guest, &entry.encode());
    }

    pub(crate) fn push_words(&mut self, gfid: Gfid, guest: u16, words: &[u32; 16]) {
        let ring = RINGS + u64::from(guest) * 0x1000;
        let put = &mut self.puts[usize::from(guest)];
        let place = u64::from(*put % (1 << RING_LOG2));
        *put += 1;
        let put = *put;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.poke(gfid, ring + 512 + 64 * place, &bytes);
        self.poke(gfid, ring, &put.to_le_bytes());
    }

    pub(crate) fn set_put(&mut self, guest: u16, put: u32) {
        self.puts[usize::from(guest)] = put;
        self.poke(gfid(1), RINGS + u64::from(guest) * 0x1000, &put.to_le_bytes());
    }

    /// GP_GET as the guest sees it.
    pub(crate) fn get(&self, guest: u16) -> u32 {
        let ring = RINGS + u64::from(guest) * 0x1000;
        u32::from_le_bytes(self.peek(gfid(1), ring + USERD_GET))
    }

    pub(crate) fn start(&mut self, runlist: RunlistId, group: u16) -> u32 {
        self.seq += 1;
        self.firmware.start(runlist, tsg(group), self.seq);
        self.seq
    }

    pub(crate) fn preempt(&mut self, runlist: RunlistId, mode: PreemptMode) -> u32 {
        self.seq += 1;
        self.firmware.request_preempt(runlist, mode, self.seq);
        self.seq
    }

    pub(crate) fn reset(&mut self, runlist: RunlistId) -> u32 {
        self.seq += 1;
        self.firmware.request_reset(runlist, self.seq);
        self.seq
    }

    /// Lets so much time pass, whatever is raised meanwhile.
    pub(crate) fn pass(&mut self, ns: u64) {
        let until_ns = self.gpu.now_ns() + ns;
        while self.gpu.advance(until_ns) != Stop::Reached {}
    }

    /// The runlist's next answer, if it comes within so much time.
    pub(crate) fn answer_within(&mut self, runlist: RunlistId, ns: u64) -> Option<RunlistEvent> {
        let until_ns = self.gpu.now_ns() + ns;
        loop {
            self.gpu.service();
            self.firmware.collect();
            if let Some(event) = self.firmware.poll_runlist(runlist) {
                return Some(event);
            }
            if self.gpu.advance(until_ns) == Stop::Reached {
                self.firmware.collect();
                return self.firmware.poll_runlist(runlist);
            }
        }
    }

    pub(crate) fn answer(&mut self, runlist: RunlistId) -> RunlistEvent {
        self.answer_within(runlist, 1_000_000_000).expect("no answer")
    }

    /// Starts a group and lets it run until it is idle.
    pub(crate) fn run_idle(&mut self, runlist: RunlistId, group: u16) {
        let seq = self.start(runlist, group);
        assert_eq!(self.answer(runlist), RunlistEvent::Idle { seq });
    }

    /// Submits an operation for vGPU 1 of the copy ring and waits for its end.
    pub(crate) fn copy(&mut self, op: CopyOp) -> CopyDone {
        self.copy_for(gfid(1), op)
    }

    pub(crate) fn copy_for(&mut self, gfid: Gfid, op: CopyOp) -> CopyDone {
        self.tag += 1;
        let tag = self.tag;
        assert!(self.firmware.submit_copy(&CopyRequest { tag, gfid, op }));
        let until_ns = self.gpu.now_ns() + 1_000_000_000;
        loop {
            let stop = self.gpu.advance(until_ns);
            self.firmware.collect();
            if let Some(done) = self.firmware.poll_copy() {
                assert_eq!(done.tag, tag);
                return done;
            }
            assert_ne!(stop, Stop::Reached, "no answer");
        }
    }

    /// The firmware's clock.
    pub(crate) fn firmware_now_ns(&self) -> u64 {
        self.firmware.now_ns()
    }
}
