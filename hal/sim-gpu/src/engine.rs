//! The compute engine and the guests' copy engine.

mod execute;
mod group;
mod release;
mod runlist;

pub(crate) use runlist::Engine;
