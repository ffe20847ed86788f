//! The way to the host, and memory that outlives a restart.

use embedded_hal::digital::OutputPin;

/// Longest mailbox message in bytes.
pub const MESSAGE_BYTES_MAX: usize = 252;

/// Messages that a mailbox ring holds.
pub const MESSAGES_MAX: u32 = 32;

/// The event ring has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxFull;

/// Messages to and from the host.
pub trait Mailbox {
    /// Tells the host which protocol version the firmware speaks, and returns the host's,
    /// 0 while it has not said.
    fn exchange_version(&mut self, version: u32) -> u32;

    /// Copies the next command into private memory and frees its place, so that the host
    /// cannot change it while it is read. Returns its length; one that is longer than
    /// [`MESSAGE_BYTES_MAX`] is cut, and then fails to decode.
    fn receive(&mut self, into: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<usize>;

    /// How many events the ring takes now.
    fn event_room(&self) -> u32;

    /// Sends an event.
    ///
    /// # Errors
    ///
    /// When there is no room, or the message is longer than [`MESSAGE_BYTES_MAX`].
    fn send(&mut self, message: &[u8]) -> Result<(), MailboxFull>;
}

/// The line that tells the host to look at the event ring.
pub trait Attention {
    /// The board's line.
    type Line: OutputPin;

    /// High: events wait. Low: the host has taken all.
    fn attention(&mut self) -> &mut Self::Line;
}

/// One of the two places of the retained record. They are written in turn, so that a reset
/// in the middle of a write leaves the other whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainedSlot {
    /// The first.
    A,
    /// The second.
    B,
}

/// Bytes of each place.
pub const RETAINED_BYTES: usize = 4096;

/// Memory that keeps its content over a reset of the microcontroller: two places of
/// [`RETAINED_BYTES`]. It is read and written in pieces of whole words, so that nobody has to hold
/// a record at once; a piece that would reach past a place's end is cut there.
pub trait Retained {
    /// Copies bytes from `at`, a multiple of 4, on.
    fn load(&self, slot: RetainedSlot, at: usize, into: &mut [u8]);

    /// Replaces bytes from `at`, a multiple of 4, on. Words are written in their order.
    fn store(&mut self, slot: RetainedSlot, at: usize, bytes: &[u8]);
}

/// Signs of life.
pub trait Liveness {
    /// Counts a turn of the loop; a heartbeat that stands still is a hang.
    fn beat(&mut self);

    /// Says that there is nothing to do until the next interrupt.
    fn idle(&mut self);
}
