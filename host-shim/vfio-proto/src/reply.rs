//! Answers of both sides.

use crate::dma::{DmaAccess, access_count, access_data, put_dma};
use crate::header::message;
use crate::request::{migration_data, put_migration_data};
use crate::{
    Command, DeviceInfo, DmaUnmap, FeatureAnswer, FeatureCall, Header, IrqInfo, Limits,
    MessageKind, RegionAccess, RegionInfo, Request, Version, WireError,
};

/// What comes back of a [`Request`] that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// It is done; nothing more is said.
    Done,
    /// [`Request::Version`].
    Version(Version),
    /// [`Request::DmaUnmap`], which says the same.
    Unmapped(DmaUnmap),
    /// [`Request::DeviceInfo`].
    DeviceInfo(DeviceInfo),
    /// [`Request::RegionInfo`], with the room that the client has, or needs.
    RegionInfo(RegionInfo, u32),
    /// [`Request::IrqInfo`].
    IrqInfo(IrqInfo),
    /// [`Request::RegionRead`], and what was read.
    RegionRead(RegionAccess, &'a [u8]),
    /// [`Request::RegionWrite`].
    RegionWritten(RegionAccess),
    /// [`Request::RegionWriteMulti`], and how many were done.
    RegionsWritten(u64),
    /// [`Request::Feature`], with the call that it answers.
    Feature(FeatureCall, FeatureAnswer<'a>),
    /// [`Request::MigDataRead`]. Fewer bytes than were asked for are the end for now.
    MigData(&'a [u8]),
}

impl<'a> Reply<'a> {
    /// The whole message, in answer to a command.
    pub fn encode(&self, to: &Header) -> Vec<u8> {
        message(to.answer(0), |out| match self {
            Self::Done => {}
            Self::Version(version) => version.encode(out),
            Self::Unmapped(unmap) => unmap.encode(out),
            Self::DeviceInfo(info) => info.encode(out),
            Self::RegionInfo(info, room) => info.encode(*room, out),
            Self::IrqInfo(info) => info.encode(out),
            Self::RegionRead(access, data) => {
                access.encode(out);
                out.extend_from_slice(data);
            }
            Self::RegionWritten(access) => access.encode(out),
            Self::RegionsWritten(count) => out.extend_from_slice(&count.to_le_bytes()),
            Self::Feature(call, answer) => call.encode_answer(answer, out),
            Self::MigData(data) => {
                put_migration_data(out, data.len() as u32);
                out.extend_from_slice(data);
            }
        })
    }

    /// Reads the answer to `request`.
    ///
    /// # Errors
    ///
    /// When it says that the command failed ([`WireError::Failed`]), answers something else, or is
    /// not as it must be.
    pub fn parse(
        request: &Request<'_>,
        header: &Header,
        body: &'a [u8],
        limits: &Limits,
    ) -> Result<Self, WireError> {
        let wanted = request.command() as u16;
        if header.command != wanted {
            return Err(WireError::Answer { found: header.command, wanted });
        }
        succeeded(header)?;
        Ok(match request {
            Request::Version(_) => Self::Version(Version::parse(body)?),
            Request::DmaMap(_)
            | Request::SetIrqs(_)
            | Request::Reset
            | Request::MigDataWrite(_) => Self::Done,
            Request::DmaUnmap(_) => Self::Unmapped(DmaUnmap::parse(body)?),
            Request::DeviceInfo => Self::DeviceInfo(DeviceInfo::parse(body)?),
            Request::RegionInfo { .. } => {
                let (info, room) = RegionInfo::parse(body)?;
                Self::RegionInfo(info, room)
            }
            Request::IrqInfo(_) => Self::IrqInfo(IrqInfo::parse(body)?),
            Request::RegionRead(asked) => {
                let (access, data) = RegionAccess::parse_with_data(body, limits)?;
                same(asked, &access)?;
                Self::RegionRead(access, data)
            }
            Request::RegionWrite(asked, _) => {
                let access = RegionAccess::parse(body, limits)?;
                same(asked, &access)?;
                Self::RegionWritten(access)
            }
            Request::RegionWriteMulti(_) => {
                let wrong = WireError::Length { found: body.len(), wanted: 8 };
                Self::RegionsWritten(u64::from_le_bytes(body.try_into().map_err(|_| wrong)?))
            }
            Request::Feature(call) => Self::Feature(call.clone(), call.parse_answer(body, limits)?),
            Request::MigDataRead(size) => {
                let data = migration_data(body, limits)?;
                let (found, wanted) = (data.len(), *size as usize);
                if found > wanted {
                    return Err(WireError::Length { found, wanted });
                }
                Self::MigData(data)
            }
        })
    }
}

/// Whether a header is that of an answer, and of one that it is done.
fn succeeded(header: &Header) -> Result<(), WireError> {
    match header.kind {
        MessageKind::Reply { error: None } => Ok(()),
        MessageKind::Reply { error: Some(errno) } => Err(WireError::Failed(errno)),
        MessageKind::Command { .. } => Err(WireError::NoAnswer),
    }
}

fn same(asked: &RegionAccess, found: &RegionAccess) -> Result<(), WireError> {
    if asked == found {
        return Ok(());
    }
    let (iova, length) = (found.offset, found.count.into());
    Err(WireError::Range { iova, length })
}

/// What comes back of a [`DmaAccess`] that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaReply<'a> {
    /// What was read, from this address on.
    Read {
        /// The first bus address.
        iova: u64,
        /// What is there.
        data: &'a [u8],
    },
    /// So much was written.
    Written {
        /// The first bus address.
        iova: u64,
        /// How many bytes.
        count: u64,
    },
}

impl<'a> DmaReply<'a> {
    /// The whole message, in answer to a command.
    pub fn encode(&self, to: &Header) -> Vec<u8> {
        message(to.answer(0), |out| match *self {
            Self::Read { iova, data } => DmaAccess::Write { iova, data }.encode(out),
            Self::Written { iova, count } => put_dma(out, iova, count),
        })
    }

    /// Reads the answer to a server's command.
    ///
    /// # Errors
    ///
    /// When it says that the command failed ([`WireError::Failed`]), is no answer, or not as it
    /// must be.
    pub fn parse(header: &Header, body: &'a [u8], limits: &Limits) -> Result<Self, WireError> {
        succeeded(header)?;
        match Command::new(header.command) {
            Some(Command::DmaRead) => {
                let (iova, data) = access_data(body)?;
                crate::dma::data(data.len() as u64, limits)?;
                Ok(Self::Read { iova, data })
            }
            Some(Command::DmaWrite) => {
                let (iova, count) = access_count(body)?;
                Ok(Self::Written { iova, count })
            }
            _ => Err(WireError::Command(header.command)),
        }
    }
}
