//! Virtual machines with vGPUs: live migration, and suspend and resume, with an unmodified QEMU.

mod limit;
mod machine;
mod moving;
mod options;
mod outcome;
mod pci;
mod plain;
mod qmp;
mod record;
mod settings;
mod steps;
mod suspend;

pub use machine::Sockets;
pub use moving::{Migrate, migrate};
pub use outcome::{Moved, NotMoved, Whose};
pub use plain::migrate_plainly;
pub use record::migrate_recorded;
pub use steps::{Progress, Step, Watch};
pub use suspend::{Resume, Resumed, Suspend, Suspended, resume, suspend};

pub(crate) use options::{MigrateOptions, ResumeOptions, SuspendOptions};
pub(crate) use record::Record;

use godwit_server::ClientError;
use godwit_shim::JournalError;
use std::path::PathBuf;
use std::time::Duration;

/// Why something with a machine fails.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The machine's QEMU.
    #[error(transparent)]
    Qmp(#[from] QmpFailure),
    /// A vGPU's server cannot be reached.
    #[error("{}: {error}; name the `<vgpu>.mig` of a `godwit serve` that runs", path.display())]
    Server {
        /// Its migration socket.
        path: PathBuf,
        /// Why.
        error: ClientError,
    },
    /// A vGPU's server.
    #[error(transparent)]
    Vgpu(#[from] ClientError),
    /// Something is not as it must be for this.
    #[error("{0}")]
    Unfit(String),
    /// QEMU does not send the machine, or does not take it.
    #[error("QEMU's migration fails{}", because(.0))]
    Migration(String),
    /// The guest would stand still for longer than it may.
    #[error(
        "the guest stands still for {so_far:.0?} already, and may for {most:.0?}: --max-downtime \
         allows for more"
    )]
    Downtime {
        /// How long it may.
        most: Duration,
        /// How long it does.
        so_far: Duration,
    },
    /// Somebody has given it up.
    #[error("it was given up")]
    GivenUp,
    /// It has failed, and so has bringing back what was there.
    #[error("{why}; and the machine stands still: {then}")]
    Still {
        /// Why it has failed.
        why: Box<VmError>,
        /// Why the machine does not run on.
        then: Box<VmError>,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

/// Why a QEMU does not do something, in a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct QmpFailure(String);

impl From<qmp::QmpError> for VmError {
    fn from(error: qmp::QmpError) -> Self {
        Self::Qmp(QmpFailure(error.to_string()))
    }
}

impl From<pci::PciError> for VmError {
    fn from(error: pci::PciError) -> Self {
        match error {
            pci::PciError::Qmp(error) => error.into(),
            pci::PciError::Server(error) => error.into(),
            pci::PciError::Other(why) => Self::Unfit(why),
        }
    }
}
