//! A turn of the loop.

use crate::encode;
use crate::held::Held;
use crate::parse;
use crate::perform::perform;
use crate::trace::trace;
use embedded_hal::digital::OutputPin;
use godwit_engine::{Engine, Input, Request};
use godwit_hal::{Hardware, MESSAGE_BYTES_MAX};
use godwit_types::{COPY_RING_ENTRIES, CopyRequest, RunlistId};
use godwit_wire::mailbox;
use heapless::Deque;

/// Inputs that one turn takes; what is left is taken by the next.
const INPUTS_PER_TURN_MAX: usize = 64;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something was done; turn again.
    Busy,
    /// Nothing to do until the next interrupt. The hardware was told.
    Idle,
}

/// The loop's state: the engine, and what waits to be taken or sent.
///
/// The small things come first: see [`Engine`].
#[derive(Debug)]
#[repr(C)]
pub struct Pump {
    /// An input of the device that the engine could not take yet.
    held: Held<Input>,
    /// A command that the engine could not take yet.
    held_command: Held<Request>,
    /// An event that found no room.
    unsent: Held<mailbox::Event>,
    /// Number of the last retained record.
    pub(crate) retained_number: u32,
    /// Names this start: the number of the first record that it retains.
    pub(crate) generation: u32,
    pub(crate) engine: Engine,
    /// Copies that the ring had no room for, since a firmware before this one has left
    /// something in it. The engine never has more under way than this holds.
    held_copies: Deque<CopyRequest, { COPY_RING_ENTRIES as usize }>,
}

impl Pump {
    /// Bytes that a channel takes: see [`Engine::CHANNEL_BYTES`].
    pub const CHANNEL_BYTES: usize = Engine::CHANNEL_BYTES;

    pub(crate) const fn with_engine(engine: Engine) -> Self {
        Self {
            engine,
            held: Held::NOTHING,
            held_command: Held::NOTHING,
            held_copies: Deque::new(),
            unsent: Held::NOTHING,
            retained_number: 0,
            generation: 0,
        }
    }

    /// The engine, to look at.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// One turn: inputs to the engine, actions to the hardware, events to the host.
    pub fn turn<H: Hardware>(&mut self, hal: &mut H) -> Turn {
        hal.beat();
        hal.collect();
        let mut busy = false;
        for _ in 0..INPUTS_PER_TURN_MAX {
            let Some(input) = self.next_input(hal) else {
                break;
            };
            busy = true;
            trace!(trace, "in {}", input);
            if self.engine.handle(&input, hal.now_ns()).is_err() {
                self.held.put(input);
                break;
            }
            self.perform_all(hal);
        }
        if self.rest(hal) || busy {
            return Turn::Busy;
        }
        hal.idle();
        Turn::Idle
    }

    fn next_input<H: Hardware>(&mut self, hal: &mut H) -> Option<Input> {
        if self.held.is_there() { self.held.take() } else { poll_device(hal) }
    }

    /// What can wait until all inputs are taken: the host, and what the engine does by itself.
    /// Returns whether there was any of it.
    #[inline(never)]
    fn rest<H: Hardware>(&mut self, hal: &mut H) -> bool {
        let mut busy = self.drain(hal);
        busy |= self.take_command(hal);
        busy |= self.engine.proceed(hal.now_ns());
        busy | self.drain(hal)
    }

    /// Performs all actions and sends as many events as there is room for. Returns whether
    /// there were any.
    pub(crate) fn drain<H: Hardware>(&mut self, hal: &mut H) -> bool {
        let mut any = false;
        while let Some(request) = self.held_copies.front() {
            if !hal.submit_copy(request) {
                break;
            }
            self.held_copies.pop_front();
            any = true;
        }
        any |= self.perform_all(hal);
        any | self.send(hal)
    }

    /// Performs all actions. Returns whether there were any.
    #[inline(never)]
    fn perform_all<H: Hardware>(&mut self, hal: &mut H) -> bool {
        let mut any = false;
        while let Some(action) = self.engine.poll_action() {
            trace!(debug, "do {}", action);
            // The engine always takes such an answer.
            if let Some(input) = perform(self, hal, action)
                && self.engine.handle(&input, hal.now_ns()).is_err()
            {
                self.held.put(input);
            }
            any = true;
        }
        any
    }

