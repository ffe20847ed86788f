//! One end of a link over a socket.

use super::address::LinkAddress;
use super::socket::Socket;
use super::{Protection, SILENCE, TransportError};
use crate::link::{LinkFraming, LinkMessage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::time::{Duration, Instant};

/// Bytes that wait to be sent before no more messages are taken.
const WINDOW_BYTES: usize = 256 * 1024;
/// Bytes that are received in one go.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of a frame that is not whole that are a sign of life: more than the keep-alives of a
/// silence. A frame whose length has grown on the way would take those for its message.
const HEARD_BYTES: usize = 256;
/// A link to a peer, until it ends.
#[derive(Debug)]
pub struct LinkPort {
    socket: Socket,
    framing: LinkFraming,
    silence: Duration,
    /// When the peer was heard of last, and when it took something, or had nothing to take.
    heard: Instant,
    taken: Instant,
    /// Bytes of a frame that is not whole that have come since.
    unheard_bytes: usize,
    /// When something was said last.
    said: Instant,
    /// Nothing can be sent any more, and why. What the peer said before is still to be read.
    gone: Option<TransportError>,
    chunk: Vec<u8>,
}

impl LinkPort {
    /// Connects to a peer that listens, and waits for that for a while.
    ///
    /// # Errors
    ///
    /// When nobody answers, or the address may not be reached like that.
    pub fn connect(address: &LinkAddress, how: &Protection) -> Result<Self, TransportError> {
        Ok(Self::over(Socket::connect(address, how)?))
    }

    /// A link over a connection on which nothing of one was said yet.
    pub fn over(socket: Socket) -> Self {
        let now = Instant::now();
        Self {
            socket,
            framing: LinkFraming::new(),
            silence: SILENCE,
            heard: now,
            taken: now,
            unheard_bytes: 0,
            said: now,
            gone: None,
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// The same, with a peer that may be silent for so long.
    #[must_use]
    pub fn with_silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Whether it takes a message now: the peer speaks the protocol, and what was sent before is
    /// nearly through.
    pub fn takes(&self) -> bool {
        self.framing.version().is_some() && self.framing.outgoing().len() < WINDOW_BYTES
    }

    /// Whether all that was said has been taken by the system.
    pub fn is_flushed(&self) -> bool {
        self.framing.outgoing().is_empty() && !self.socket.wants_write()
    }

    /// Says something; [`Self::takes`] is to be asked first.
    pub fn send(&mut self, message: &LinkMessage) {
        self.framing.send(message);
        self.said = Instant::now();
    }

    /// Goes on until the peer has said which protocol it speaks, and takes no message. `false`: not
    /// yet. Over TLS nobody has who has not shown a certificate.
    ///
    /// # Errors
    ///
    /// When the link is of no use any more, or the peer is silent.
    pub fn poll_hello(&mut self) -> Result<bool, TransportError> {
        let gone = self.gone.take();
        while !self.framing.poll_hello()? {
            let Some(count) = self.socket.receive(&mut self.chunk)? else { break };
            self.framing.feed(&self.chunk[..count]);
        }
        if let Some(error) = gone {
            return Err(error);
        }
        self.flush()?;
        // What comes before a hello, such as half of one, is no sign of life.
        if self.heard.elapsed() > self.silence {
            return Err(TransportError::Silent(self.silence));
        }
        let is_there = self.framing.poll_hello()?;
        if is_there {
            self.heard = Instant::now();
        }
        Ok(is_there)
    }

    /// Goes on with all that does not wait. Returns the next message of the peer; call it again
    /// until there is none. `held_back`: no more is received, which the peer will notice.
    ///
    /// # Errors
    ///
    /// When the link is of no use any more.
    pub fn poll(&mut self, held_back: bool) -> Result<Option<LinkMessage>, TransportError> {
        let now = Instant::now();
        if let Some(message) = self.framing.poll_message()? {
            return Ok(Some(message));
        }
        let gone = self.gone.take_if(|_| !held_back);
        if held_back {
            self.heard = now;
        } else {
            while let Some(count) = self.socket.receive(&mut self.chunk)? {
                self.framing.feed(&self.chunk[..count]);
                let message = self.framing.poll_message()?;
                self.unheard_bytes += count;
                if !self.framing.is_within_frame() || self.unheard_bytes >= HEARD_BYTES {
                    (self.heard, self.unheard_bytes) = (now, 0);
                }
                if let Some(message) = message {
                    self.heard = now;
                    self.gone = gone;
                    return Ok(Some(message));
                }
            }
        }
        if let Some(error) = gone {
            return Err(error);
        }
        self.flush()?;
        if now - self.heard > self.silence || now - self.taken > self.silence {
            return Err(TransportError::Silent(self.silence));
        }
        Ok(None)
    }

    /// Sends what does not have to wait. That nothing can be sent any more is told by
    /// [`Self::poll`], after all that the peer has said.
    ///
    /// # Errors
    ///
    /// When the link is of no use any more.
    pub fn flush(&mut self) -> Result<(), TransportError> {
        if self.gone.is_some() {
            return Ok(());
        }
        let now = Instant::now();
        if now - self.said > self.silence / 4 && self.framing.outgoing().is_empty() {
            self.framing.keep_alive();
            self.said = now;
        }
        loop {
            let count = match self.socket.send(self.framing.outgoing()) {
                Err(error @ TransportError::Io(_)) => {
                    self.gone = Some(error);
                    return Ok(());
                }
                sent => sent?,
            };
            self.framing.consume(count);
            if count > 0 || self.is_flushed() {
                self.taken = now;
            }
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Waits until something can be done, for so long at most.
    ///
    /// # Errors
    ///
    /// When the system cannot.
    pub fn wait(&self, held_back: bool, most: Duration) -> Result<(), TransportError> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !held_back);
        flags.set(PollFlags::OUT, !self.is_flushed());
        wait_for(&mut [PollFd::new(&self.socket, flags)], most)
    }
}

/// Waits until one of them is ready, for so long at most.
pub(super) fn wait_for(fds: &mut [PollFd<'_>], most: Duration) -> Result<(), TransportError> {
    let most = Timespec::try_from(most).map_err(io::Error::other)?;
    match poll(fds, Some(&most)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(io::Error::from(error).into()),
    }
}
