//! The device: its state, and the data session that goes with it.

use super::saving::Saving;
use super::resuming::Resuming;
use super::{MigrationError, MigrationState, PrecopyInfo};
use crate::dma::DmaWindow;
use crate::host::{Answer, Host, VgpuInfo};
use crate::release::Release;
use crate::save::SaveOptions;
use godwit_types::Gfid;
use godwit_wire::mailbox::{Command, Reject, StopMode};

/// How long a call waits for the card at most, in nanoseconds of the card: longer than all of the
/// firmware's deadlines together.
const PATIENCE_NS: u64 = 30_000_000_000;
/// How long a vGPU may take to stop, in nanoseconds.
const STOP_NS: u64 = 640_000_000;

#[derive(Debug)]
enum Session {
    None,
    Saving(Saving),
    Resuming(Resuming),
}

/// A vGPU that can be migrated.
///
/// Its place on the card is its own: a state that is written to it is restored where it sits.
#[derive(Debug)]
pub struct MigrationDevice {
    gfid: Gfid,
    home: VgpuInfo,
    uuid: [u8; 16],
    state: MigrationState,
    session: Session,
    /// Number of its last transfer.
    token: u64,
}
