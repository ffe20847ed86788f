//! The attacker's end of a socket, which says what no client says.

use godwit_sys::{recv_with_fds, send_with_fds};
use godwit_vfio_proto::{DmaAccess, DmaReply, HEADER_BYTES, Header, Limits};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

/// What comes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done; the body of the answer.
    Done(Vec<u8>),
    /// It is refused, with this number of Linux.
    Failed(u32),
    /// The connection was cut.
    Cut,
    /// Nothing.
    Silent,
}

/// How a machine answers for guest memory that it does not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Not at all.
    Silent,
    /// As it should: reads come to bytes of this value.
    Fine(u8),
    /// One byte is missing.
    Short,
    /// There is one too many.
    Long,
    /// It says that it has failed.
    Refused,
    /// With a body that is none.
    Garbage,
}

impl Memory {
    /// The answer to what the device asks.
    pub(crate) fn answer(self, header: &Header, body: &[u8]) -> Option<Vec<u8>> {
        let access = DmaAccess::parse(header, body, &Limits::default()).unwrap();
        let (iova, count) = match access {
            DmaAccess::Read { iova, count } => (iova, count),
            DmaAccess::Write { iova, data } => (iova, data.len() as u64),
        };
        let is_read = matches!(access, DmaAccess::Read { .. });
        let reply = |byte: u8, count: u64| match is_read {
            true => DmaReply::Read { iova, data: &vec![byte; count as usize] }.encode(header),
            false => DmaReply::Written { iova, count }.encode(header),
        };
        match self {
            Self::Silent => None,
            Self::Fine(byte) => Some(reply(byte, count)),
            Self::Short => Some(reply(0xee, count - 1)),
            Self::Long => Some(reply(0xee, count + 1)),
            Self::Refused => Some(header.failure(5).to_vec()),
            Self::Garbage => Some([&header.answer(3).encode()[..], &[0xee; 3]].concat()),
        }
    }
}

/// See the module.
pub(crate) struct Link {
    stream: UnixStream,
    came: Vec<u8>,
    last_id: u16,
    pub(crate) is_cut: bool,
    /// Whole messages that came and nobody has looked at.
    pub(crate) heard: VecDeque<(Header, Vec<u8>)>,
    pub(crate) memory: Memory,
}

impl Link {
    /// Over a socket that does not wait.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let heard = VecDeque::new();
        Self { stream, came: Vec::new(), last_id: 0, is_cut: false, heard, memory: Memory::Fine(0) }
    }

    pub(crate) fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends what the socket takes now. Returns how many bytes.
    pub(crate) fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> usize {
        match send_with_fds(&self.stream, bytes, fds) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => {
                let kind = error.kind();
                assert!(is_end(kind), "the attacker cannot send: {error}");
                self.is_cut = true;
                0
            }
        }
    }

    /// Takes what has come; each must be a message, as the protocol has them.
    pub(crate) fn hear(&mut self) {
        let mut part = vec![0; 1 << 16];
        loop {
            // What is shared is looked at elsewhere.
            match recv_with_fds(&self.stream, &mut part, &mut Vec::new()) {
                Ok(0) => {
                    self.is_cut = true;
                    break;
                }
                Ok(count) => self.came.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    assert!(is_end(error.kind()), "the attacker cannot receive: {error}");
                    self.is_cut = true;
                    break;
                }
            }
        }
        let mut at = 0;
        while let Some((head, rest)) = self.came[at..].split_first_chunk::<HEADER_BYTES>() {
            let header = Header::parse(head, &Limits::default()).unwrap();
            let Some(body) = rest.get(..header.body_bytes()) else { break };
            at += HEADER_BYTES + body.len();
            self.heard.push_back((header, body.to_vec()));
        }
        self.came.drain(..at);
    }
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
