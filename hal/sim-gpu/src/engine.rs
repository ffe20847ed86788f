//! The compute engine and the guests' copy engine.

mod execute;
mod group;
mod runlist;

pub(crate) use runlist::Engine;
