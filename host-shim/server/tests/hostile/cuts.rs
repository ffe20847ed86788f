//! A client that goes in the middle of what it says, at every byte.

use crate::bench::Bench;
use crate::link::{Link, Outcome};
use godwit_regs::guest::{ChannelRegister, channel_offset};
use godwit_server::Who;
use godwit_shim::vfio::MigrationState;
use godwit_sys::{MemFile, new_eventfd};
use godwit_types::GuestChannelId;
use godwit_vfio_proto::{
    DmaFlags, DmaMap, FeatureCall, IrqAction, IrqData, RegionAccess, Request, SetIrqs, irq, region,
};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

const AT: u64 = 1 << 32;
const BYTES: u64 = 16 << 10;
/// Where the guest has left something in its framebuffer, and what.
const MARK_AT: u64 = 5 << 20;
const MARK: &[u8] = b"what the guest has written";
const LINE: u64 = 0x3c;

/// A conversation: messages, and what comes with each.
fn conversation(who: Who) -> Vec<(Vec<u8>, Vec<OwnedFd>)> {
    let memory = MemFile::new("cut", BYTES).unwrap();
    let flags = DmaFlags::READ | DmaFlags::WRITE;
    let map = DmaMap { flags, offset: 0, iova: AT, length: BYTES };
    let (index, action, data) = (irq::MSIX, IrqAction::Trigger, IrqData::Eventfd);
    let bind = SetIrqs { index, start: 0, count: 2, action, data };
    let read = RegionAccess { region: region::CONFIG, offset: 0, count: 64 };
    let events = (0..2).map(|_| new_eventfd().unwrap()).collect();
    let files = vec![memory.file().try_clone().unwrap().into()];
    let state = FeatureCall::SetState { state: MigrationState::PreCopy as u32, data_fd: 0 };
    let mut all = vec![(crate::messages::version(), Vec::new())];
    if who == Who::Machine {
        all.push((Request::DmaMap(map), files));
        all.push((Request::SetIrqs(bind), events));
    }
    all.push((Request::RegionRead(read), Vec::new()));
    all.push((Request::Feature(state), Vec::new()));
    all.push((Request::MigDataRead(4096), Vec::new()));
    (1..).zip(all).map(|(id, (request, fds))| (request.encode(id), fds)).collect()
}

/// Says the first bytes of it. Returns how many whole messages these are.
fn say(bench: &mut Bench, link: &mut Link, who: Who, mut bytes: usize) -> usize {
    let mut whole = 0;
    for (message, fds) in conversation(who) {
        let count = bytes.min(message.len());
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(OwnedFd::as_fd).collect();
        assert_eq!(link.send(&message[..count], &fds), count);
        bytes -= count;
        whole += usize::from(count == message.len());
        if bytes == 0 {
            break;
        }
    }
    bench.turn();
    whole
}

/// What the guest has told its device, and a client has.
fn leave_marks(bench: &mut Bench, register: u32) {
    let mut link = bench.meet(Who::Machine);
    for (region, offset, data) in
        [(2, MARK_AT, MARK), (0, register.into(), &[0x21, 0x43, 0, 0]), (7, LINE, &[0x5b])]
    {
        let access = RegionAccess { region, offset, count: data.len() as u32 };
        bench.done(&mut link, &Request::RegionWrite(access, data), &[]);
    }
    bench.leave(link);
}

fn check_marks(bench: &mut Bench, link: &mut Link, register: u32, what: &str) {
    for (region, offset, data) in
        [(2, MARK_AT, MARK), (0, register.into(), &[0x21, 0x43, 0, 0]), (7, LINE, &[0x5b])]
    {
        let access = RegionAccess { region, offset, count: data.len() as u32 };
        let body = bench.done(link, &Request::RegionRead(access), &[]);
        assert!(body.ends_with(data), "{what}: region {region} has lost what was there");
    }
}

/// Cuts the conversation after each byte; a fresh client finds everything as it was.
fn cut_everywhere(who: Who) {
    let mut bench = Bench::new();
    let channel = GuestChannelId::new(3).unwrap();
    let register = channel_offset(channel, ChannelRegister::RingLo);
    leave_marks(&mut bench, register);
    let messages = conversation(who);
    let all: usize = messages.iter().map(|(message, _)| message.len()).sum();
    for bytes in 0..=all {
        let what = format!("cut after {bytes} bytes of {all}");
        let mut link = bench.connect(who);
        let whole = say(&mut bench, &mut link, who, bytes);
        // The second last message brings it to another state.
        let has_moved = whole + 1 >= messages.len();
        let expected = if has_moved { MigrationState::PreCopy } else { MigrationState::Running };
        assert_eq!(bench.device.state(), expected, "{what}");
        if who == Who::Machine && whole >= 2 {
            assert_eq!(bench.host.dma_windows(bench.gfid).count(), 1, "{what}");
        }
        bench.cuts.clear();
        bench.leave(link);
        let reason = bench.cuts.first().map(String::as_str).unwrap_or_default();
        assert!(reason.contains("closed the connection"), "{what}: {:?}", bench.cuts);
        assert_eq!(bench.host.dma_windows(bench.gfid).count(), 0, "{what}: a window is left");
        assert_eq!(bench.device.state(), expected, "{what}");
        let mut fresh = bench.meet(Who::Machine);
        bench.check_health(&mut fresh);
        check_marks(&mut bench, &mut fresh, register, &what);
        if has_moved {
            go_back(&mut bench, &mut fresh);
        }
        bench.leave(fresh);
    }
    bench.finish();
}

fn go_back(bench: &mut Bench, link: &mut Link) {
    let call = FeatureCall::SetState { state: MigrationState::Running as u32, data_fd: 0 };
    let outcome = bench.ask(link, &Request::Feature(call), &[]);
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(bench.device.state(), MigrationState::Running);
}

#[test]
fn a_machine_may_go_at_every_byte() {
    cut_everywhere(Who::Machine);
}

#[test]
fn a_manager_may_go_at_every_byte() {
    cut_everywhere(Who::Manager);
}
