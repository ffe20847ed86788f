//! The ring of the firmware's log: words beside it that say how far it is written.
//!
//! The bytes count up from the first start of the firmware, modulo 2^32, and byte `n` lies at
//! `n` modulo [`LOG_BYTES`]. The firmware writes both words and waits for nobody: it goes over
//! the oldest bytes, and each reader keeps its own place. A frame ends with a byte of zero.

use crate::window::{LOG_BYTES, LOG_CONTROL_AT};
use static_assertions::const_assert;

/// The word at [`MAGIC_AT`] of a log that is there.
pub const MAGIC: u32 = u32::from_le_bytes(*b"GWLG");

/// Where in the window [`MAGIC`] is.
pub const MAGIC_AT: usize = LOG_CONTROL_AT;
/// How far the ring may be written just now. It runs ahead of the bytes, so that a reader who
/// looks at it after its bytes knows which of them were gone over meanwhile.
pub const CLAIMED_AT: usize = LOG_CONTROL_AT + 4;
/// How far the ring is written: the end of the last whole frame.
pub const WRITTEN_AT: usize = LOG_CONTROL_AT + 8;

/// Bytes that are claimed at a time.
pub const CLAIM_BYTES: u32 = 256;

// Places go on over the wrap of the count.
const_assert!(LOG_BYTES.is_power_of_two());
const_assert!(CLAIM_BYTES.is_power_of_two() && (CLAIM_BYTES as usize) < LOG_BYTES / 4);
