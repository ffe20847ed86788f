//! A connection that speaks vfio-user, without waiting: whole messages in, whole messages out.
//!
//! The file descriptors of a message ride on its first byte, so a header is received by itself:
//! then what came with it is that message's. A body takes memory as its bytes come, not as its
//! header claims.

use crate::cut::Cut;
use godwit_sys::{FDS_MAX, recv_with_fds, send_with_fds};
use godwit_vfio_proto::{HEADER_BYTES, Header, Limits};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Bytes of a body that are received at a time.
const PART_BYTES: usize = 64 * 1024;
/// Bytes that wait to be sent, from which on nothing more is taken from the peer.
const OUT_BYTES_MAX: usize = 4 << 20;

/// A whole message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    limits: Limits,
    head: [u8; HEADER_BYTES],
    head_bytes: usize,
    header: Option<Header>,
    body: Vec<u8>,
    fds: Vec<OwnedFd>,
    out: VecDeque<Outgoing>,
    out_bytes: usize,
}

impl Connection {
    /// A connection over a socket that does not wait.
    pub(crate) fn new(stream: UnixStream, limits: Limits) -> Self {
        Self {
            stream,
            limits,
            head: [0; HEADER_BYTES],
            head_bytes: 0,
            header: None,
            body: Vec::new(),
            fds: Vec::new(),
            out: VecDeque::new(),
            out_bytes: 0,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether it has so much to send that nothing more is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.out_bytes > OUT_BYTES_MAX
    }

    /// Whether something waits to be sent.
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether the peer has closed it, whatever it has said before.
    pub(crate) fn is_closed(&self) -> bool {
        let mut polled = [PollFd::new(&self.stream, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let known = poll(&mut polled, Some(&at_once)).is_ok();
        known && polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// The next message, if all of it is here.
    pub(crate) fn receive(&mut self) -> Result<Option<Message>, Cut> {
        let header = match self.header {
            Some(header) => header,
            None => {
                while self.head_bytes < HEADER_BYTES {
                    let into = &mut self.head[self.head_bytes..];
                    match some(recv_with_fds(&self.stream, into, &mut self.fds))? {
                        Some(count) => self.head_bytes += count,
                        None => return Ok(None),
                    }
                    // Each part of a header may come with as many.
                    if self.fds.len() > FDS_MAX {
                        return Err(Cut::Descriptors);
                    }
                }
                let header = Header::parse(&self.head, &self.limits)?;
                *self.header.insert(header)
            }
        };
        let wanted = header.body_bytes();
        while self.body.len() < wanted {
            let had = self.body.len();
            self.body.resize((had + PART_BYTES).min(wanted), 0);
            // Descriptors that come in the middle of a message are of none.
            let mut stray = Vec::new();
            let received = some(recv_with_fds(&self.stream, &mut self.body[had..], &mut stray));
            let count = received.as_ref().map_or(0, |count| count.unwrap_or(0));
            self.body.truncate(had + count);
            if received?.is_none() {
                return Ok(None);
            }
        }
        self.header = None;
        self.head_bytes = 0;
        let (body, fds) = (std::mem::take(&mut self.body), std::mem::take(&mut self.fds));
        Ok(Some(Message { header, body, fds }))
    }

    /// Sends a message, now or as soon as the peer takes it.
    pub(crate) fn send(&mut self, bytes: Vec<u8>, fds: Vec<OwnedFd>) {
        self.out_bytes += bytes.len();
        self.out.push_back(Outgoing { bytes, sent: 0, fds });
    }

    /// Sends what waits, as far as the peer takes it.
    pub(crate) fn flush(&mut self) -> Result<(), Cut> {
        while let Some(first) = self.out.front_mut() {
            let fds: Vec<BorrowedFd<'_>> = first.fds.iter().map(OwnedFd::as_fd).collect();
            let rest = &first.bytes[first.sent..];
            let Some(count) = some(send_with_fds(&self.stream, rest, &fds))? else {
                return Ok(());
            };
            first.fds.clear();
            first.sent += count;
            self.out_bytes -= count;
            if first.sent == first.bytes.len() {
                self.out.pop_front();
            }
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// How many bytes went; `None`: none go now.
fn some(result: std::io::Result<usize>) -> Result<Option<usize>, Cut> {
    match result {
        Ok(0) => Err(Cut::Closed),
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error)
            if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
        {
            Err(Cut::Closed)
        }
        Err(error) => Err(Cut::Socket(error)),
    }
}
