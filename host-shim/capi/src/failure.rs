//! Why a call fails: an error number, and a sentence.

use godwit_shim::stream::{SealError, StreamError};
use godwit_shim::vfio::MigrationError;
use godwit_shim::{
    CardError, FileError, HeadError, HostError, Loss, LossCause, RestoreError, ResumeError,
    SaveError, SuspendError, WindowError,
};
use godwit_sim_gpu::{DmaError, DmaLogError};
use godwit_sys::WindowFileError;
use godwit_wire::mailbox::Reject;
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
        let errno = match &error {
            CardError::Memory(why) => errno_of(why),
            CardError::Window(why) => of_window(why),
            CardError::Version { .. } => Errno::PROTONOSUPPORT,
            CardError::Firmware(loss) => of_loss(loss),
            CardError::NeverStarted => Errno::TIMEDOUT,
            _ => Errno::IO,
        };
        Self::new(errno, error)
    }
}

fn of_window(error: &WindowError) -> Errno {
    match error {
        WindowError::File { error, .. } => match error {
            WindowFileError::Io(error) => errno_of(error),
            WindowFileError::NotPlain | WindowFileError::Unaligned { .. } => Errno::INVAL,
            WindowFileError::Short { .. } => Errno::RANGE,
            WindowFileError::Claimed => Errno::BUSY,
        },
        WindowError::Line { error, .. } => errno_of(error),
        WindowError::NotWindow { .. } => Errno::NODEV,
        WindowError::Version { .. } => Errno::PROTONOSUPPORT,
        WindowError::Used { .. } => Errno::BUSY,
    }
}

/// Of firmware that has not come up.
fn of_loss(loss: &Loss) -> Errno {
    match loss.cause {
        LossCause::Silent => Errno::TIMEDOUT,
        _ => Errno::IO,
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(errno_of(&error), error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let errno = of_file(&error);
        Self::new(errno, error)
    }
}

fn of_file(error: &FileError) -> Errno {
    match error {
        FileError::Io { error, .. } => errno_of(error),
        FileError::Head { error, .. } => match error {
            HeadError::NotState => Errno::INVAL,
            HeadError::Damaged => Errno::BADMSG,
            HeadError::Newer(_) => Errno::PROTONOSUPPORT,
        },
        FileError::Stream { error, .. } => of_stream(error),
        FileError::Seal { error, .. } => match error {
            SealError::NotSealed | SealError::OtherKey => Errno::KEYREJECTED,
            SealError::Newer { .. } => Errno::PROTONOSUPPORT,
            SealError::BadPrologue
            | SealError::BadLength { .. }
            | SealError::NotAuthentic { .. }
            | SealError::NotRecord { .. }
            | SealError::Truncated { .. }
            | SealError::AfterEnd => Errno::BADMSG,
        },
        FileError::Spent(_) | FileError::Unmarked(_) => Errno::STALE,
        FileError::Busy(_) | FileError::Replaced(_) => Errno::BUSY,
    }
}

fn of_stream(error: &StreamError) -> Errno {
    match error {
        StreamError::Sealed => Errno::NOKEY,
        StreamError::Newer { .. }
        | StreamError::Unfrozen { .. }
        | StreamError::UnknownKind { .. } => Errno::PROTONOSUPPORT,
        StreamError::Truncated { .. }
        | StreamError::BadHeader { .. }
        | StreamError::BadCrc { .. }
        | StreamError::BadBody { .. }
        | StreamError::OutOfOrder { .. }
        | StreamError::BadTrailer
        | StreamError::AfterEnd => Errno::BADMSG,
    }
}

/// Why a resume has failed. `MigrationError` has another table, the kernel's, where whatever is in
/// a state is EINVAL.
pub(crate) fn of_resume(error: &ResumeError) -> Errno {
    match error {
        ResumeError::File(error) => of_file(error),
        ResumeError::Mark(error) => errno_of(error),
        ResumeError::Start(why) => of_reject(*why),
        ResumeError::Restore(error) => match error {
            RestoreError::Stream(error) => of_stream(error),
            // What no vGPU of ours is, or firmware finds in records that are whole.
            RestoreError::Profile(_)
            | RestoreError::BadRecord
            | RestoreError::Refused(Reject::Record | Reject::Incomplete | Reject::OutOfRange) => {
                Errno::BADMSG
            }
            RestoreError::Layout { .. } => Errno::OPNOTSUPP,
            error => Errno::from_raw_os_error(MigrationError::from(*error).errno()),
        },
    }
}

/// Why a suspend is undone.
pub(crate) fn of_suspend(error: &SuspendError) -> Errno {
    match error {
        SuspendError::File(error) => errno_of(error),
        // It was stopped, and stands still: that is told apart from all else.
        SuspendError::Save(SaveError::NotStarted(_)) => Errno::TIMEDOUT,
        SuspendError::Save(error) => Errno::from_raw_os_error(MigrationError::from(*error).errno()),
    }
}

fn of_reject(why: Reject) -> Errno {
    Errno::from_raw_os_error(MigrationError::from(why).errno())
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
        io::ErrorKind::ResourceBusy => Errno::BUSY,
        io::ErrorKind::Unsupported => Errno::OPNOTSUPP,
        _ => Errno::IO,
    }
}
