//! Why a call fails: an error number, and a sentence.

use godwit_shim::vfio::MigrationError;
use godwit_shim::{CardError, FileError, HostError};
use godwit_sim_gpu::{DmaError, DmaLogError};
use rustix::io::Errno;
use std::fmt::Display;
use std::io;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    pub(crate) why: String,
}

impl Failure {
    pub(crate) fn new(errno: Errno, why: impl Display) -> Self {
        Self { errno, why: why.to_string() }
    }

    /// A value that cannot be.
    pub(crate) fn value(why: impl Display) -> Self {
        Self::new(Errno::INVAL, why)
    }

    /// A handle that is none of these.
    pub(crate) fn handle(what: &str) -> Self {
        Self::new(Errno::BADF, format!("there is no such {what}: the handle is wrong, or is gone"))
    }

    /// The library itself has failed.
    pub(crate) fn broken(why: impl Display) -> Self {
        Self::new(Errno::NOTRECOVERABLE, format!("the library has failed: {why}"))
    }
}

impl From<MigrationError> for Failure {
    fn from(error: MigrationError) -> Self {
        let errno = Errno::from_raw_os_error(error.errno());
        Self::new(errno, error)
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        MigrationError::from(error).into()
    }
}

impl From<DmaError> for Failure {
    fn from(error: DmaError) -> Self {
        MigrationError::from(error).into()
    }
}

impl From<DmaLogError> for Failure {
    fn from(error: DmaLogError) -> Self {
        MigrationError::from(error).into()
    }
}

impl From<CardError> for Failure {
    fn from(error: CardError) -> Self {
        match &error {
            CardError::Memory(why) => Self::new(errno_of(why), &error),
            _ => Self::new(Errno::IO, error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(errno_of(&error), error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let errno = match &error {
            FileError::Io { error, .. } => errno_of(error),
            FileError::Head { .. } | FileError::Stream { .. } | FileError::Seal { .. } => {
                Errno::INVAL
            }
            FileError::Spent(_) | FileError::Unmarked(_) => Errno::STALE,
            FileError::Busy(_) | FileError::Replaced(_) => Errno::BUSY,
        };
        Self::new(errno, error)
    }
}

/// The number of an error of the system, or of one that is made here.
fn errno_of(error: &io::Error) -> Errno {
    if let Some(raw) = error.raw_os_error() {
        return Errno::from_raw_os_error(raw);
    }
    match error.kind() {
        io::ErrorKind::AlreadyExists => Errno::EXIST,
        io::ErrorKind::PermissionDenied => Errno::PERM,
        io::ErrorKind::NotFound => Errno::NOENT,
        io::ErrorKind::InvalidInput => Errno::INVAL,
        _ => Errno::IO,
    }
}
