//! What goes over a UNIX socket beside its bytes: file descriptors, and what is made of them.

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Descriptors that one message carries, at most: `SCM_MAX_FD` of Linux is 253, and no peer of ours
/// sends more than 16.
pub const FDS_MAX: usize = 16;

/// Receives bytes, and adds the descriptors that come with them to `fds`. 0 bytes: the peer has
/// closed the connection. Descriptors are closed on exec.
///
/// # Errors
///
/// When nothing can be received, as [`io::ErrorKind::WouldBlock`] says of a socket that does not
/// wait; and when more descriptors came than [`FDS_MAX`], all of which are closed then.
pub fn recv_with_fds(
    socket: impl AsFd,
    into: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(into)], &mut control, flags)?;
    let mut came = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            came.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) || came.len() > FDS_MAX {
        let why = format!("a message carries more than {FDS_MAX} file descriptors");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    fds.append(&mut came);
    Ok(received.bytes)
}

/// Sends bytes, with descriptors that ride on the first of them. Returns how many were sent; the
/// descriptors are sent if any byte is. A peer that has closed the connection is an error, not a
/// signal.
///
/// # Errors
///
/// When nothing can be sent, or there are more descriptors than [`FDS_MAX`].
pub fn send_with_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sent = fds.is_empty()
        || (fds.len() <= FDS_MAX && control.push(SendAncillaryMessage::ScmRights(fds)));
    if !sent {
        let why = format!("a message carries up to {FDS_MAX} file descriptors");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// A counter that another process waits for, made by this one.
///
/// # Errors
///
/// When the system gives none.
pub fn new_eventfd() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Adds 1 to the counter of an event descriptor that somebody else has made, without waiting: one
/// that is full is as good as signalled.
///
/// # Errors
///
/// When the descriptor takes no such write.
pub fn signal_eventfd(fd: impl AsFd) -> io::Result<()> {
    // What was given may be any file that blocks; only a counter is ready for 8 bytes unless full.
    let mut polled = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::OUT)];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    if rustix::event::poll(&mut polled, Some(&at_once))? == 0 {
        return Ok(());
    }
    match rustix::io::write(fd, &1u64.to_ne_bytes()) {
        Ok(8) => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        Err(rustix::io::Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes reads and writes of a descriptor fail where they would wait.
///
/// # Errors
///
/// When the system refuses.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Whether a descriptor is a counter made by `eventfd`.
pub fn is_eventfd(fd: impl AsFd) -> bool {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd());
    std::fs::read_link(format!("/proc/self/fd/{fd}"))
        .is_ok_and(|target| target.as_os_str() == "anon_inode:[eventfd]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_ride_on_the_first_byte() {
        let (here, there) = UnixStream::pair().unwrap();
        let event = new_eventfd().unwrap();
        assert_eq!(send_with_fds(&here, b"ab", &[event.as_fd()]).unwrap(), 2);
        let (mut byte, mut fds) = ([0; 1], Vec::new());
        assert_eq!(recv_with_fds(&there, &mut byte, &mut fds).unwrap(), 1);
        assert_eq!((byte, fds.len()), (*b"a", 1));
        assert_eq!(recv_with_fds(&there, &mut byte, &mut fds).unwrap(), 1);
        assert_eq!((byte, fds.len()), (*b"b", 1));
        signal_eventfd(&fds[0]).unwrap();
        let mut count = [0; 8];
        assert_eq!(rustix::io::read(&event, &mut count).unwrap(), 8);
        assert_eq!(u64::from_ne_bytes(count), 1);
        drop(here);
        assert_eq!(recv_with_fds(&there, &mut byte, &mut fds).unwrap(), 0);
    }

    #[test]
    fn too_many_descriptors_are_refused_and_a_closed_peer_is_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        let event = new_eventfd().unwrap();
        let many = vec![event.as_fd(); FDS_MAX + 1];
        let refused = send_with_fds(&here, b"a", &many).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        drop(there);
        let gone = send_with_fds(&here, b"a", &[]).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_counter_and_a_full_pipe_do_not_block() {
        let event = eventfd(0, EventfdFlags::empty()).unwrap();
        assert!(is_eventfd(&event));
        rustix::io::write(&event, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        signal_eventfd(&event).unwrap();
        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        assert!(!is_eventfd(&writer));
    }
}
