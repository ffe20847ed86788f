//! File descriptors: too many, too few, and of the wrong kind. None is left with the client gone.

use crate::bench::Bench;
use crate::link::{Link, Memory, Outcome};
use crate::messages::message;
use crate::neighbour::MEMORY_AT;
use crate::process::{open_fds, settled_fds};
use crate::windows::Copies;
use godwit_server::Who;
use godwit_sim_gpu::DmaTarget;
use godwit_sys::{MemFile, new_eventfd};
use godwit_vfio_proto::{
    Command, DmaFlags, DmaMap, DmaUnmap, FeatureCall, HEADER_BYTES, IrqAction, IrqData,
    RegionAccess, Request, SetIrqs, irq, region,
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// A page of the largest kind that a memory file is made of here.
const LARGE_BYTES: u64 = 2 << 20;
/// Descriptors that a server keeps for one vGPU at a time, at most: 32 vectors, some files of
/// memory, and what came with messages that wait.
const KEPT_MAX: usize = 256;
/// More than one message may carry.
const MANY: usize = 17;

/// Everything is refused by the numbers of Linux, here `EINVAL`.
const REFUSED: Outcome = Outcome::Failed(22);

/// Kinds of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PipeReader,
    PipeWriter,
    Socket,
    Null,
    Folder,
    RegularFile,
    /// Memory that its owner could shorten.
    Unsealed,
    /// Memory of which a page may be missing when it is touched, which ends who touches it.
    Large,
    /// Memory that cannot be written.
    ReadOnly,
    Eventfd,
    /// Memory as it must be.
    Sealed,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::PipeReader,
        Self::PipeWriter,
        Self::Socket,
        Self::Null,
        Self::Folder,
        Self::RegularFile,
        Self::Unsealed,
        Self::Large,
        Self::ReadOnly,
        Self::Eventfd,
        Self::Sealed,
    ];

    /// `None`: this system has none.
    fn open(self) -> Option<OwnedFd> {
        let memfd = |flags, seals: SealFlags| {
            let fd = memfd_create("attacker", flags | MemfdFlags::ALLOW_SEALING).ok()?;
            ftruncate(&fd, LARGE_BYTES).ok()?;
            fcntl_add_seals(&fd, seals).ok()?;
            Some(fd)
        };
        let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        match self {
            Self::PipeReader => Some(rustix::pipe::pipe().unwrap().0),
            Self::PipeWriter => Some(rustix::pipe::pipe().unwrap().1),
            Self::Socket => Some(std::os::unix::net::UnixStream::pair().unwrap().0.into()),
            Self::Null => Some(std::fs::File::open("/dev/null").unwrap().into()),
            Self::Folder => Some(std::fs::File::open("/").unwrap().into()),
            Self::RegularFile => {
                let file = tempfile::tempfile().unwrap();
                file.set_len(LARGE_BYTES).unwrap();
                Some(file.into())
            }
            Self::Unsealed => memfd(MemfdFlags::empty(), SealFlags::empty()),
            Self::Large => memfd(MemfdFlags::HUGETLB, sealed),
            Self::ReadOnly => {
                let memory = MemFile::new("attacker", LARGE_BYTES).unwrap();
                Some(std::fs::File::open(memory.path()).unwrap().into())
            }
            Self::Eventfd => Some(new_eventfd().unwrap()),
            Self::Sealed => memfd(MemfdFlags::empty(), sealed),
        }
    }

    fn all() -> impl Iterator<Item = (Self, OwnedFd)> {
        Self::ALL.into_iter().filter_map(|kind| Some((kind, kind.open()?)))
    }
}

fn map(page: u64) -> Request<'static> {
    let flags = DmaFlags::READ | DmaFlags::WRITE;
    Request::DmaMap(DmaMap { flags, offset: 0, iova: MEMORY_AT + page * 4096, length: 4096 })
}

fn bind(start: u32, count: u32) -> Request<'static> {
    let (index, action, data) = (irq::MSIX, IrqAction::Trigger, IrqData::Eventfd);
    Request::SetIrqs(SetIrqs { index, start, count, action, data })
}

/// Sends more descriptors than those that keep the rules can.
fn send_many(link: &Link, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MANY))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    let parts = [IoSlice::new(bytes)];
    let sent = sendmsg(link.stream(), &parts, &mut control, SendFlags::NOSIGNAL).unwrap();
    assert_eq!(sent, bytes.len());
}

/// A bench, and how many descriptors are open while nobody is connected.
fn start() -> (Bench, usize) {
    let mut bench = Bench::new();
    // The first connection may make what is made once.
    let link = bench.meet(Who::Machine);
    bench.leave(link);
    (bench, settled_fds())
}

fn end(mut bench: Bench, link: Link, before: usize) {
    bench.leave(link);
    assert_eq!(open_fds(), before, "descriptors are left of a client that is gone");
    bench.finish();
}

