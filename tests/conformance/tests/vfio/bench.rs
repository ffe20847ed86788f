//! Two vGPUs of one simulated card or of two, with their guests.

use crate::device::ShimDevice;
use crate::guest::{Guest, PEER_AT, pass, peek_all};
use godwit_conformance::vfio::{Bench, Device, Side, Work, errno, state};
use godwit_hal::Identity;
use godwit_regs::guest;
use godwit_shim::vfio::MigrationDevice;
use godwit_shim::{Host, Mcu};
use godwit_sim_gpu::{Costs, DmaTarget, DmaWindow, GpuConfig};
use godwit_types::{Engines, Gfid, Profile, Share};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// What both vGPUs are.
const PROFILE: Profile =
    Profile { fb_bytes: 8 << 20, bar_bytes: 8 << 20, channel_count: 8, context_bytes: 32 << 10 };

const IDENTITY: Identity = Identity {
    fb_bytes: 64 << 20,
    bar_bytes: 64 << 20,
    context_bytes: 4 << 20,
    context_layout: 3,
    engines: Engines::ALL,
};

/// Registers that say what a device is.
const REGISTERS: [u32; 8] = [
    guest::ID,
    guest::VERSION,
    guest::CHANNELS,
    guest::FB_LO,
    guest::FB_HI,
    guest::APERTURE_LO,
    guest::APERTURE_HI,
    guest::THREADS_MAX,
];

/// How many cards there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cards {
    One,
    Two,
}

/// Makes a device, from the right one and a number.
type Wrap<D> = fn(ShimDevice, u32) -> D;

#[derive(Debug)]
struct Half<D> {
    host: Rc<RefCell<Host>>,
    gfid: Gfid,
    device: D,
    guest: Guest,
}

/// The bench.
#[derive(Debug)]
pub(crate) struct ShimBench<D> {
    cards: Cards,
    wrap: Wrap<D>,
    with: u32,
    halves: [Half<D>; 2],
}

fn card(start_ns: u64) -> Rc<RefCell<Host>> {
    let config = GpuConfig { identity: IDENTITY, start_ns, costs: Costs::default() };
    let host = Host::new(config, &Mcu::Native).expect("the system gives memory files");
    Rc::new(RefCell::new(host))
}

impl<D: Device> ShimBench<D> {
    /// A bench whose devices `wrap` makes; `with` is handed to it.
    pub(crate) fn new(cards: Cards, wrap: Wrap<D>, with: u32) -> Self {
        let first = card(0);
        // Their clocks need not agree.
        let second = if cards == Cards::One { Rc::clone(&first) } else { card(7_000_000_000) };
        let halves = [(first, 1), (second, 2)].map(|(host, id)| {
            let mut at = host.borrow_mut();
            let created = at.create_running(PROFILE, Share::DEFAULT, None);
            let gfid = created.expect("there is room for two");
            let device = MigrationDevice::new(&at, gfid, [id; 16], 0).expect("it runs");
            let guest = Guest::new();
            guest.map(&mut at, gfid);
            drop(at);
            let device = ShimDevice { host: Rc::clone(&host), device };
            Half { device: wrap(device, with), host, gfid, guest }
        });
        let mut bench = Self { cards, wrap, with, halves };
        bench.connect();
        bench
    }

    /// Lets the first vGPU reach the second's aperture, if it can.
    fn connect(&mut self) {
        if self.cards == Cards::Two {
            return;
        }
        let target = DmaTarget::Peer { gfid: self.half(Side::Second).gfid, offset: 0 };
        let (iova, byte_count) = (PEER_AT, PROFILE.bar_bytes);
        let window = DmaWindow { iova, byte_count, read: true, write: true, target };
        let half = self.half(Side::First);
        half.host.borrow_mut().dma_map(half.gfid, window).expect("nothing else is there");
    }

    fn half(&mut self, side: Side) -> &mut Half<D> {
        match side {
            Side::First => &mut self.halves[0],
            Side::Second => &mut self.halves[1],
        }
    }

