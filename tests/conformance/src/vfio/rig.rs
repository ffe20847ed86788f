//! What the checks share: ways, data, and waiting with a bound.

use super::bench::{Bench, Side, Work};
use super::device::{Device, errno, state};
use super::verdict::{Verdict, differ, done, fails, holds, needs, refused, same};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// How much time passes between two looks of a guest at its device.
pub const STEP_NS: u64 = 20_000;

/// How long it is looked whether something stands still.
pub const LOOK_NS: u64 = 200_000;

/// How long anything may take.
pub const PATIENCE_NS: u64 = 100_000_000;

/// Bytes of one read or write.
const CHUNK_BYTES: usize = 64 * 1024;
/// No state is longer.
const STATE_BYTES_MAX: usize = 64 << 20;
/// Nor are there more bytes before there are none for now, while a guest goes on writing.
const ROUND_BYTES_MAX: usize = 32 << 20;

/// A bench with its devices.
#[derive(Debug)]
pub(super) struct Rig<'b, B> {
    pub(super) bench: &'b mut B,
}

/// What must not change of a device that stands still.
#[derive(Clone, PartialEq, Eq)]
struct Still {
    memory: Vec<u8>,
    guest_memory: Vec<u8>,
    interrupts: u64,
}

impl<'b, B: Bench> Rig<'b, B> {
    pub(super) fn new(bench: &'b mut B) -> Self {
        Self { bench }
    }

    /// Begins anew, within a check.
    pub(super) fn power_on(&mut self) {
        self.bench.power_on();
    }

    pub(super) fn device(&mut self, side: Side) -> &mut B::Device {
        self.bench.device(side)
    }

    pub(super) fn state(&mut self, side: Side) -> u32 {
        self.device(side).state()
    }

    /// Starts work, which every bench can.
    pub(super) fn start(&mut self, side: Side, work: Work) -> Verdict {
        holds(format!("{work:?} begins"), self.bench.start(side, work))
    }

    /// Has the guest's processor write to its device's memory.
    pub(super) fn write_memory(&mut self, side: Side, at: u64, bytes: &[u8]) -> Verdict {
        let written = self.bench.write_memory(side, at, bytes);
        holds("the guest reaches its device's memory", written)
    }

    /// Starts work that reaches the peer, if there is any.
    pub(super) fn start_peer(&mut self) -> Verdict {
        needs(self.bench.start(Side::First, Work::Peer), "the devices are no peers")?;
        self.goes_on(Side::First, Work::Peer)
    }

    /// Lets time pass for devices, and for the guests of those that run.
    pub(super) fn run(&mut self, ns: u64) {
        let mut left = ns;
        while left > 0 {
            let step = left.min(STEP_NS);
            self.bench.pass(step);
            left -= step;
            for side in Side::BOTH {
                if state::runs(self.state(side)) {
                    self.bench.attend(side);
                }
            }
        }
    }

    /// The work goes on.
    pub(super) fn goes_on(&mut self, side: Side, work: Work) -> Verdict {
        let before = self.bench.progress(side, work);
        for _ in 0..PATIENCE_NS / STEP_NS {
            self.run(STEP_NS);
            if self.bench.progress(side, work) != before {
                return Ok(());
            }
        }
        let at = state::name(self.state(side));
        Err(differ(format!("{work:?} in {at}"), "it stands still", "it goes on"))
    }

    fn still(&mut self, side: Side) -> Still {
        Still {
            memory: self.bench.memory(side),
            guest_memory: self.bench.guest_memory(side),
            interrupts: self.bench.interrupts(side),
        }
    }

