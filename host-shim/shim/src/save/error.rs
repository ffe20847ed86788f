//! Why a save ends without a state.

use godwit_sim_gpu::StagingError;
use godwit_wire::mailbox::{Failure, Reject};

/// Why a save ended without a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The vGPU could not be stopped at the boundary in time; it runs on.
    #[error("refused: the boundary was not reached in time")]
    Deadline,
    /// The firmware refused a step.
    #[error("refused by the firmware: {0:?}")]
    Refused(Reject),
    /// The copy engine failed.
    #[error("failed: {0:?}")]
    Failed(Failure),
    /// Bytes in a slot do not have the CRC that the copy engine computed.
    #[error("failed: bytes in a staging slot do not have their CRC")]
    BadCrc,
    /// A slot's table of runs makes no sense.
    #[error("failed: a staging slot is malformed")]
    BadSlot,
    /// The firmware was restarted in the middle.
    #[error("failed: the firmware was restarted")]
    Restarted,
    /// What was left never fitted into the time that it may stand still.
    #[error(
        "given up: it could not be moved with {} ms of downtime; it runs on at full speed",
        *max_ns as f64 / 1e6
    )]
    Downtime {
        /// The bound, in nanoseconds.
        max_ns: u64,
    },
    /// The caller gave up.
    #[error("given up")]
    GivenUp,
    /// The vGPU stands still, and the firmware refuses to let it run again.
    #[error("failed, and the vGPU cannot be started again: {0:?}")]
    NotStarted(Reject),
}

impl From<StagingError> for SaveError {
    fn from(_: StagingError) -> Self {
        Self::BadSlot
    }
}
