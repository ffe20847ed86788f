//! The simulated GPU as the other side.

use godwit_conformance::hal::{Access, Bench, PROFILE, SCRATCH_AT, SwitchRead, Trouble, Work};
use godwit_hal::{Hardware, Identity, MESSAGE_BYTES_MAX};
use godwit_mmio::{
    AttentionWord, HostView, Mmio, SharedRetained, SharedWords, SwitchReader, Words,
};
use godwit_regs::fifo::{Address, Entry, Launch};
use godwit_regs::map::{MailWord, command, intr, mailbox};
use godwit_sim_gpu::{BarError, Costs, DmaTarget, DmaWindow, Fault, Gpu, GpuConfig, Staging, Stop};
use godwit_types::{Engines, Gfid, RingConfig, SlotId};

/// The one driver there is, over words in this process.
pub(crate) type Firmware = Mmio<SharedWords, AttentionWord<SharedWords>, SharedRetained>;

/// The timer's low half wraps in the middle of the checks.
const START_NS: u64 = (1 << 32) - 500_000;

const IDENTITY: Identity = Identity {
    fb_bytes: 64 << 20,
    bar_bytes: 64 << 20,
    context_bytes: 4 << 20,
    context_layout: 3,
    engines: Engines::ALL,
};

/// Where the programs and their stacks are.
const BLOCKS_AT: u64 = SCRATCH_AT;
const ENDLESS_AT: u64 = SCRATCH_AT + 0x1000;
const STACKS_AT: u64 = SCRATCH_AT + 0x2000;

/// The bus address of a peer's aperture.
const PEER_AT: u64 = 1 << 40;

/// Counts to 65,536, then stores 1 at the thread's own place.
const BLOCKS: [u32; 9] = [
    0x0001_02b7, // lui t0, 0x10
    0xfff2_8293, // addi t0, t0, -1
    0xfe02_9ee3, // bne t0, zero, -4
    0x0035_9e13, // slli t3, a1, 3
    0x00ae_0e33, // add t3, t3, a0
    0x0010_0313, // addi t1, zero, 1
    0x006e_3023, // sd t1, 0(t3)
    0x05d0_0893, // addi a7, zero, 93
    0x0000_0073, // ecall
];

/// Counts for ever.
const ENDLESS: [u32; 2] = [
    0x0012_8293, // addi t0, t0, 1
    0xffdf_f06f, // jal zero, -4
];

/// A simulated GPU and its host, with a driver that `wrap` makes of the usual one.
#[derive(Debug)]
pub(crate) struct GpuBench<H> {
    gpu: Gpu,
    words: SharedWords,
    retained: SharedRetained,
    host: HostView<SharedWords>,
    switches: SwitchReader<SharedWords>,
    hardware: H,
    wrap: Wrap<H>,
}

/// Makes a driver, from the usual one.
#[derive(Clone, Copy)]
struct Wrap<H>(fn(Firmware, u32) -> H, u32);

impl<H> std::fmt::Debug for Wrap<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wrap({})", self.1)
    }
}

impl<H> GpuBench<H> {
    /// A bench whose drivers `wrap` makes; `with` is handed to it.
    pub(crate) fn new(wrap: fn(Firmware, u32) -> H, with: u32) -> Self {
        let words = SharedWords::new();
        let config = GpuConfig { identity: IDENTITY, start_ns: START_NS, costs: Costs::default() };
        let gpu = Gpu::new(config, words.clone()).expect("the system gives memory files");
        let retained = SharedRetained::default();
        let hardware = wrap(driver(&words, &retained), with);
        let host = HostView::new(words.clone());
        let switches = SwitchReader::new(words.clone());
        Self { gpu, words, retained, host, switches, hardware, wrap: Wrap(wrap, with) }
    }

    fn load(&self, gfid: Gfid, at: u64, code: &[u32]) {
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.poke(gfid, at, &bytes);
    }

    fn poke(&self, gfid: Gfid, at: u64, bytes: &[u8]) -> bool {
        let partition = self.gpu.partition(gfid);
        partition.is_some_and(|partition| partition.file().write(at, bytes).is_ok())
    }
}

fn driver(words: &SharedWords, retained: &SharedRetained) -> Firmware {
    Mmio::new(words.clone(), AttentionWord::new(words.clone()), retained.clone())
}

fn launch(entry: u64, args: u64, grid: u32) -> Entry {
    Entry::Launch(Launch {
        entry,
        grid,
        block: 1,
        args,
        stacks: STACKS_AT,
        stack_bytes: 256,
        shared_bytes: 0,
        shared: 0,
    })
}

fn access(done: Result<(), BarError>) -> Access {
    match done {
        Ok(()) => Access::Passed,
        Err(BarError::Trapped) => Access::Trapped,
        Err(BarError::Unbound | BarError::Blocked | BarError::Crosses) => Access::Refused,
    }
}

impl<H: Hardware> Bench for GpuBench<H> {
    type Hardware = H;

    fn power_on(&mut self) {
        *self = Self::new(self.wrap.0, self.wrap.1);
    }

    fn restart(&mut self) {
        self.hardware = (self.wrap.0)(driver(&self.words, &self.retained), self.wrap.1);
    }