    /// What a half has, apart from its device.
    fn parts(&mut self, side: Side) -> (RefMut<'_, Host>, Gfid, &mut Guest) {
        let half = self.half(side);
        (half.host.borrow_mut(), half.gfid, &mut half.guest)
    }
}

impl<D: Device> Bench for ShimBench<D> {
    type Device = D;

    fn power_on(&mut self) {
        *self = Self::new(self.cards, self.wrap, self.with);
    }

    fn device(&mut self, side: Side) -> &mut D {
        &mut self.half(side).device
    }

    fn pass(&mut self, ns: u64) {
        let sides = if self.cards == Cards::One { &Side::BOTH[..1] } else { &Side::BOTH };
        for side in sides {
            pass(&mut self.parts(*side).0, ns);
        }
    }

    fn attend(&mut self, side: Side) {
        let (mut host, gfid, guest) = self.parts(side);
        guest.attend(&mut host, gfid);
    }

    fn start(&mut self, side: Side, work: Work) -> bool {
        if work == Work::Peer && self.cards == Cards::Two {
            return false;
        }
        let (mut host, gfid, guest) = self.parts(side);
        guest.start(&mut host, gfid, work).is_some()
    }

    fn progress(&mut self, side: Side, work: Work) -> u64 {
        let peer = self.half(side.other()).gfid;
        let (host, gfid, guest) = self.parts(side);
        guest.progress(&host, gfid, peer, work)
    }

    fn result(&mut self, side: Side) -> Option<bool> {
        let (mut host, gfid, guest) = self.parts(side);
        guest.result(&mut host, gfid)
    }

    fn ring(&mut self, side: Side) {
        let (mut host, gfid, guest) = self.parts(side);
        guest.ring(&mut host, gfid);
    }

    fn interrupts(&mut self, side: Side) -> u64 {
        let (mut host, gfid, guest) = self.parts(side);
        guest.interrupts(&mut host, gfid)
    }

    fn registers(&mut self, side: Side) -> Vec<u32> {
        let (mut host, gfid, _) = self.parts(side);
        REGISTERS.iter().map(|offset| host.bar0_read(gfid, *offset)).collect()
    }

    fn memory(&mut self, side: Side) -> Vec<u8> {
        let (host, gfid, _) = self.parts(side);
        peek_all(&host, gfid)
    }

    fn write_memory(&mut self, side: Side, at: u64, bytes: &[u8]) -> bool {
        let (mut host, gfid, _) = self.parts(side);
        host.bar2_write(gfid, at, bytes).is_ok()
    }

    fn guest_memory(&mut self, side: Side) -> Vec<u8> {
        self.half(side).guest.memory()
    }

    fn hand_over(&mut self, to: Side) {
        let moved = std::mem::replace(&mut self.half(to.other()).guest, Guest::new());
        self.half(to).guest = moved;
        for side in Side::BOTH {
            let (mut host, gfid, guest) = self.parts(side);
            guest.map(&mut host, gfid);
        }
    }

    fn reboot(&mut self, side: Side) {
        self.half(side).guest.reboot();
    }

    fn restart_firmware(&mut self, side: Side) {
        let (mut host, ..) = self.parts(side);
        host.restart_firmware();
        host.settle();
    }

    /// Of one with a smaller framebuffer, which runs beside the second.
    fn other_state(&mut self) -> Option<Vec<u8>> {
        let host = Rc::clone(&self.half(Side::Second).host);
        let mut at = host.borrow_mut();
        let profile = Profile { fb_bytes: 7 << 20, bar_bytes: 7 << 20, ..PROFILE };
        let gfid = at.create_running(profile, Share::DEFAULT, None).expect("there is room");
        let device = MigrationDevice::new(&at, gfid, [9; 16], 0).expect("it runs");
        drop(at);
        let mut device = ShimDevice { host, device };
        device.set_state(state::STOP_COPY).expect("it can be stopped");
        let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match device.read(&mut buffer) {
                Ok(0) | Err(errno::ENOMSG) => return Some(all),
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error) => panic!("its state cannot be read: error {error}"),
            }
        }
    }
}
