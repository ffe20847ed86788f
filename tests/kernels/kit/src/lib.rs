//! What a kernel for the simulated GPU is made of.
//!
//! A kernel is a static RV64IMAC program. The GPU starts one thread of it for
//! each index of a grid; the grid is cut into blocks, whose threads share a
//! piece of memory and can wait for each other.
//!
//! ```no_run
//! use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use godwit_kit::{Thread, kernel};
//!
//! kernel!(double);
//!
//! fn double(cx: &Thread, [values, len]: [u64; 2]) {
//!     // SAFETY: the launch names `len` words at `values`, data and nothing else.
//!     let values: &[AtomicU32] = unsafe { cx.framebuffer(values, len as usize) };
//!     for value in values.iter().skip(cx.index()).step_by(cx.count()) {
//!         value.store(value.load(Relaxed).wrapping_mul(2), Relaxed);
//!     }
//! }
//! ```
//!
//! Three files beside this crate's sources complete it: `kernel.ld` links a
//! kernel, `start.S` starts its threads, and `godwit_kernel.h` is the same
//! interface for C. `template/` holds a kernel in each language to copy.
//!
//! A build script passes the linker script on:
//!
//! ```no_run
//! let script = std::env::var("DEP_GODWIT_KIT_LINKER_SCRIPT").unwrap();
//! println!("cargo::rustc-link-arg-bins=-T{script}");
//! // For a base other than 1 MiB:
//! println!("cargo::rustc-link-arg-bins=--defsym=gw_kernel_base=0x200000");
//! ```
//!
//! # Memory
//!
//! All memory that threads share is seen as slices of atomic words, so two
//! threads that touch the same word race, at worst, for its value: a plain load
//! or store costs one instruction, as it would without atomics. `static`s are
//! shared by all threads; what a thread has for itself is on its stack. The end
//! of a stack is not guarded, and there is no heap.
//!
//! # Failure
//!
//! A panic executes an illegal instruction: the channel faults, and whoever
//! watches it sees that the kernel did not just end.

#![no_std]

mod arch;
mod cell;
mod entry;
mod thread;

pub use cell::Cell;
#[doc(hidden)]
pub use entry::enter;
pub use thread::Thread;
