//! Whoever was let in at the control socket.

use crate::operation::ClientId;
use godwit_control::{Code, Event, LINE_BYTES_MAX, Refusal, Told};
use godwit_shim::{LinkPort, Socket, TransportError};
use rustix::event::PollFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Bytes that a client has not read, from which on it is not heard.
pub(super) const OUT_BYTES_MAX: usize = 1 << 20;
/// Bytes of what it says that are taken at a time.
const PART_BYTES: usize = 4096;
/// What TLS begins with: the type of a record with a handshake (RFC 8446, 5.1). No question does.
const TLS_HANDSHAKE: u8 = 22;

/// Why one is cut off.
#[derive(Debug)]
pub(super) enum Cut {
    /// What it asks is none, and it is told so.
    Refused(Refusal),
    /// It does not do as it has to.
    Wrong(String),
    /// It has gone by itself.
    Gone,
}

impl From<String> for Cut {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

/// That a question is longer than any can be.
pub(super) fn too_long() -> Refusal {
    let why = format!("a line has more than {LINE_BYTES_MAX} bytes");
    Refusal::new(Code::BadRequest, why).help("`godwit ctl schema` prints what may be asked")
}

/// That it would speak TLS where that is not spoken, or is spoken already.
fn speaks_tls() -> Refusal {
    Refusal::new(Code::BadRequest, "TLS is not spoken here").help("ask in plaintext")
}

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    /// Who it is, in words.
    pub(super) peer: String,
    socket: Socket,
    line: Vec<u8>,
    /// Ends of lines in it.
    ends: usize,
    out: Vec<u8>,
    /// When it has last said something whole, or come.
    pub(super) heard: Instant,
    /// When it has last taken something that it was told, or had nothing to take.
    pub(super) took: Instant,
    /// It says nothing more, and is answered what it has said.
    has_ended: bool,
    /// It does not hear any more either.
    has_gone: bool,
    /// Something can be read or written, or it has gone, as far as is known.
    is_ready: bool,
    /// What it asked for takes a while; what it says next is heard then.
    pub(super) waits: bool,
    /// It is told what happens, after the event of this number.
    pub(super) follows: Option<u64>,
}

impl Client {
    pub(super) fn new(id: ClientId, peer: String, socket: Socket) -> Self {
        Self {
            id,
            peer,
            socket,
            line: Vec::new(),
            ends: 0,
            out: Vec::new(),
            heard: Instant::now(),
            took: Instant::now(),
            has_ended: false,
            has_gone: false,
            is_ready: true,
            waits: false,
            follows: None,
        }
    }

    /// Bytes that it has not read yet.
    pub(super) fn unread(&self) -> usize {
        self.out.len()
    }

    /// Whether what it says is taken now.
    fn is_heard(&self) -> bool {
        let is_asked = self.waits || self.ends > 0 || self.follows.is_some();
        !self.has_ended && !is_asked && self.out.len() < OUT_BYTES_MAX
    }

    /// Whether a question of it is there, and may be answered.
    pub(super) fn has_line(&self) -> bool {
        let may = !self.waits && self.follows.is_none() && self.out.len() < OUT_BYTES_MAX;
        may && self.ends > 0
    }

    /// Whether something is to be done for it at once.
    pub(super) fn is_due(&self) -> bool {
        self.has_line() || self.is_ready && self.is_heard()
    }

    /// Whether it has gone, with all that it has asked answered.
    pub(super) fn is_done(&self) -> bool {
        let has_all = !self.waits && !self.has_output() && self.ends == 0;
        self.has_gone || self.has_ended && has_all
    }

    fn has_output(&self) -> bool {
        !self.out.is_empty() || self.socket.wants_write()
    }

    pub(super) fn wanted(&self) -> PollFlags {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, self.is_heard() || self.follows.is_some() && !self.has_ended);
        wanted.set(PollFlags::OUT, self.has_output());
        wanted
    }

    pub(super) fn note_ready(&mut self, flags: PollFlags) {
        self.is_ready |= !flags.is_empty();
        if self.waits && flags.intersects(PollFlags::HUP | PollFlags::ERR) {
            self.has_gone = true;
        }
    }

    /// Sends what waits, and takes a part of what it says.
    ///
    /// # Errors
    ///
    /// Why it is cut off.
    pub(super) fn carry(&mut self) -> Result<(), Cut> {
        if !std::mem::take(&mut self.is_ready) {
            return Ok(());
        }
        self.flush()?;
        if self.follows.is_some() && !self.has_ended {
            return self.drop_said();
        }
        if !self.is_heard() {
            return Ok(());
        }
        let mut part = [0; PART_BYTES];
        match self.socket.receive(&mut part) {
            Ok(Some(count)) => {
                self.line.extend_from_slice(&part[..count]);
                self.ends += part[..count].iter().filter(|byte| **byte == b'\n').count();
                if self.ends > 0 {
                    self.heard = Instant::now();
                }
                self.is_ready = count == part.len();
            }
            Ok(None) => {}
            Err(TransportError::Closed) => self.has_ended = true,
            Err(error) => return Err(Cut::Wrong(error.to_string())),
        }
        if self.line.first() == Some(&TLS_HANDSHAKE) {
            return Err(Cut::Refused(speaks_tls()));
        }
        if self.ends == 0 && self.line.len() > LINE_BYTES_MAX {
            return Err(Cut::Refused(too_long()));
        }
        Ok(())
    }

    /// One that follows says nothing, but that it goes.
    fn drop_said(&mut self) -> Result<(), Cut> {
        match self.socket.receive(&mut [0; PART_BYTES]) {
            Ok(_) => Ok(()),
            Err(TransportError::Closed) => Err(Cut::Gone),
            Err(error) => Err(Cut::Wrong(error.to_string())),
        }
    }

    /// The next question, if one is whole.
    pub(super) fn take_line(&mut self) -> Option<Vec<u8>> {
        if !self.has_line() {
            return None;
        }
        let end = self.line.iter().position(|byte| *byte == b'\n')?;
        self.ends -= 1;
        Some(self.line.drain(..=end).take(end).collect())
    }

    pub(super) fn tell(&mut self, told: &Told) {
        if self.out.is_empty() {
            self.took = Instant::now();
        }
        // Text and numbers always become JSON.
        self.out.extend(serde_json::to_vec(told).unwrap_or_default());
        self.out.push(b'\n');
        self.is_ready = true;
    }

    /// One that does not read misses events, and is told how many.
    pub(super) fn tell_events<'a>(
        &mut self,
        missed: Option<Event>,
        events: impl Iterator<Item = &'a Event>,
        last: u64,
    ) {
        if self.out.len() >= OUT_BYTES_MAX {
            return;
        }
        if let Some(missed) = missed {
            self.tell(&Told::Event(missed));
        }
        for event in events {
            self.tell(&Told::Event(event.clone()));
        }
        self.follows = Some(last);
    }

    /// It is another server, and what follows is a link. What it is told first is sent now.
    pub(super) fn into_link(mut self) -> Result<LinkPort, String> {
        self.flush()?;
        if !self.out.is_empty() || !self.line.is_empty() {
            return Err("a server does not read, or says more before it is answered".into());
        }
        Ok(LinkPort::over(self.socket))
    }

    /// It goes, or has to.
    pub(super) fn say_end(&mut self) {
        self.socket.say_end();
    }

    pub(super) fn flush(&mut self) -> Result<(), String> {
        while self.has_output() {
            match self.socket.send(&self.out) {
                Ok(0) => break,
                Ok(count) => {
                    drop(self.out.drain(..count));
                    self.took = Instant::now();
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
