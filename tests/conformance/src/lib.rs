//! What every implementation must do, as checks that anyone can run over their own.
//!
//! [`hal`] is for those who implement `godwit_hal::Hardware`; `vfio`, with the feature of that
//! name, for those who have a device that can be migrated, behind whatever front end.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "vfio")]
extern crate std;

pub mod hal;
#[cfg(feature = "vfio")]
pub mod vfio;
