//! A host with two vGPUs: a neighbour's, at work all the time, and the one that is attacked.

use crate::link::{Link, Outcome};
use crate::neighbour::Neighbour;
use godwit_guest::{Bars, Device as Driver};
use godwit_hal::Identity;
use godwit_server::{Device, Who};
use godwit_shim::{Host, HostError, Mcu};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{Engines, Gfid, Profile, Share};
use godwit_vfio_proto::{Header, MessageKind, Request};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a framebuffer, all of which the aperture shows.
pub(crate) const FB_BYTES: u64 = 8 << 20;

const IDENTITY: Identity = Identity {
    fb_bytes: 64 << 20,
    bar_bytes: 64 << 20,
    context_bytes: 4 << 20,
    context_layout: 3,
    engines: Engines::ALL,
};
const PROFILE: Profile =
    Profile { fb_bytes: FB_BYTES, bar_bytes: FB_BYTES, channel_count: 8, context_bytes: 32 << 10 };
/// Time of the card that passes in a turn.
const TURN_NS: u64 = 20_000;
/// Turns without a byte either way: more, and there is no answer.
const TURNS_MAX: u32 = 500;

/// Descriptors and memory are counted for the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The BARs of a vGPU, as its guest reaches them.
pub(crate) struct HostBars<'a> {
    pub(crate) host: &'a mut Host,
    pub(crate) gfid: Gfid,
}

impl Bars for HostBars<'_> {
    type Error = HostError;

    fn read32(&mut self, offset: u32) -> Result<u32, HostError> {
        Ok(self.host.bar0_read(self.gfid, offset))
    }

    fn write32(&mut self, offset: u32, value: u32) -> Result<(), HostError> {
        self.host.bar0_write(self.gfid, offset, value);
        Ok(())
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), HostError> {
        self.host.bar2_read(self.gfid, at, into)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), HostError> {
        self.host.bar2_write(self.gfid, at, from)
    }
}

