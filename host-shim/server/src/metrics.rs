//! `/metrics`, for Prometheus: what the control socket tells of hosts and vGPUs, in the text format
//! that every version of it reads (0.0.4), over HTTP.
//!
//! `METRICS.md` beside this crate's manifest has them all.
//!
//! The server's loop answers, so what is told is what was so at one moment, and what the control
//! socket says then. It waits for nobody: a question has a bound in bytes and a client one in time,
//! there are few at once, and who comes when there is no place has that of who was there longest.
//! Who keeps connecting keeps out others who read metrics; that each answer is made in the server's
//! loop is what all others lose by it.

mod exporter;
mod family;
mod http;
mod render;
#[cfg(test)]
mod tests;

pub(crate) use exporter::Exporter;
pub(crate) use render::{ServerCounts, render};
