//! Why a device refuses, as error numbers: one table for all front ends.

use crate::host::HostError;
use crate::restore::RestoreError;
use crate::save::SaveError;
use godwit_sim_gpu::{BarError, DmaError, DmaLogError};
use godwit_wire::mailbox::{Failure, Reject};
use rustix::io::Errno;

/// What the caller of a migration call is told, or of another one that a front end makes for its
/// device: [`HostError`], [`DmaError`], [`DmaLogError`] and [`Reject`] become one of these.
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
    /// A DMA window cannot be mapped or unmapped.
    #[error("{0}")]
    Dma(#[from] DmaError),
    /// An access through the aperture met nothing.
    #[error("the aperture cannot be reached: {0}")]
    Bar(#[from] BarError),
    /// The firmware refuses.
    #[error("refused by the firmware: {0:?}")]
    Refused(Reject),
    /// The firmware has not done what it was asked for in time.
    #[error("the device does not answer")]
    Late,
}

/// A deadline that the firmware kept is one that the device did not.
impl From<Reject> for MigrationError {
    fn from(why: Reject) -> Self {
        if why == Reject::Deadline { Self::Late } else { Self::Refused(why) }
    }
}

impl From<HostError> for MigrationError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::NoRoom { profile } => RestoreError::NoRoom(profile).into(),
            HostError::Refused(why) => why.into(),
            HostError::Bar(why) => why.into(),
            HostError::Lost => Self::Late,
        }
    }
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
            Self::Dma(why) => mapped(*why),
            Self::Bar(why) => reached(*why),
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

/// Those for which the kernel has a check of its own have its numbers.
fn mapped(why: DmaError) -> Errno {
    match why {
        DmaError::NoVgpu(_) | DmaError::NoPeer(_) | DmaError::NotMapped { .. } => Errno::NOENT,
        DmaError::Overlaps { .. } => Errno::EXIST,
        DmaError::TooMany => Errno::NOSPC,
        DmaError::Length { .. }
        | DmaError::Unaligned(_)
        | DmaError::NoAccess
        | DmaError::Outside { .. }
        | DmaError::Own(_) => Errno::INVAL,
    }
}

