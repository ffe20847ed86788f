//! Image files, and the flash that a board boots them from.
//!
//! ```text
//!   image file: header ─ payload          flash: boot stage, key │ state A │ state B │ a │ b
//!                 │                                                                    │   │
//!      magic, versions, board,                      the state names the slot ──────────┴─┬─┘
//!      addresses, length, SHA-256,                  that is preferred, and the lowest    ▼
//!      Ed25519 signature over all of it             security version that boots       choose
//! ```
//!
//! The boot stage and the host's tools share this crate, so that a tool refuses exactly what
//! would not boot. A slot holds an image file as it is. Nothing of a file is believed before it
//! is bounded, and nothing of it is used before its signature and its hash are found right.
//!
//! [`Update`] writes in an order in which an interruption at any byte leaves a flash that boots
//! what it booted before, or the whole new image.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod bytes;
mod choose;
mod flash;
mod header;
mod image;
mod key;
mod refusal;
mod root;
mod state;
mod update;
mod version;

pub use choose::{Choice, Slot, choose};
pub use flash::{Decision, Flash};
pub use header::{BoardName, HEADER_BYTES, Header};
pub use image::{Image, Terms, check, check_file, seal};
pub use key::{DEVELOPMENT_KEY, KeyError, PublicKey, SecretKey};
pub use refusal::Refusal;
pub use root::{ROOT_RECORD_BYTES, Root};
pub use state::{STATE_RECORD_BYTES, State};
pub use update::{Medium, Update, UpdateRefusal};
pub use version::Version;
