//! The host's side: a card and its firmware, the mailbox client, the state stream, moves
//! between hosts, and state files.
//!
//! ```text
//!              Source ── link ── Destination        a move: offer … commit … done
//!                │                    │
//!   file ◀──── Saver                Restorer ◀──── file
//!                │    state stream    │
//!                ▼                    ▼
//!               Host ── mailbox ── firmware         commands, events, staging slots
//! ```
//!
//! Nothing here waits: savers, restorers, sources and destinations are stepped, and say how
//! far they are.

#![forbid(unsafe_code)]

mod bars;
mod card;
mod chunks;
mod client;
mod destination;
mod file;
mod function;
mod host;
mod image;
mod journal;
mod link;
mod listener;
mod loss;
mod mcu;
mod native;
mod outgoing;
mod place;
mod release;
mod remote;
mod restore;
mod save;
mod share;
mod slots;
mod source;
mod stepped;
pub mod stream;
mod suspend;
mod symbols;
mod tally;
mod update;

pub use card::{Card, CardError};
pub use client::Client;
pub use destination::{Destination, DestinationState};
pub use file::{FileError, PlaceError, StateFile, read_state, state_reader};
pub use function::Function;
pub use godwit_mmio::SwitchRead;
pub use host::{Host, HostError, Pending, VgpuInfo};
pub use image::{IMAGE_BYTES_MAX, ImageError, check_image};
pub use journal::Journal;
pub use link::{LinkMessage, Token};
pub use loss::{Loss, LossCause};
pub use mcu::{CallLengths, Mcu, Mishap, MishapAt, QemuBoard, QemuMcu};
pub use restore::{RestoreError, RestoreState, Restorer, Wanted};
pub use save::{Live, SaveError, SavePlan, SaveState, SaveStats, Saver};
pub use share::AbuseReport;
pub use source::{Source, SourceState};
pub use stepped::SteppedCall;
pub use suspend::{Resume, ResumeState, Suspend, SuspendState};
pub use symbols::{Symbols, SymbolsError, is_flash_file, slot_headers};
