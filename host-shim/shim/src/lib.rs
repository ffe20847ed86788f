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

mod aside;
mod asked;
mod attached;
mod bars;
mod card;
mod chunks;
mod client;
mod destination;
mod dma;
pub mod evacuate;
mod file;
mod function;
mod host;
mod image;
mod journal;
mod key;
mod link;
mod listener;
mod loss;
mod mcu;
mod native;
mod outgoing;
mod pace;
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
mod transport;
mod update;
pub mod vfio;
mod wait;

pub use asked::{Change, Creation, Removal};
pub use attached::{AttachedMcu, WindowError};
pub use card::{Card, CardError};
pub use client::Client;
pub use destination::{Destination, DestinationState};
pub use dma::PeerChange;
pub use file::{
    CommitError, FileError, FileOptions, HEAD_BYTES, HeadError, Mark, PlaceError, ResumeOptions,
    StateFile, StatePlace, StateReader, read_head, read_state,
};
pub use function::Function;
pub use godwit_mmio::SwitchRead;
pub use host::{Host, HostError, Pending, VgpuInfo};
pub use image::{IMAGE_BYTES_MAX, ImageError, check_image};
pub use journal::{
    Decision, Journal, JournalEntry, JournalError, JournalFile, JournalFileError, JournalStorage,
    MoveStage, Refusal, Side,
};
pub use key::{KEY_BYTES, KeyError, SealKey};
pub use link::{LinkError, LinkFraming, LinkMessage, NoToken, Token};
pub use loss::{Loss, LossCause};
pub use mcu::{CallLengths, Mcu, Mishap, MishapAt, QemuBoard, QemuMcu};
pub use pace::{Downtime, Estimate, Live, Otherwise};
pub use restore::{RestoreError, RestoreState, Restorer, Wanted};
pub use save::{SaveError, SaveOptions, SaveState, SaveStats, Saver};
pub use share::AbuseReport;
pub use source::{Site, Source, SourceError, SourceState};
pub use stepped::SteppedCall;
pub use suspend::{Resume, ResumeError, ResumeState, Suspend, SuspendError, SuspendState};
pub use symbols::{Symbols, SymbolsError, is_flash_file, slot_headers};
pub use transport::{
    LinkAddress, LinkListener, LinkPort, LinkStream, NoAddress, Protection, SILENCE, Socket,
    TlsFiles, TlsKeys, TransportError,
};