    /// Nothing of a device changes, nor does anything that it can reach, whatever its guest pokes
    /// at.
    pub(super) fn stands_still(&mut self, side: Side) -> Verdict {
        let before = self.still(side);
        let peer = self.bench.progress(side, Work::Peer);
        self.bench.pass(LOOK_NS / 2);
        self.bench.ring(side);
        self.bench.pass(LOOK_NS / 2);
        let at = state::name(self.state(side));
        let after = self.still(side);
        holds(format!("its memory stays as it is in {at}"), after.memory == before.memory)?;
        let guest = after.guest_memory == before.guest_memory;
        holds(format!("its guest's memory stays as it is in {at}"), guest)?;
        let peer_after = self.bench.progress(side, Work::Peer);
        holds(format!("its peer's memory stays as it is in {at}"), peer_after == peer)?;
        same(format!("interrupts in {at}"), after.interrupts, before.interrupts)
    }

    /// A transition, which must succeed, and must be over when the call returns.
    pub(super) fn go(&mut self, side: Side, to: u32) -> Verdict {
        let from = self.state(side);
        let way = format!("{} to {}", state::name(from), state::name(to));
        done(way.clone(), self.device(side).set_state(to))?;
        same(format!("the state after {way}"), state::name(self.state(side)), state::name(to))
    }

    /// Several of them.
    pub(super) fn go_by(&mut self, side: Side, ways: &[u32]) -> Verdict {
        ways.iter().try_for_each(|to| self.go(side, *to))
    }

    /// The device is in this state, and does what that means: [`Work::Writer`] goes on or stands
    /// still, and calls of its sessions are answered or refused. Reads some bytes.
    pub(super) fn is_in(&mut self, side: Side, at: u32) -> Verdict {
        let name = state::name(at);
        same("the state", state::name(self.state(side)), name)?;
        if state::runs(at) {
            self.goes_on(side, Work::Writer)?;
        } else {
            self.stands_still(side)?;
        }
        let (device, saves) = (self.device(side), state::saves(at));
        let info = device.precopy_info();
        if saves && at != state::STOP_COPY {
            done(format!("precopy info in {name}"), info)?;
        } else {
            refused(format!("precopy info in {name}"), info, errno::EINVAL)?;
        }
        let read = device.read(&mut [0; 16]);
        if saves && read != Err(errno::ENOMSG) {
            done(format!("a read in {name}"), read)?;
        } else if !saves {
            refused(format!("a read in {name}"), read, errno::EINVAL)?;
        }
        if at == state::RESUMING {
            return same(format!("a write in {name}"), device.write(&[]), Ok(0));
        }
        refused(format!("a write in {name}"), device.write(&[1]), errno::EINVAL)
    }

