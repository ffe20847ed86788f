//! What the suite must do from the other side.

use godwit_hal::{Hardware, MESSAGE_BYTES_MAX};
use godwit_types::{Gfid, RingConfig, RunlistId, SlotId, Switch, Vector};

/// What an access through a vGPU's aperture met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The partition.
    Passed,
    /// The host, which serves it.
    Trapped,
    /// Nothing.
    Refused,
}

/// An entry of a channel's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Writes `value` to the u32 at `at`. Every engine can.
    Mark {
        /// Address in the partition, a multiple of 4.
        at: u64,
        /// The value.
        value: u32,
    },
    /// `count` thread blocks of the compute engine, one after the other. Each works for at
    /// least 50 µs and for no more than a millisecond, and ends with a write of something
    /// other than 0 to the u64 at `at + 8 * n`, `n` being its number.
    Blocks {
        /// Address in the partition, a multiple of 8.
        at: u64,
        /// How many.
        count: u32,
    },
    /// A thread block of the compute engine that never ends.
    Endless,
    /// What makes the channel fault.
    Faulty,
    /// Writes `value` to the u32 at `at` of the aperture of the vGPU's peer ([`Bench::connect`]).
    PeerMark {
        /// Address in the peer's aperture, a multiple of 4.
        at: u64,
        /// The value.
        value: u32,
    },
    /// A copy to the peer's aperture, 1 byte in no less than 10 ps (copy engine).
    PeerCopy {
        /// First byte in the partition.
        from: u64,
        /// First byte in the peer's aperture.
        at: u64,
        /// How many.
        byte_count: u64,
    },
    /// Raises a vector to the guest.
    Notify(Vector),
}

/// What the host finds next in the ring of switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchRead {
    /// A switch.
    Switch(Switch),
    /// So many switches were overwritten before the host came to them.
    Overrun(u32),
}

/// Something that goes wrong once, at its next opportunity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The next answer to a preempt request is given twice.
    PreemptAnsweredTwice(RunlistId),
    /// The next answer to a preempt request comes this much later than the engine is empty.
    PreemptAnsweredLate(RunlistId, u64),
    /// The next bind of an aperture takes this much longer.
    ApertureStuckNs(u64),
    /// The next operation of the copy ring fails.
    CopyError,
    /// The engine ignores preempt requests until it is reset.
    EngineHang(RunlistId),
}

/// The other side of the hardware: the device's time, its guests and its host.
///
/// The suite uses what lies below [`crate::hal::SCRATCH_AT`] in each partition; above it is
/// room for what the bench's own work needs, such as programs.
pub trait Bench {
    /// The implementation under test.
    type Hardware: Hardware;

    /// Makes everything as it is after power-on: the device, its memory, the host's end of the
    /// mailbox, retained memory, and a new driver.
    fn power_on(&mut self);

    /// Ends the driver and makes another over the same device, as a reset of the
    /// microcontroller does. Retained memory stays.
    fn restart(&mut self);

    /// The driver.
    fn hardware(&mut self) -> &mut Self::Hardware;

    /// Lets the device go on for so long.
    fn pass(&mut self, ns: u64);

    /// Writes a vGPU's partition as its CPU does; `false` when there is none.
    fn write(&mut self, gfid: Gfid, at: u64, bytes: &[u8]) -> bool;

    /// Reads a vGPU's partition; `false` when there is none.
    fn read(&mut self, gfid: Gfid, at: u64, into: &mut [u8]) -> bool;

    /// Writes through the device's BAR, at an address of it.
    fn bar_write(&mut self, at: u64, bytes: &[u8]) -> Access;

    /// Reads through the device's BAR.
    fn bar_read(&mut self, at: u64, into: &mut [u8]) -> Access;

    /// Puts work behind what is in the ring of a guest's channel, and moves GP_PUT.
    fn push(&mut self, gfid: Gfid, ring: RingConfig, work: Work);

    /// Lets a vGPU's work reach all of the aperture of another, its peer; `false` when the bench
    /// cannot.
    fn connect(&mut self, gfid: Gfid, peer: Gfid) -> bool {
        let _ = (gfid, peer);
        false
    }

    /// Rings a doorbell as a guest does, urgently when the token says so; `false` when it names
    /// none of the guest's channels.
    fn ring(&mut self, gfid: Gfid, token: u32) -> bool;

    /// The guest's clock.
    fn guest_time_ns(&mut self, gfid: Gfid) -> u64;

    /// Takes a guest's pending vectors, as the host does to signal them; none while its route
    /// is closed.
    fn take_vectors(&mut self, gfid: Gfid) -> u32;

    /// Writes a staging slot, as the host does. `at` counts from the slot's first byte; the
    /// table of runs lies behind the data.
    fn slot_write(&mut self, slot: SlotId, at: u32, bytes: &[u8]);

    /// Reads a staging slot.
    fn slot_read(&mut self, slot: SlotId, at: u32, into: &mut [u8]);

    /// Says the host's protocol version; returns the firmware's, 0 while it has not said.
    fn host_version(&mut self, version: u32) -> u32;

    /// Sends a command; `false` when the ring is full.
    fn send(&mut self, message: &[u8]) -> bool;

    /// Sends a command of which the host claims a length that is no message's; `false` when
    /// the bench cannot.
    fn send_claiming(&mut self, length: u32) -> bool {
        let _ = length;
        false
    }

    /// Takes the next event.
    fn receive(&mut self, into: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<usize>;

    /// What the host finds next in the ring of switches, from power-on on.
    fn next_switch(&mut self) -> Option<SwitchRead>;

    /// Whether the attention line is high.
    fn attention(&mut self) -> bool;

    /// What the host sees of the firmware's signs of life: turns, and times without work.
    fn signs(&mut self) -> (u32, u32);

    /// Lets something go wrong; `false` when the bench cannot.
    fn provoke(&mut self, trouble: Trouble) -> bool {
        let _ = trouble;
        false
    }
}