fn reached(why: BarError) -> Errno {
    match why {
        BarError::Unbound => Errno::NXIO,
        // Until the vGPU runs again.
        BarError::Blocked | BarError::Trapped => Errno::BUSY,
        BarError::Crosses => Errno::INVAL,
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
    use crate::stream::StreamError;
    use godwit_types::{Gfid, Profile, ProfileError};
    use godwit_wire::mailbox::{PlacementReject, ProfileReject};

    const PROFILE: Profile =
        Profile { fb_bytes: 4096, bar_bytes: 4096, channel_count: 1, context_bytes: 4096 };

    fn holds<T: Into<MigrationError>>(table: impl IntoIterator<Item = (T, Errno)>) {
        for (why, number) in table {
            let why = why.into();
            assert_eq!(why.errno(), number.raw_os_error(), "{why}");
        }
    }

    #[test]
    fn numbers_of_calls_are_those_of_the_uapi() {
        holds([
            (MigrationError::WrongState, Errno::INVAL),
            (MigrationError::NoData, Errno::NOMSG),
            (MigrationError::Late, Errno::TIMEDOUT),
        ]);
    }

    #[test]
    fn numbers_of_logs_are_those_of_the_kernel() {
        let range = |iova, byte_count| DmaLogError::Range { iova, byte_count, page_bytes: 4096 };
        let not_logged = |iova, byte_count| DmaLogError::NotLogged { iova, byte_count };
        holds([
            (DmaLogError::NoVgpu, Errno::NOENT),
            (DmaLogError::Started, Errno::INVAL),
            (DmaLogError::NotStarted, Errno::INVAL),
            (DmaLogError::Page(5), Errno::INVAL),
            (DmaLogError::Ranges(0), Errno::INVAL),
            (DmaLogError::Ranges(65), Errno::TOOBIG),
            (range(1, 4096), Errno::INVAL),
            (range(u64::MAX - 4095, 8192), Errno::OVERFLOW),
            (DmaLogError::Overlap(0, 4096), Errno::INVAL),
            (DmaLogError::TooLarge, Errno::TOOBIG),
            (not_logged(0, 4096), Errno::INVAL),
            (not_logged(u64::MAX - 4095, 8192), Errno::OVERFLOW),
            (DmaLogError::Bitmap { found: 1, needed: 2 }, Errno::INVAL),
        ]);
    }

    #[test]
    fn numbers_of_windows() {
        let gfid = Gfid::new(1).unwrap();
        let (iova, byte_count) = (0, 4096);
        holds([
            (DmaError::NoVgpu(gfid), Errno::NOENT),
            (DmaError::Length { iova, byte_count: 0 }, Errno::INVAL),
            (DmaError::Unaligned(1), Errno::INVAL),
            (DmaError::NoAccess, Errno::INVAL),
            (
                DmaError::Overlaps { iova, byte_count, taken: iova, taken_bytes: byte_count },
                Errno::EXIST,
            ),
            (DmaError::TooMany, Errno::NOSPC),
            (DmaError::Outside { offset: 4096, byte_count, len: 4096 }, Errno::INVAL),
            (DmaError::NoPeer(gfid), Errno::NOENT),
            (DmaError::Own(gfid), Errno::INVAL),
            (DmaError::NotMapped { iova, byte_count }, Errno::NOENT),
        ]);
    }

    const REJECTS: [(Reject, Errno); 19] = [
        (Reject::NoSuchVgpu, Errno::NOENT),
        (Reject::VgpuExists, Errno::EXIST),
        (Reject::Profile(ProfileReject::Bar), Errno::INVAL),
        (Reject::Placement(PlacementReject::Bar), Errno::NOSPC),
        (Reject::WrongPhase, Errno::BUSY),
        (Reject::NoSuchChannel, Errno::NOENT),
        (Reject::NoSuchEngine, Errno::NODEV),
        (Reject::ChannelOpen, Errno::EXIST),
        (Reject::ChannelClosed, Errno::NOENT),
        (Reject::TsgFull, Errno::NOSPC),
        (Reject::TsgElsewhere, Errno::INVAL),
        (Reject::Ring, Errno::INVAL),
        (Reject::SlotInUse, Errno::BUSY),
        (Reject::Deadline, Errno::TIMEDOUT),
        (Reject::Incomplete, Errno::INVAL),
        (Reject::Record, Errno::INVAL),
        (Reject::OutOfRange, Errno::INVAL),
        (Reject::Grace, Errno::INVAL),
        (Reject::Banned, Errno::ACCESS),
    ];

    #[test]
    fn numbers_of_hosts_and_of_all_that_firmware_refuses() {
        holds(REJECTS);
        holds(REJECTS.map(|(why, number)| (HostError::Refused(why), number)));
        holds(REJECTS.map(|(why, number)| (SaveError::Refused(why), number)));
        holds(REJECTS.map(|(why, number)| (SaveError::NotStarted(why), number)));
        holds(REJECTS.map(|(why, number)| (RestoreError::Refused(why), number)));
        assert_eq!(MigrationError::from(Reject::Deadline), MigrationError::Late);
        holds([
            (HostError::NoRoom { profile: PROFILE }, Errno::NOSPC),
            (HostError::Bar(BarError::Unbound), Errno::NXIO),
            (HostError::Lost, Errno::TIMEDOUT),
            (HostError::Bar(BarError::Blocked), Errno::BUSY),
            (HostError::Bar(BarError::Trapped), Errno::BUSY),
            (HostError::Bar(BarError::Crosses), Errno::INVAL),
        ]);
    }

    #[test]
    fn numbers_of_saves_and_restores() {
        let failures = [
            (Failure::Copy, Errno::IO),
            (Failure::BadCrc, Errno::IO),
            (Failure::OutOfRange, Errno::INVAL),
            (Failure::Late, Errno::TIMEDOUT),
        ];
        holds(failures.map(|(why, number)| (SaveError::Failed(why), number)));
        holds(failures.map(|(why, number)| (RestoreError::Failed(why), number)));
        holds([
            (SaveError::Deadline, Errno::BUSY),
            (SaveError::BadCrc, Errno::IO),
            (SaveError::BadSlot, Errno::IO),
            (SaveError::Restarted, Errno::IO),
            (SaveError::Downtime { max_ns: 1 }, Errno::TIME),
            (SaveError::GivenUp, Errno::CANCELED),
        ]);
        holds([
            (RestoreError::Stream(StreamError::Truncated { at: 0 }), Errno::INVAL),
            (RestoreError::Profile(ProfileError::Bar), Errno::INVAL),
            (RestoreError::OtherProfile { found: PROFILE, wanted: PROFILE }, Errno::INVAL),
            (RestoreError::OtherVgpu { found: 1, wanted: 2 }, Errno::INVAL),
            (RestoreError::OtherTransfer { found: 1, wanted: 2 }, Errno::INVAL),
            (RestoreError::Layout { found: 1, wanted: 2 }, Errno::INVAL),
            (RestoreError::NoRoom(PROFILE), Errno::NOSPC),
            (RestoreError::BadRecord, Errno::INVAL),
            (RestoreError::Restarted, Errno::IO),
            (RestoreError::GivenUp, Errno::CANCELED),
        ]);
    }
}
