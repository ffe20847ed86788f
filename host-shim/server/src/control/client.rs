//! Whoever has connected to the control socket.

use crate::operation::ClientId;
use godwit_control::{Event, EventKind, LINE_BYTES_MAX, Told};
use rustix::event::PollFlags;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// Bytes that a client has not read, from which on it is not heard.
pub(super) const OUT_BYTES_MAX: usize = 1 << 20;
/// Bytes of what it says that are taken at a time.
const PART_BYTES: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    stream: UnixStream,
    line: Vec<u8>,
    /// Ends of lines in it.
    ends: usize,
    out: Vec<u8>,
    pub(super) heard: Instant,
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
    pub(super) fn new(id: ClientId, stream: UnixStream) -> Self {
        Self {
            id,
            stream,
            line: Vec::new(),
            ends: 0,
            out: Vec::new(),
            heard: Instant::now(),
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

    /// Whether it has gone, with all that it has asked answered.
    pub(super) fn is_done(&self) -> bool {
        self.has_gone || self.has_ended && !self.waits && self.out.is_empty() && self.ends == 0
    }

    pub(super) fn wanted(&self) -> PollFlags {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, self.is_heard() || self.follows.is_some() && !self.has_ended);
        wanted.set(PollFlags::OUT, !self.out.is_empty());
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
    pub(super) fn carry(&mut self) -> Result<(), String> {
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
        match self.stream.read(&mut part) {
            Ok(0) => self.has_ended = true,
            Ok(count) => {
                self.line.extend_from_slice(&part[..count]);
                self.ends += part[..count].iter().filter(|byte| **byte == b'\n').count();
                self.heard = Instant::now();
                self.is_ready = count == part.len();
            }
            Err(error) if is_temporary(&error) => {}
            Err(error) => return Err(error.to_string()),
        }
        if self.ends == 0 && self.line.len() > LINE_BYTES_MAX {
            return Err(format!("a line has more than {LINE_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// One that follows says nothing, but that it goes.
    fn drop_said(&mut self) -> Result<(), String> {
        match self.stream.read(&mut [0; PART_BYTES]) {
            Ok(0) => Err("it has gone".into()),
            Ok(_) => Ok(()),
            Err(error) if is_temporary(&error) => Ok(()),
            Err(error) => Err(error.to_string()),
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
        // Text and numbers always become JSON.
        self.out.extend(serde_json::to_vec(told).unwrap_or_default());
        self.out.push(b'\n');
        self.is_ready = true;
    }

    /// One that does not read misses events, and is told how many.
    pub(super) fn tell_events<'a>(
        &mut self,
        missed: u64,
        events: impl Iterator<Item = &'a Event>,
        last: u64,
    ) {
        if self.out.len() >= OUT_BYTES_MAX {
            return;
        }
        if missed > 0 {
            self.tell(&Told::Event(Event {
                number: last,
                at_ms: 0,
                kind: EventKind::Missed,
                vgpu: None,
                host: None,
                text: format!("{missed} events were not kept"),
            }));
        }
        for event in events {
            self.tell(&Told::Event(event.clone()));
        }
        self.follows = Some(last);
    }

    pub(super) fn flush(&mut self) -> Result<(), String> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}

fn is_temporary(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