#[test]
fn memory_of_the_wrong_kind_is_not_mapped_and_a_job_that_uses_it_harms_nobody() {
    let (mut bench, before) = start();
    let mut link = bench.meet(Who::Machine);
    for (kind, fd) in Kind::all() {
        bench.done(&mut link, &map(0), &[fd.as_fd()]);
        let window = bench.host.dma_windows(bench.gfid).next().unwrap();
        let is_mapped = matches!(window.target, DmaTarget::Memory { .. });
        assert_eq!(is_mapped, kind == Kind::Sealed, "{kind:?}");
        // What is not mapped is asked for, and comes from the machine.
        link.memory = Memory::Fine(0x3c);
        let copies = Copies::read(MEMORY_AT, 4096);
        let found = bench.copied(&mut link, copies).unwrap();
        let value = if is_mapped { 0 } else { 0x3c };
        assert!(found.iter().all(|byte| *byte == value), "{kind:?}");
        bench.done(&mut link, &Request::DmaUnmap(DmaUnmap::All), &[]);
    }
    end(bench, link, before);
}

#[test]
fn only_a_counter_is_an_interrupt() {
    let (mut bench, before) = start();
    let mut link = bench.meet(Who::Machine);
    for (kind, fd) in Kind::all() {
        let outcome = bench.ask(&mut link, &bind(3, 1), &[fd.as_fd()]);
        let fine = kind == Kind::Eventfd;
        assert_eq!(matches!(outcome, Outcome::Done(_)), fine, "{kind:?}: {outcome:?}");
        // One that is wrong among right ones: none is bound.
        let (first, last) = (new_eventfd().unwrap(), new_eventfd().unwrap());
        let fds = [first.as_fd(), fd.as_fd(), last.as_fd()];
        let outcome = bench.ask(&mut link, &bind(0, 3), &fds);
        assert_eq!(matches!(outcome, Outcome::Done(_)), fine, "{kind:?}: {outcome:?}");
    }
    end(bench, link, before);
}

#[test]
fn another_count_of_descriptors_than_a_message_takes_is_refused() {
    let (mut bench, before) = start();
    let mut link = bench.meet(Who::Machine);
    let event = new_eventfd().unwrap();
    let access = RegionAccess { region: region::CONFIG, offset: 0, count: 4 };
    for request in [
        Request::DeviceInfo,
        Request::RegionRead(access),
        Request::RegionWrite(access, &[0; 4]),
        Request::DmaUnmap(DmaUnmap::All),
        Request::Reset,
        Request::Feature(FeatureCall::GetState),
        Request::MigDataRead(4096),
    ] {
        for count in [1, 2, 16] {
            let outcome = bench.ask(&mut link, &request, &vec![event.as_fd(); count]);
            assert_eq!(outcome, REFUSED, "{request:?} with {count}");
        }
    }
    for (request, counts) in [(map(0), vec![2, 16]), (bind(0, 2), vec![1, 3, 16])] {
        for count in counts {
            let outcome = bench.ask(&mut link, &request, &vec![event.as_fd(); count]);
            assert_eq!(outcome, REFUSED, "{request:?} with {count}");
        }
    }
    assert_eq!(bench.host.dma_windows(bench.gfid).count(), 0);
    bench.check_health(&mut link);
    drop(event);
    end(bench, link, before);
}

#[test]
fn more_descriptors_than_a_message_may_carry_end_the_connection() {
    let (mut bench, before) = start();
    let event = new_eventfd().unwrap();
    let link = bench.meet(Who::Machine);
    send_many(&link, &Request::DeviceInfo.encode(9), &[event.as_fd(); MANY]);
    bench.turn();
    assert!(bench.cuts.iter().any(|cut| cut.contains("descriptors")), "{:?}", bench.cuts);
    drop(link);
    bench.cuts.clear();
    // As many again with each byte of a header: they are all of one message.
    let mut link = bench.meet(Who::Machine);
    let bytes = map(0).encode(9);
    let mut most = 0;
    for byte in &bytes[..HEADER_BYTES] {
        link.send(&[*byte], &[event.as_fd(); 16]);
        bench.turn();
        most = most.max(open_fds());
    }
    assert!(bench.cuts.iter().any(|cut| cut.contains("descriptors")), "{:?}", bench.cuts);
    assert!(most < before + 64, "{before} are open before, and {most} for one message");
    // In the middle of a body they are of no message.
    drop(link);
    let mut link = bench.meet(Who::Machine);
    assert!(bench.send(&mut link, &bytes[..20], &[]));
    bench.turn();
    link.send(&bytes[20..], &[event.as_fd(); 16]);
    bench.turn();
    bench.check_health(&mut link);
    drop(event);
    end(bench, link, before);
}

#[test]
fn what_a_client_makes_a_server_keep_is_bounded() {
    let (mut bench, before) = start();
    let mut link = bench.meet(Who::Machine);
    for page in 0..250 {
        let fd = Kind::Sealed.open().unwrap();
        bench.done(&mut link, &map(page), &[fd.as_fd()]);
    }
    let kept = open_fds() - before;
    assert!(kept < KEPT_MAX, "{kept} descriptors are kept for windows");
    bench.done(&mut link, &Request::DmaUnmap(DmaUnmap::All), &[]);
    end(bench, link, before);
}

#[test]
fn messages_that_wait_keep_few_descriptors() {
    let (mut bench, before) = start();
    let mut link = bench.meet_silent();
    bench.stop_and_wait(&mut link);
    let event = new_eventfd().unwrap();
    let mut most = 0;
    for _ in 0..250 {
        let bytes = message(Command::DeviceSetIrqs as u16, &[0; 20]);
        link.send(&bytes, &[event.as_fd(); 16]);
        bench.turn();
        most = most.max(open_fds());
    }
    assert!(most < before + KEPT_MAX, "{before} are open before, and {most} while it waits");
    drop(event);
    end(bench, link, before);
}
