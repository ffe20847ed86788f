//! Why a device refuses, as error numbers: one table for all front ends.

use crate::restore::RestoreError;
use crate::save::SaveError;
use godwit_sim_gpu::DmaLogError;
use godwit_wire::mailbox::{Failure, Reject};
use rustix::io::Errno;

/// What the caller of a migration call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// There is no such state, no way to it, or the call is not for the state that it is in.
    #[error("not in this state")]
    WrongState,
    /// There is no more data just now.
    #[error("there is no more data just now")]
    NoData,
    /// The state is not one that this device can take.
    #[error("{0}")]
    Restore(#[from] RestoreError),
    /// The state could not be saved.
    #[error("{0}")]
    Save(#[from] SaveError),
    /// The log of guest memory cannot be kept or reported as asked for.
    #[error("{0}")]
    DmaLog(#[from] DmaLogError),
    /// The firmware refuses.
    #[error("refused by the firmware: {0:?}")]
    Refused(Reject),
    /// The firmware has not done what it was asked for in time.
    #[error("the device does not answer")]
    Late,
}

impl MigrationError {
    /// The number, positive, of `errno`. Those that the uAPI names are its own: EINVAL for a
    /// transition or a call that is not possible, ENOMSG for the end of data for now.
    pub fn errno(&self) -> i32 {
        let errno = match self {
            Self::WrongState => Errno::INVAL,
            Self::NoData => Errno::NOMSG,
            Self::Late => Errno::TIMEDOUT,
            Self::Refused(why) => refused(*why),
            Self::DmaLog(why) => logged(*why),
            Self::Save(why) => match why {
                SaveError::Deadline => Errno::BUSY,
                SaveError::Refused(why) | SaveError::NotStarted(why) => refused(*why),
                SaveError::Failed(why) => failed(*why),
                SaveError::BadCrc | SaveError::BadSlot | SaveError::Restarted => Errno::IO,
                SaveError::Downtime { .. } => Errno::TIME,
                SaveError::GivenUp => Errno::CANCELED,
            },
            Self::Restore(why) => match why {
                RestoreError::Refused(why) => refused(*why),
                RestoreError::Failed(why) => failed(*why),
                RestoreError::Restarted => Errno::IO,
                RestoreError::NoRoom(_) => Errno::NOSPC,
                RestoreError::GivenUp => Errno::CANCELED,
                // What is in the stream.
                RestoreError::Stream(_)
                | RestoreError::Profile(_)
                | RestoreError::OtherProfile { .. }
                | RestoreError::OtherVgpu { .. }
                | RestoreError::OtherTransfer { .. }
                | RestoreError::Layout { .. }
                | RestoreError::BadRecord => Errno::INVAL,
            },
        };
        errno.raw_os_error()
    }
}

fn refused(why: Reject) -> Errno {
    match why {
        Reject::NoSuchVgpu | Reject::NoSuchChannel | Reject::ChannelClosed => Errno::NOENT,
        Reject::NoSuchEngine => Errno::NODEV,
        Reject::VgpuExists | Reject::ChannelOpen => Errno::EXIST,
        Reject::Placement(_) => Errno::NOSPC,
        Reject::WrongPhase | Reject::SlotInUse => Errno::BUSY,
        Reject::TsgFull => Errno::NOSPC,
        Reject::Deadline => Errno::TIMEDOUT,
        Reject::Banned => Errno::ACCESS,
        Reject::Profile(_)
        | Reject::TsgElsewhere
        | Reject::Ring
        | Reject::Incomplete
        | Reject::Record
        | Reject::OutOfRange
        | Reject::Grace => Errno::INVAL,
    }
}

/// Numbers are those that the kernel's own checks give.
fn logged(why: DmaLogError) -> Errno {
    match why {
        DmaLogError::NoVgpu => Errno::NOENT,
        DmaLogError::Ranges(1..) | DmaLogError::TooLarge => Errno::TOOBIG,
        DmaLogError::Range { iova, byte_count, .. }
        | DmaLogError::NotLogged { iova, byte_count }
            if iova.checked_add(byte_count).is_none() =>
        {
            Errno::OVERFLOW
        }
        DmaLogError::Started
        | DmaLogError::NotStarted
        | DmaLogError::Page(_)
        | DmaLogError::Ranges(0)
        | DmaLogError::Range { .. }
        | DmaLogError::Overlap(..)
        | DmaLogError::NotLogged { .. }
        | DmaLogError::Bitmap { .. } => Errno::INVAL,
    }
}

fn failed(why: Failure) -> Errno {
    match why {
        Failure::Copy | Failure::BadCrc => Errno::IO,
        Failure::OutOfRange => Errno::INVAL,
        Failure::Late => Errno::TIMEDOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_logs_are_those_of_the_kernel() {
        let errno = |why: DmaLogError| MigrationError::from(why).errno();
        let range = |iova, byte_count| DmaLogError::Range { iova, byte_count, page_bytes: 4096 };
        for (why, number) in [
            (DmaLogError::Started, Errno::INVAL),
            (DmaLogError::NotStarted, Errno::INVAL),
            (DmaLogError::Ranges(0), Errno::INVAL),
            (DmaLogError::Ranges(65), Errno::TOOBIG),
            (range(1, 4096), Errno::INVAL),
            (range(u64::MAX - 4095, 8192), Errno::OVERFLOW),
        ] {
            assert_eq!(errno(why), number.raw_os_error(), "{why}");
        }
    }
}
