//! All of the traits together.

use crate::{
    Apertures, Attention, Channels, CopyRing, Interrupts, Liveness, Mailbox, Partitions, Retained,
    Routes, Runlists, Telemetry, Timer,
};

/// Everything that the loop needs of a device.
pub trait Hardware:
    Interrupts
    + Timer
    + Runlists
    + Telemetry
    + Channels
    + Partitions
    + Apertures
    + Routes
    + CopyRing
    + Mailbox
    + Attention
    + Retained
    + Liveness
{
}

impl<T> Hardware for T where
    T: Interrupts
        + Timer
        + Runlists
        + Telemetry
        + Channels
        + Partitions
        + Apertures
        + Routes
        + CopyRing
        + Mailbox
        + Attention
        + Retained
        + Liveness
{
}
