//! A launch under way as bytes of a context buffer.
//!
//! Little-endian, in this order: the launch as its ring entry (64 bytes); blocks started,
//! threads in flight, index of the current thread, instructions left of its turn (u32 each);
//! then for each thread `x1` to `x31`, `pc`, its state, and a zero (u64 each). No address in
//! it is other than the kernel's own, so it loads on any device.

use super::hart::Thread;
use super::launch::{LaunchRun, TURN_INSTRUCTIONS, ThreadState};
use godwit_regs::fifo::{Entry, EntryWords};
use godwit_types::{ChannelFault, Profile};

/// Bytes in front of the threads.
const HEADER_BYTES: usize = size_of::<EntryWords>() + 4 * size_of::<u32>();
/// Bytes of one thread.
const THREAD_BYTES: usize = 34 * size_of::<u64>();

const _: () = assert!(THREAD_BYTES == Profile::CONTEXT_THREAD_BYTES as usize);
const _: () = assert!(HEADER_BYTES <= 160); // the engine puts its own state in front

const RUNNING: u64 = 0;
const WAITING: u64 = 1;
const ENDED: u64 = 2;

impl LaunchRun {
    /// The state, to be loaded with [`Self::decode`]: [`Profile::CONTEXT_THREAD_BYTES`] for
    /// each thread in flight, and at most 160 bytes more. A reservation is not part of it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + THREAD_BYTES * self.threads.len());
        let place = [self.started, self.threads.len() as u32, self.current, self.turn_left];
        for word in Entry::Launch(self.launch).encode().iter().chain(&place) {
            bytes.extend(word.to_le_bytes());
        }
        for (thread, state) in self.threads.iter().zip(&self.states) {
            let state = match state {
                ThreadState::Running => RUNNING,
                ThreadState::Waiting => WAITING,
                ThreadState::Ended => ENDED,
            };
            for value in thread.x[1..].iter().chain(&[thread.pc, state, 0]) {
                bytes.extend(value.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads a state back, on an engine that can have `resident_threads` threads in flight.
    ///
    /// # Errors
    ///
    /// [`ChannelFault::BadContext`] unless the bytes are exactly what [`Self::encode`] gives
    /// for a state that a launch can be in.
    pub(crate) fn decode(bytes: &[u8], resident_threads: u32) -> Result<Self, ChannelFault> {
        Self::parse(bytes, resident_threads).ok_or(ChannelFault::BadContext)
    }

    fn parse(bytes: &[u8], resident_threads: u32) -> Option<Self> {
        let mut rest = bytes;
        let mut entry: EntryWords = Default::default();
        for word in &mut entry {
            *word = u32::from_le_bytes(take(&mut rest)?);
        }
        let Some(Entry::Launch(launch)) = Entry::parse(&entry) else {
            return None;
        };
        let mut run = Self::new(&launch, resident_threads).ok()?;
        run.started = u32::from_le_bytes(take(&mut rest)?);
        let thread_count = u32::from_le_bytes(take(&mut rest)?);
        run.current = u32::from_le_bytes(take(&mut rest)?);
        run.turn_left = u32::from_le_bytes(take(&mut rest)?);
        if run.started > launch.grid || rest.len() != thread_count as usize * THREAD_BYTES {
            return None;
        }
        if thread_count == 0 {
            return (run.current == 0 && run.turn_left == 0).then_some(run);
        }
        if thread_count != launch.block
            || run.started == 0
            || !(1..=TURN_INSTRUCTIONS).contains(&run.turn_left)
        {
            return None;
        }
        while !rest.is_empty() {
            run.add_thread(&mut rest)?;
        }
        // The one whose turn it is runs.
        let current = *run.states.get(run.current as usize)?;
        (current == ThreadState::Running).then_some(run)
    }

    fn add_thread(&mut self, rest: &mut &[u8]) -> Option<()> {
        let mut thread = Thread { x: [0; 32], pc: 0 };
        for value in &mut thread.x[1..] {
            *value = u64::from_le_bytes(take(rest)?);
        }
        thread.pc = u64::from_le_bytes(take(rest)?);
        let state = match u64::from_le_bytes(take(rest)?) {
            RUNNING => ThreadState::Running,
            WAITING => ThreadState::Waiting,
            ENDED => ThreadState::Ended,
            _ => return None,
        };
        if u64::from_le_bytes(take(rest)?) != 0 {
            return None;
        }
        self.push_thread(thread, state);
        Some(())
    }
}

/// The next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}