    /// Submits a copy, after those that wait. What it says of memory is true when its answer
    /// has come, so other actions need not wait for it.
    pub(crate) fn submit_copy<H: Hardware>(&mut self, hal: &mut H, request: &CopyRequest) {
        if !self.held_copies.is_empty() || !hal.submit_copy(request) {
            let _ = self.held_copies.push_back(*request);
        }
    }

    #[inline(never)]
    fn send<H: Hardware>(&mut self, hal: &mut H) -> bool {
        let mut any = false;
        while hal.event_room() != 0 {
            if !self.unsent.is_there() {
                let Some(event) = self.engine.poll_event() else { break };
                trace!(debug, "tell {}", event);
                self.unsent.put(encode::event(&event, self.generation));
            }
            let mut buffer = [0; MESSAGE_BYTES_MAX];
            let bytes = self.unsent.get().and_then(|event| event.encode(&mut buffer).ok());
            if bytes.is_none_or(|bytes| hal.send(bytes).is_err()) {
                break;
            }
            self.unsent.clear();
            any = true;
        }
        if any {
            // A line that cannot be driven is polled by the host anyway.
            let _ = hal.attention().set_high();
        } else if hal.event_room() == godwit_hal::MESSAGES_MAX {
            let _ = hal.attention().set_low();
        }
        any
    }

    /// Takes one command, if the engine takes commands now. Returns whether there was one.
    #[inline(never)]
    fn take_command<H: Hardware>(&mut self, hal: &mut H) -> bool {
        let fresh = !self.held_command.is_there();
        if fresh {
            if self.unsent.is_there() {
                return false;
            }
            let mut message = [0; MESSAGE_BYTES_MAX];
            let Some(length) = hal.receive(&mut message) else {
                return false;
            };
            self.parse_command(message.get(..length).unwrap_or_default());
        }
        let Some(request) = self.held_command.get() else {
            return true;
        };
        trace!(debug, "command {}", request);
        if self.engine.request(request, hal.now_ns()).is_err() {
            // Turning again helps only if the engine was not asked before.
            return fresh;
        }
        self.held_command.clear();
        true
    }

    /// A command that makes no sense is answered, and ends nothing.
    fn parse_command(&mut self, bytes: &[u8]) {
        let answer = match mailbox::Request::decode(bytes) {
            // Sent to a firmware before this one, which told of its end by our start.
            Ok(request) if request.generation != self.generation => return,
            Ok(request) => match parse::request(&request) {
                Some(request) => return self.held_command.put(request),
                None => {
                    let why = mailbox::Reject::OutOfRange;
                    mailbox::Event::Refused { id: request.id, why }
                }
            },
            Err(_) => mailbox::Event::Malformed,
        };
        self.unsent.put(answer);
    }
}

/// The next thing that the device says. Runlists come first: an engine that waits for its
/// next group is idle.
fn poll_device<H: Hardware>(hal: &mut H) -> Option<Input> {
    for runlist in [RunlistId::COMPUTE, RunlistId::COPY] {
        if let Some(event) = hal.poll_runlist(runlist) {
            return Some(Input::Runlist(runlist, event));
        }
    }
    if hal.poll_alarm() {
        return Some(Input::Alarm);
    }
    if let Some((channel, fault)) = hal.poll_fault() {
        return Some(Input::Fault(channel, fault));
    }
    if let Some(done) = hal.poll_copy() {
        return Some(Input::Copied(done));
    }
    if let Some(gfid) = hal.poll_partition() {
        return Some(Input::PartitionSet(gfid));
    }
    if let Some(gfid) = hal.poll_aperture() {
        return Some(Input::ApertureSet(gfid));
    }
    if let Some(gfid) = hal.poll_peers() {
        return Some(Input::PeersSet(gfid));
    }
    if let Some(gfid) = hal.poll_hint() {
        return Some(Input::Hint(gfid));
    }
    // Last: guests ring as often as they like.
    hal.poll_doorbell().map(Input::Doorbell)
}