    fn hardware(&mut self) -> &mut H {
        &mut self.hardware
    }

    fn pass(&mut self, ns: u64) {
        let until_ns = self.gpu.now_ns() + ns;
        while self.gpu.advance(until_ns) != Stop::Reached {}
    }

    fn write(&mut self, gfid: Gfid, at: u64, bytes: &[u8]) -> bool {
        self.poke(gfid, at, bytes)
    }

    fn read(&mut self, gfid: Gfid, at: u64, into: &mut [u8]) -> bool {
        let partition = self.gpu.partition(gfid);
        partition.is_some_and(|partition| partition.read(at, into).is_ok())
    }

    fn bar_write(&mut self, at: u64, bytes: &[u8]) -> Access {
        access(self.gpu.bar_write(at, bytes))
    }

    fn bar_read(&mut self, at: u64, into: &mut [u8]) -> Access {
        access(self.gpu.bar_read(at, into))
    }

    fn push(&mut self, gfid: Gfid, ring: RingConfig, work: Work) {
        let words = match work {
            Work::Mark { at, value } => Entry::Release { at: Address::fb(at), value }.encode(),
            Work::Blocks { at, count } => launch(BLOCKS_AT, at, count).encode(),
            Work::Endless => launch(ENDLESS_AT, 0, 1).encode(),
            Work::PeerMark { at, value } => {
                Entry::Release { at: Address::bus(PEER_AT + at), value }.encode()
            }
            Work::PeerCopy { from, at, byte_count } => {
                let (from, to) = (Address::fb(from), Address::bus(PEER_AT + at));
                Entry::Copy { from, to, byte_count }.encode()
            }
            Work::Notify(vector) => Entry::Notify(vector).encode(),
            Work::Faulty => [0; 16],
        };
        self.load(gfid, BLOCKS_AT, &BLOCKS);
        self.load(gfid, ENDLESS_AT, &ENDLESS);
        let mut put = [0; 4];
        self.read(gfid, ring.base(), &mut put);
        let put = u32::from_le_bytes(put);
        let place = u64::from(put % ring.entry_count());
        let at = ring.base() + RingConfig::USERD_BYTES + RingConfig::ENTRY_BYTES * place;
        self.load(gfid, at, &words);
        self.load(gfid, ring.base(), &[put.wrapping_add(1)]);
    }

    fn connect(&mut self, gfid: Gfid, peer: Gfid) -> bool {
        let target = DmaTarget::Peer { gfid: peer, offset: 0 };
        let (iova, byte_count) = (PEER_AT, PROFILE.bar_bytes);
        let window = DmaWindow { iova, byte_count, read: true, write: true, target };
        self.gpu.dma_map(gfid, window).is_ok()
    }

    fn ring(&mut self, gfid: Gfid, token: u32) -> bool {
        self.gpu.ring(gfid, token)
    }

    fn guest_time_ns(&mut self, gfid: Gfid) -> u64 {
        self.host.guest_time_ns(gfid)
    }

    fn take_vectors(&mut self, gfid: Gfid) -> u32 {
        self.host.take_vectors(gfid)
    }

    fn slot_write(&mut self, slot: SlotId, at: u32, bytes: &[u8]) {
        let place = Staging::offset(slot) + u64::from(at);
        self.gpu.staging().file().write(place, bytes).expect("within the slots");
    }

    fn slot_read(&mut self, slot: SlotId, at: u32, into: &mut [u8]) {
        let place = Staging::offset(slot) + u64::from(at);
        self.gpu.staging().file().read(place, into).expect("within the slots");
    }

    fn host_version(&mut self, version: u32) -> u32 {
        self.host.exchange_version(version)
    }

    fn send(&mut self, message: &[u8]) -> bool {
        self.host.send(message).is_ok()
    }

    fn send_claiming(&mut self, length: u32) -> bool {
        let put = self.words.read(mailbox::command_put());
        self.words.write(command::word(MailWord::of(put, 0)), length);
        self.words.publish(mailbox::command_put(), put.wrapping_add(1));
        true
    }

    fn receive(&mut self, into: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<usize> {
        self.host.receive(into)
    }

    fn next_switch(&mut self) -> Option<SwitchRead> {
        Some(match self.switches.poll()? {
            godwit_mmio::SwitchRead::Switch(switch) => SwitchRead::Switch(switch),
            godwit_mmio::SwitchRead::Overrun(count) => SwitchRead::Overrun(count),
        })
    }

    fn attention(&mut self) -> bool {
        self.host.attention()
    }

    fn signs(&mut self) -> (u32, u32) {
        (self.words.read(intr::heartbeat()), self.words.read(intr::idle()))
    }

    fn provoke(&mut self, trouble: Trouble) -> bool {
        self.gpu.inject(match trouble {
            Trouble::PreemptAnsweredTwice(runlist) => Fault::AckDoubled(runlist),
            Trouble::PreemptAnsweredLate(runlist, ns) => Fault::AckLate(runlist, ns),
            Trouble::ApertureStuckNs(ns) => Fault::BarStuckNs(ns),
            Trouble::CopyError => Fault::CopyError,
            Trouble::EngineHang(runlist) => Fault::EngineHang(runlist),
        });
        true
    }
}
