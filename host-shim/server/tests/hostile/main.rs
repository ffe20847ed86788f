//! A hostile client, and a hostile guest, harm themselves: the vGPU beside theirs computes on, to
//! the right bytes, and the server takes no more than what is theirs.
//!
//! The devices are stepped in the tests' own thread, so whatever panics there fails the test.

mod bench;
mod cuts;
mod descriptors;
mod fuzz;
mod lengths;
mod link;
mod messages;
mod neighbour;
mod plan;
mod process;
mod seeds;
mod states;
mod table;
mod turns;
mod windows;
