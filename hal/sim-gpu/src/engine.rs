//! The compute engine and the guests' copy engine.

mod execute;
mod group;
mod release;
mod runlist;
#[cfg(test)]
mod tests;

pub(crate) use runlist::Engine;