/// See the module.
pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) device: Device,
    pub(crate) gfid: Gfid,
    pub(crate) neighbour: Neighbour,
    /// Why the device has cut connections, since somebody has last looked.
    pub(crate) cuts: Vec<String>,
    /// What else it has noted in the last turn.
    pub(crate) notes: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        // A test that has failed before is no reason to fail.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let config = GpuConfig { identity: IDENTITY, start_ns: 0, costs: Costs::default() };
        let mut host = Host::new(config, &Mcu::Native).unwrap();
        let mut place = || host.create_running(PROFILE, Share::DEFAULT, None).unwrap();
        let (gfid, other) = (place(), place());
        let device = Device::new(&mut host, "attacked", gfid, [7; 16]).unwrap();
        let neighbour = Neighbour::new(&mut host, other);
        let (cuts, notes) = (Vec::new(), Vec::new());
        Self { host, device, gfid, neighbour, cuts, notes, _alone: alone }
    }

    /// The attacked vGPU, as its guest's driver has it.
    pub(crate) fn driver(&mut self) -> Driver {
        Driver::probe(&mut self.bars()).unwrap()
    }

    pub(crate) fn bars(&mut self) -> HostBars<'_> {
        HostBars { host: &mut self.host, gfid: self.gfid }
    }

    /// Lets everybody have a turn, as a server's loop does.
    pub(crate) fn turn(&mut self) {
        self.device.step(&mut self.host);
        pass(&mut self.host, TURN_NS);
        self.device.step(&mut self.host);
        self.neighbour.step(&mut self.host);
        self.notes = self.device.take_notes();
        let cuts = self.notes.iter().filter(|note| note.contains("is cut off: "));
        self.cuts.extend(cuts.cloned());
        self.host.card_mut().gpu_mut().take_residues();
        self.host.card_mut().take_log();
        self.host.take_abuses();
    }

    /// A new connection, on which nothing was said.
    pub(crate) fn connect(&mut self, who: Who) -> Link {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.device.attach(&mut self.host, who, theirs);
        Link::new(ours)
    }

    /// A new connection, on which the versions are agreed.
    pub(crate) fn meet(&mut self, who: Who) -> Link {
        let mut link = self.connect(who);
        let outcome = self.ask(&mut link, &crate::messages::version(), &[]);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}: {:?}", self.notes);
        link
    }

    /// The client goes, and the device has seen it.
    pub(crate) fn leave(&mut self, mut link: Link) {
        // It may have been cut off, and not have seen it.
        link.hear();
        let (was_cut, before) = (link.is_cut, self.cuts.len());
        drop(link);
        for _ in 0..TURNS_MAX {
            self.turn();
            if was_cut || self.cuts.len() > before {
                return;
            }
        }
        panic!("nobody has seen that a client has gone");
    }

    /// Sends bytes with descriptors on the first of them. `false`: the connection was cut, or the
    /// device takes no more.
    pub(crate) fn send(&mut self, link: &mut Link, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
        let (mut sent, mut idle) = (0, 0);
        while sent < bytes.len() && !link.is_cut && idle < TURNS_MAX {
            let count = link.send(&bytes[sent..], if sent == 0 { fds } else { &[] });
            idle = if count == 0 { idle + 1 } else { 0 };
            sent += count;
            if sent < bytes.len() {
                self.turn();
                link.hear();
            }
        }
        sent == bytes.len() && !link.is_cut
    }

    /// Sends a message, whose number is set here, and waits for what comes of it.
    pub(crate) fn ask_bytes(
        &mut self,
        link: &mut Link,
        mut message: Vec<u8>,
        fds: &[BorrowedFd<'_>],
    ) -> Outcome {
        let id = link.next_id();
        message[..2].copy_from_slice(&id.to_le_bytes());
        self.send(link, &message, fds);
        for _ in 0..TURNS_MAX {
            self.turn();
            link.hear();
            while let Some((header, body)) = link.heard.pop_front() {
                match header.kind {
                    MessageKind::Command { .. } => self.answer(link, &header, &body),
                    MessageKind::Reply { error } if header.id == id => {
                        return error.map_or(Outcome::Done(body), Outcome::Failed);
                    }
                    MessageKind::Reply { .. } => {}
                }
            }
            if link.is_cut {
                return Outcome::Cut;
            }
        }
        Outcome::Silent
    }

    /// Asks what a client may ask.
    pub(crate) fn ask(
        &mut self,
        link: &mut Link,
        request: &Request<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Outcome {
        self.ask_bytes(link, request.encode(0), fds)
    }

    /// Asks, and it is done.
    pub(crate) fn done(
        &mut self,
        link: &mut Link,
        request: &Request<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Vec<u8> {
        match self.ask(link, request, fds) {
            Outcome::Done(body) => body,
            outcome => panic!("{request:?}: {outcome:?}: {:?}", self.notes),
        }
    }

    fn answer(&mut self, link: &mut Link, header: &Header, body: &[u8]) {
        if let Some(message) = link.memory.answer(header, body) {
            self.send(link, &message, &[]);
        }
    }

    /// The device is still what it is for a client that keeps the rules.
    pub(crate) fn check_health(&mut self, link: &mut Link) {
        let body = self.done(link, &Request::DeviceInfo, &[]);
        let words = [16u32, 3, 9, 5].map(u32::to_le_bytes).concat();
        assert_eq!(body, words, "what the device is");
    }

    /// The neighbour has noticed nothing, and neither has the card.
    pub(crate) fn finish(mut self) {
        for _ in 0..2 {
            self.turn();
        }
        self.neighbour.finish(&mut self.host);
        let losses: Vec<String> =
            self.host.card().losses().iter().map(|(_, loss)| loss.to_string()).collect();
        assert!(losses.is_empty(), "firmware was lost: {losses:?}");
    }
}

/// Lets time pass on a card.
pub(crate) fn pass(host: &mut Host, ns: u64) {
    let until_ns = host.now_ns() + ns;
    while host.now_ns() < until_ns {
        host.run(until_ns);
    }
    host.settle();
}
