//! One launch under way: its blocks, the threads in flight, and whose turn it is.

use super::Core;
use super::hart::{Executors, Hart, NO_RESERVATION, Stop, Thread};
use crate::partition::Partition;
use ckb_vm::registers::{A0, A1, A2, A3, A4, SP};
use godwit_regs::fifo::{Entry, Launch};
use godwit_types::ChannelFault;

/// Instructions of one turn. Longer than any LR/SC loop that the architecture promises to
/// let through, since the end of a turn breaks the reservation.
pub(super) const TURN_INSTRUCTIONS: u32 = 1024;

/// Where to stop besides the end of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Nowhere.
    Budget,
    /// At the end of the block in flight, or at once if there is none.
    BlockEnd,
    /// At the end of the launch, where every run stops.
    LaunchEnd,
}

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The budget is used up, and there is more to do.
    Budget,
    /// More blocks remain and none is in flight.
    BlockEnd,
    /// The launch is complete.
    Done,
    /// A thread faulted. The launch cannot go on.
    Fault(ChannelFault),
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadState {
    /// It runs when its turn comes.
    Running,
    /// It waits at the barrier.
    Waiting,
    /// It has ended.
    Ended,
}

/// A launch and how far it has come.
///
/// Between calls, either no thread is in flight, or all threads of one block are, and the
/// one whose turn it is runs and has instructions of its turn left.
#[derive(Debug)]
pub(crate) struct LaunchRun {
    pub(super) launch: Launch,
    /// Blocks that have been started.
    pub(super) started: u32,
    /// The threads of the block in flight.
    pub(super) threads: Vec<Thread>,
    /// What each of them does. Apart from the registers, to be looked through quickly.
    pub(super) states: Vec<ThreadState>,
    /// Index of the thread whose turn it is.
    pub(super) current: u32,
    /// Instructions left of its turn.
    pub(super) turn_left: u32,
    /// Threads that run.
    running: u32,
    /// The address on which the current thread holds a reservation. A turn's end breaks it,
    /// so no other thread's can exist.
    reservation: u64,
    /// The core's count when this launch last came onto it.
    seat: Option<u64>,
}

impl LaunchRun {
    /// A launch of which nothing has run, on an engine that can have `resident_threads`
    /// threads in flight.
    pub(crate) fn new(launch: &Launch, resident_threads: u32) -> Result<Self, ChannelFault> {
        // The ring's parser knows what a launch may be.
        let entry = Entry::Launch(*launch);
        if Entry::parse(&entry.encode()) != Some(entry) {
            return Err(ChannelFault::BadEntry);
        }
        if launch.block > resident_threads {
            return Err(ChannelFault::TooLarge);
        }
        Ok(Self {
            launch: *launch,
            started: 0,
            threads: Vec::new(),
            states: Vec::new(),
            current: 0,
            turn_left: 0,
            running: 0,
            reservation: NO_RESERVATION,
            seat: None,
        })
    }

    /// Runs at most `budget` instructions. Returns how many ran and why it stopped. An
    /// instruction that faults has not run.
    pub(crate) fn run(
        &mut self,
        core: &mut Core,
        memory: &mut Partition,
        budget: u64,
        until: Until,
    ) -> (u64, Outcome) {
        self.sit(core);
        let mut hart = Hart::new(memory, &mut core.code);
        let executors = Executors::create();
        let mut left = budget;
        let outcome = loop {
            if let Some(outcome) = self.outcome(left, until) {
                break outcome;
            }
            if self.threads.is_empty() {
                self.start_block();
            }
            let thread = &mut self.threads[self.current as usize];
            let limit = u64::from(self.turn_left).min(left) as u32;
            hart.load(thread, self.reservation);
            let (ran, stop) = hart.run(&executors, limit);
            self.reservation = hart.save(thread);
            left -= u64::from(ran);
            self.turn_left -= ran;
            match stop {
                Stop::Fault(fault) => break Outcome::Fault(fault),
                Stop::Limit if self.turn_left > 0 => {}
                Stop::Limit => self.next_turn(),
                Stop::Ended => self.leave_turn(ThreadState::Ended),
                Stop::Barrier => self.leave_turn(ThreadState::Waiting),
            }
        };
        (budget - left, outcome)
    }

    /// Why a run with `left` instructions of its budget stops here, if it does.
    fn outcome(&self, left: u64, until: Until) -> Option<Outcome> {
        if self.threads.is_empty() {
            if self.started == self.launch.grid {
                return Some(Outcome::Done);
            }
            if until == Until::BlockEnd {
                return Some(Outcome::BlockEnd);
            }
        }
        (left == 0).then_some(Outcome::Budget)
    }

    /// Adds a thread to the block in flight.
    pub(super) fn push_thread(&mut self, thread: Thread, state: ThreadState) {
        self.threads.push(thread);
        self.states.push(state);
        self.running += u32::from(state == ThreadState::Running);
    }

    /// Breaks what a thread has reserved with LR: for a stop at which others may write.
    pub(crate) fn break_reservations(&mut self) {
        self.reservation = NO_RESERVATION;
    }

    /// Decoded code is kept by address only, so it must be that of this launch.
    fn sit(&mut self, core: &mut Core) {
        if self.seat != Some(core.seat) {
            core.invalidate_code();
            core.seat += 1;
            self.seat = Some(core.seat);
        }
    }

    fn start_block(&mut self) {
        let launch = self.launch;
        let first = u64::from(self.started) * u64::from(launch.block);
        self.started += 1;
        for index in 0..u64::from(launch.block) {
            let mut x = [0; 32];
            x[A0] = launch.args;
            x[A1] = first + index;
            x[A2] = u64::from(launch.grid) * u64::from(launch.block);
            x[A3] = u64::from(launch.block);
            x[A4] = launch.shared;
            let stack_end = (index + 1) * u64::from(launch.stack_bytes);
            x[SP] = launch.stacks.wrapping_add(stack_end);
            let pc = launch.entry;
            self.push_thread(Thread { x, pc }, ThreadState::Running);
        }
        self.turn_left = TURN_INSTRUCTIONS;
    }

    fn leave_turn(&mut self, state: ThreadState) {
        self.states[self.current as usize] = state;
        self.running -= 1;
        self.next_turn();
    }

    /// Gives the turn to the next thread that runs, in order of index. When none does, all
    /// have arrived at the barrier and go on, or the block has ended.
    fn next_turn(&mut self) {
        self.break_reservations();
        if self.running == 0 {
            self.open_barrier();
        }
        if self.running == 0 {
            self.end_block();
            return;
        }
        self.turn_left = TURN_INSTRUCTIONS;
        let current = self.current as usize;
        let runs = |state: &ThreadState| *state == ThreadState::Running;
        if self.running == 1 && runs(&self.states[current]) {
            return;
        }
        let (before, after) = self.states.split_at(current + 1);
        self.current = match after.iter().position(runs) {
            Some(index) => (current + 1 + index) as u32,
            None => before.iter().position(runs).unwrap_or(0) as u32,
        };
    }

    fn open_barrier(&mut self) {
        for state in &mut self.states {
            if *state == ThreadState::Waiting {
                *state = ThreadState::Running;
                self.running += 1;
            }
        }
    }

    fn end_block(&mut self) {
        self.threads.clear();
        self.states.clear();
        self.current = 0;
        self.turn_left = 0;
    }
}
