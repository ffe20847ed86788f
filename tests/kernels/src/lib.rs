//! The kernels that tests and demos run on the simulated GPU.
//!
//! Each is a real program (see `programs/`), compiled when this crate is. A
//! [`Job`] is a kernel with everything a launch of it takes: the arguments, the
//! bytes to put into the framebuffer before, and the bytes to find there after,
//! computed on the host by other code than the kernel's.
//!
//! # Layout of a partition
//!
//! | from | what |
//! |---|---|
//! | [`IMAGE_BASE`] | the kernel's image |
//! | [`LAUNCH_BASE`] | left to the launcher: argument block, shared memory, stacks |
//! | [`DATA_BASE`] | inputs and outputs, each array on a page of its own |

#![forbid(unsafe_code)]

mod elf;
mod histogram;
mod job;
mod layout;
mod matmul;
mod page_writer;
mod sha256_chain;
mod spinner;

pub use elf::{HISTOGRAM, KERNELS, MATMUL, PAGE_WRITER, SHA256_CHAIN, SPINNER, by_name};
pub use job::Job;
pub use layout::{DATA_BASE, IMAGE_BASE, LAUNCH_BASE};
