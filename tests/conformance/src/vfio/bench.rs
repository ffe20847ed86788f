//! What the suite must do from the other side.

use super::{Device, DmaRange};
use std::vec::Vec;

/// One of the two devices, and its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first: whose state is saved, and whose work reaches the other.
    First,
    /// The second.
    Second,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Where the bus has each guest's memory.
pub const GUEST_MEMORY: DmaRange = DmaRange { iova: 1 << 32, byte_count: 2 << 20 };
/// How far into it that part begins that devices only read.
pub const READ_AT: u64 = GUEST_MEMORY.byte_count / 2;

/// What a guest has its device do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Writes to many pages of its own memory all the time, and never ends.
    Writer,
    /// Has a result that is known, and works for 1 to 10 ms. Not together with [`Self::Writer`].
    Job,
    /// Writes to the peer's memory all the time, other bytes each time, and never ends. An access
    /// takes some microseconds at least.
    Peer,
    /// Writes to the guest's memory below [`READ_AT`] all the time, other bytes each time, reads
    /// what is above, and never ends.
    GuestMemory,
    /// Is done in less than 100 µs, and ends with an interrupt. Each start of it is one more.
    Short,
}

/// The other side of the devices: guests, their memory, and time.
pub trait Bench {
    /// A device as the front end under test has it.
    type Device: Device;

    /// Makes everything new: two alike devices that run, each with a guest that has no work.
    fn power_on(&mut self);

    /// A device.
    fn device(&mut self, side: Side) -> &mut Self::Device;

    /// Lets time pass for the devices. Guests do nothing meanwhile.
    fn pass(&mut self, ns: u64);

    /// A guest's processor looks after its device, which runs: it goes on with its work. It takes
    /// no interrupts.
    fn attend(&mut self, side: Side);

    /// A guest begins some work, on a device that runs. No time has passed since its doorbell when
    /// this returns. `false`: it cannot.
    fn start(&mut self, side: Side, work: Work) -> bool;

    /// A number that changes as long as work goes on, and only then, by what it has written:
    /// wherever it is now. That of [`Work::Short`] is how often it was done.
    fn progress(&mut self, side: Side, work: Work) -> u64;

    /// Whether the result of [`Work::Job`] is right; `None`: it is not done.
    fn result(&mut self, side: Side) -> Option<bool>;

    /// A guest writes to the doorbell, without new work; whatever state its device is in.
    fn ring(&mut self, side: Side);

    /// Takes the interrupts of a device; how many there were so far of [`Work::Short`].
    fn interrupts(&mut self, side: Side) -> u64;

    /// What a guest reads of registers that say what its device is.
    fn registers(&mut self, side: Side) -> Vec<u32>;

    /// All of a device's memory, as it is behind the guest's back.
    fn memory(&mut self, side: Side) -> Vec<u8>;

    /// A guest's processor writes to the memory of its device, which runs; below 64 KiB there is
    /// nothing of any work's. `false`: it cannot reach it.
    fn write_memory(&mut self, side: Side, at: u64, bytes: &[u8]) -> bool;

    /// All of a guest's own memory.
    fn guest_memory(&mut self, side: Side) -> Vec<u8>;

    /// The guest of the other device, with its own memory, goes to this one, which does not run: it
    /// finds there what it had. The guest that was here ends.
    fn hand_over(&mut self, to: Side);

    /// A guest takes note that its device was reset: it has no work.
    fn reboot(&mut self, side: Side);

    /// The firmware below a device starts again.
    fn restart_firmware(&mut self, side: Side);

    /// A whole state, of a device that is of another kind; `None`: there is none.
    fn other_state(&mut self) -> Option<Vec<u8>>;
}
