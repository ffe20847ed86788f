//! The C ABI as C programs use it: how it is installed, and the programs in `c/` that the tests
//! compile against what was installed.

#![forbid(unsafe_code)]

mod install;

pub use install::{InstallError, Installed};
