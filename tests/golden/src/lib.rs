//! The bytes of everything that is frozen: each record in each version, whole streams, a sealed
//! one, and state files.
//!
//! They lie in `bytes/`, a file for each, in hexadecimal. What is in them is on other people's
//! disks: a file there never changes, and a new version is a new file beside it. `cargo xtask
//! golden` writes those that are missing.

#![forbid(unsafe_code)]

mod files;
mod samples;

pub use files::{Found, compare, folder, from_hex, read, to_hex, write};
pub use samples::{
    Golden, KEY, SALT, all, channel, context, descriptor, function, pages, payload, stream,
    trailer, vgpu,
};