    /// Reads up to so many bytes, in parts of `chunk`. Ends with the end for now or for good.
    pub(super) fn read(&mut self, side: Side, chunk: usize, bytes_max: usize) -> Verdict<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; chunk]);
        let stopped = self.state(side) == state::STOP_COPY;
        while all.len() < bytes_max {
            let room = chunk.min(bytes_max - all.len());
            match self.device(side).read(&mut buffer[..room]) {
                Ok(0) if stopped => break,
                Ok(0) => return Err(differ("a read while it runs", "0 bytes", "ENOMSG")),
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(errno::ENOMSG) if !stopped => break,
                found => {
                    done(format!("a read in {}", state::name(self.state(side))), found)?;
                }
            }
        }
        Ok(all)
    }

    /// Reads to the end for now, or for good.
    pub(super) fn read_out(&mut self, side: Side) -> Verdict<Vec<u8>> {
        let stopped = self.state(side) == state::STOP_COPY;
        let bytes_max = if stopped { STATE_BYTES_MAX } else { ROUND_BYTES_MAX };
        let bytes = self.read(side, CHUNK_BYTES, bytes_max)?;
        holds("its state has an end", !stopped || bytes.len() < bytes_max)?;
        Ok(bytes)
    }

    /// Goes through states, and reads all that there is in each that has a session, while guests go
    /// on: a whole state, if the last of them is STOP_COPY.
    pub(super) fn save(&mut self, side: Side, ways: &[u32]) -> Verdict<Vec<u8>> {
        let mut all = Vec::new();
        for to in ways {
            self.go(side, *to)?;
            if state::saves(*to) {
                all.extend(self.read_out(side)?);
            }
            if state::runs(*to) {
                self.run(STEP_NS);
            }
        }
        Ok(all)
    }

    /// Writes bytes in parts of this many.
    pub(super) fn write(&mut self, side: Side, bytes: &[u8], chunk: usize) -> Result<(), i32> {
        let device = self.device(side);
        for part in bytes.chunks(chunk) {
            let mut left = part;
            while !left.is_empty() {
                match device.write(left)? {
                    0 => return Err(errno::EINVAL), // a device takes something, or says why not
                    count => left = left.get(count..).unwrap_or_default(),
                }
            }
        }
        Ok(())
    }

    /// Puts a whole state into a device, which stands still then.
    pub(super) fn load(&mut self, side: Side, bytes: &[u8]) -> Verdict {
        self.load_in(side, bytes, CHUNK_BYTES)
    }

    /// The same, with parts of this many bytes.
    pub(super) fn load_in(&mut self, side: Side, bytes: &[u8], chunk: usize) -> Verdict {
        self.go(side, state::RESUMING)?;
        done("a write in RESUMING", self.write(side, bytes, chunk))?;
        self.go(side, state::STOP)
    }

    /// What is no state is not taken. Only a reset leads on then, and the device is as new.
    pub(super) fn is_not_taken(&mut self, side: Side, what: &str, bytes: &[u8]) -> Verdict {
        self.go(side, state::RESUMING)?;
        let written = self.write(side, bytes, CHUNK_BYTES);
        let result = written.and_then(|()| self.device(side).set_state(state::STOP));
        fails(what, result)?;
        let at = self.state(side);
        let waits = at == state::ERROR || at == state::RESUMING;
        holds(format!("{what}: the state is ERROR, or RESUMING still"), waits)?;
        for to in state::ASKED.into_iter().filter(|to| *to != at) {
            let result = self.device(side).set_state(to);
            fails(format!("{what}: a transition to {}", state::name(to)), result)?;
        }
        self.reset(side)
    }

    /// Resets a device: it runs, as new.
    pub(super) fn reset(&mut self, side: Side) -> Verdict {
        let from = state::name(self.state(side));
        done(format!("a reset in {from}"), self.device(side).reset())?;
        self.bench.reboot(side);
        let at = state::name(self.state(side));
        same(format!("the state after a reset in {from}"), at, state::name(state::RUNNING))?;
        let memory = self.bench.memory(side);
        let zero = !memory.is_empty() && memory.iter().all(|byte| *byte == 0);
        holds(format!("its memory is zero after a reset in {from}"), zero)
    }

    /// Both devices have the same in their memories.
    pub(super) fn same_memory(&mut self) -> Verdict {
        let [first, second] = Side::BOTH.map(|side| self.bench.memory(side));
        let place = first.iter().zip(&second).position(|(first, second)| first != second);
        let found = place.map_or_else(String::new, |at| format!("at {at:#x}"));
        same("where the second device's memory differs", found, String::new())
    }

    /// The state of the first device goes to the second, with its guest, and is right there: work
    /// that was going on goes on.
    pub(super) fn move_on(&mut self, bytes: &[u8], work: Work) -> Verdict {
        self.load(Side::Second, bytes)?;
        self.same_memory()?;
        self.bench.hand_over(Side::Second);
        self.go(Side::Second, state::RUNNING)?;
        self.goes_on(Side::Second, work)
    }

    /// A small piece of work is done, with its interrupt.
    pub(super) fn works(&mut self, side: Side) -> Verdict {
        let before = self.bench.interrupts(side);
        self.start(side, Work::Short)?;
        self.goes_on(side, Work::Short)?;
        self.run(STEP_NS);
        same("interrupts of a piece of work", self.bench.interrupts(side) - before, 1)
    }
}
