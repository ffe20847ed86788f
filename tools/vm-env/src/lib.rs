//! What it takes to boot a virtual machine with a vGPU: a QEMU that has vfio-user, the kernel of
//! a guest, a shell for it, and a module that hands the vGPU to a program.
//!
//! All of it is from Debian's packages, in a folder below the one of what cargo builds. The folder
//! is named by a hash of how it is made, so that another recipe makes another one, and it gets its
//! name when it is whole. Making it takes root and the network, two minutes and 1 GB, of which
//! 270 MB stay; using it takes neither. The mirror is the one that this machine's own apt uses.
//!
//! ```text
//! TARGET/vm/HASH/root     a small Debian: QEMU and its libraries, run by the folder's own loader
//! TARGET/vm/HASH/guest    vmlinuz, busybox, uio.ko, godwit_uio.ko
//! ```
//!
//! [`VmEnv::make`] makes it where it is missing, [`VmEnv::find`] is for those who only use it.

#![forbid(unsafe_code)]

mod apt;
mod build;
mod env;
mod error;
mod qemu;
mod recipe;
mod steps;

pub use env::VmEnv;
pub use error::EnvError;
