//! The host's end of the mailbox.

use godwit_hal::MESSAGE_BYTES_MAX;
use godwit_mmio::{HostView, SharedWords};
use godwit_types::Gfid;
use godwit_wire::mailbox::{Command, Event, Request};
use std::collections::VecDeque;

/// Sends commands and takes events. What finds no room in the ring waits here, in order.
#[derive(Debug)]
pub struct Client {
    view: HostView<SharedWords>,
    next_id: u32,
    /// Which start of the firmware commands are meant for.
    generation: u32,
    waiting: VecDeque<Request>,
    /// Messages so far, both ways.
    messages: u64,
}

impl Client {
    /// A client that has said which version it speaks.
    pub fn new(words: SharedWords) -> Self {
        let mut view = HostView::new(words);
        view.exchange_version(godwit_pump::PROTOCOL_VERSION);
        Self { view, next_id: 0, generation: 0, waiting: VecDeque::new(), messages: 0 }
    }

    /// Sends a command; returns its number.
    pub fn send(&mut self, gfid: Gfid, command: Command) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id;
        let generation = self.generation;
        self.waiting.push_back(Request { id, generation, gfid: gfid.raw(), command });
        self.flush();
        id
    }

    /// The firmware has started: what was sent before is void, and it drops it.
    pub fn restarted(&mut self, generation: u32) {
        self.generation = generation;
        self.waiting.clear();
    }

    /// Sends what waits, as far as there is room.
    ///
    /// # Panics
    ///
    /// When a command does not fit a message, which their types rule out.
    pub fn flush(&mut self) {
        while let Some(request) = self.waiting.front() {
            let mut buffer = [0; MESSAGE_BYTES_MAX];
            let bytes = godwit_wire::encode(request, &mut buffer).expect("a command fits");
            if self.view.send(bytes).is_err() {
                return;
            }
            self.waiting.pop_front();
            self.messages += 1;
        }
    }

    /// The next event. One that cannot be read is a firmware of another version, and is
    /// skipped.
    pub fn poll(&mut self) -> Option<Event> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            let length = self.view.receive(&mut buffer)?;
            self.messages += 1;
            if let Ok(event) = godwit_wire::decode(&buffer[..length]) {
                return Some(event);
            }
        }
    }

    /// How many messages were exchanged so far: while it stands still nothing goes on.
    pub fn message_count(&self) -> u64 {
        self.messages
    }

    /// The rest of the host's view: vectors, times.
    pub fn view(&mut self) -> &mut HostView<SharedWords> {
        &mut self.view
    }
}
