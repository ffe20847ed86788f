//! The firmware's log on the host: frames are taken out of the ring in the window, and decoded
//! by the texts in the image's file.
//!
//! ```text
//! firmware ── frames ──▶ ring in the window ──▶ RingReader ──▶ LogReader ──▶ LogLine
//!                        (goes over the oldest)  (own place)    (texts, modules)
//! ```
//!
//! A reader writes nothing, so there may be several, and one that comes after the firmware's
//! end finds the last 64 KiB of it.

#![forbid(unsafe_code)]

mod bounds;
mod elf;
mod line;
mod reader;
mod ring;

pub use line::{Kind, Level, LogLine};
pub use reader::{LogError, LogReader};
pub use ring::{LogMemory, Piece, RingReader, written};
