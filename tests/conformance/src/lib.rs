//! What every implementation must do, as checks that anyone can run over their own.
//!
//! [`hal`] is for those who implement `godwit_hal::Hardware`.

#![no_std]
#![forbid(unsafe_code)]

pub mod hal;
