//! Why a command is not done.

use godwit_shim::vfio::MigrationError;
use godwit_sim_gpu::{DmaError, DmaLogError};
use godwit_vfio_proto::WireError;
use rustix::io::Errno;
use std::fmt;

/// What its sender is told, and what is noted of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// A number of Linux.
    pub(crate) errno: i32,
    why: String,
}

impl Refusal {
    /// It cannot be: `EINVAL`.
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self::with(Errno::INVAL, why)
    }

    pub(crate) fn with(errno: Errno, why: impl Into<String>) -> Self {
        Self { errno: errno.raw_os_error(), why: why.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        Self { errno: error.errno(), why: error.to_string() }
    }
}

impl From<MigrationError> for Refusal {
    fn from(error: MigrationError) -> Self {
        Self { errno: error.errno(), why: error.to_string() }
    }
}

impl From<DmaError> for Refusal {
    fn from(error: DmaError) -> Self {
        MigrationError::from(error).into()
    }
}

impl From<DmaLogError> for Refusal {
    fn from(error: DmaLogError) -> Self {
        MigrationError::from(error).into()
    }
}
