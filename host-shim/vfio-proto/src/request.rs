//! What a client asks of a server, and a server of its client.

use crate::dma::DmaAccess;
use crate::header::message;
use crate::info::{DeviceInfo, IrqInfo, REGION_INFO_BYTES, RegionInfo};
use crate::layout::{RawIrqInfo, RawMigData, put, read, split};
use crate::{
    Command, DmaMap, DmaUnmap, FeatureCall, Header, Limits, MessageKind, RegionAccess, SetIrqs,
    Version, WireError, Writes,
};

/// What a client asks. Data is borrowed from the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// [`Command::Version`].
    Version(Version),
    /// [`Command::DmaMap`].
    DmaMap(DmaMap),
    /// [`Command::DmaUnmap`].
    DmaUnmap(DmaUnmap),
    /// [`Command::DeviceGetInfo`].
    DeviceInfo,
    /// [`Command::DeviceGetRegionInfo`].
    RegionInfo {
        /// Which region.
        index: u32,
        /// Bytes that there is room for in the answer: 32 at least.
        room: u32,
    },
    /// [`Command::DeviceGetIrqInfo`], with which kind of interrupt.
    IrqInfo(u32),
    /// [`Command::DeviceSetIrqs`].
    SetIrqs(SetIrqs<'a>),
    /// [`Command::RegionRead`].
    RegionRead(RegionAccess),
    /// [`Command::RegionWrite`], with as many bytes as the access says.
    RegionWrite(RegionAccess, &'a [u8]),
    /// [`Command::RegionWriteMulti`].
    RegionWriteMulti(Writes<'a>),
    /// [`Command::DeviceReset`].
    Reset,
    /// [`Command::DeviceFeature`].
    Feature(FeatureCall),
    /// [`Command::MigDataRead`]: so many bytes at most.
    MigDataRead(u32),
    /// [`Command::MigDataWrite`].
    MigDataWrite(&'a [u8]),
}

impl<'a> Request<'a> {
    /// Reads a command of a client; `fds`: how many descriptors came with it.
    ///
    /// # Errors
    ///
    /// When it is no such command, or not as it must be. The framing is sound all the same:
    /// [`WireError::errno`] is the answer.
    pub fn parse(
        header: &Header,
        body: &'a [u8],
        fds: usize,
        limits: &Limits,
    ) -> Result<Self, WireError> {
        let number = header.command;
        let command = Command::new(number).ok_or(WireError::Command(number))?;
        if let MessageKind::Reply { .. } = header.kind {
            return Err(WireError::NoCommand);
        }
        let allowed = match command {
            _ if fds > limits.fds as usize => Some("as many as max_msg_fds says"),
            Command::DmaMap if fds <= 1 => None,
            Command::DmaMap => Some("none or one"),
            // It knows itself how many.
            Command::DeviceSetIrqs => None,
            _ if fds == 0 => None,
            _ => Some("none"),
        };
        if let Some(allowed) = allowed {
            return Err(WireError::Fds { found: fds, allowed });
        }
        Ok(match command {
            Command::Version => Self::Version(Version::parse(body)?),
            Command::DmaMap => Self::DmaMap(DmaMap::parse(body)?),
            Command::DmaUnmap => Self::DmaUnmap(DmaUnmap::parse(body)?),
            Command::DeviceGetInfo => DeviceInfo::asked(body).map(|()| Self::DeviceInfo)?,
            Command::DeviceGetRegionInfo => {
                let (index, room) = RegionInfo::asked(body)?;
                Self::RegionInfo { index, room }
            }
            Command::DeviceGetIrqInfo => Self::IrqInfo(IrqInfo::asked(body)?),
            Command::DeviceSetIrqs => Self::SetIrqs(SetIrqs::parse(body, fds)?),
            Command::RegionRead => Self::RegionRead(RegionAccess::parse(body, limits)?),
            Command::RegionWrite => {
                let (access, data) = RegionAccess::parse_with_data(body, limits)?;
                Self::RegionWrite(access, data)
            }
            Command::RegionWriteMulti => Self::RegionWriteMulti(Writes::parse(body, limits)?),
            Command::DeviceReset if body.is_empty() => Self::Reset,
            Command::DeviceReset => {
                return Err(WireError::Length { found: body.len(), wanted: 0 });
            }
            Command::DeviceFeature => Self::Feature(FeatureCall::parse(body, limits)?),
            Command::MigDataRead => {
                let raw: RawMigData = read(body)?;
                let size = raw.size.get();
                crate::dma::data(size.into(), limits)?;
                let wanted = size_of::<RawMigData>() + size as usize;
                crate::dma::argsz(raw.argsz.get(), wanted)?;
                Self::MigDataRead(size)
            }
            Command::MigDataWrite => {
                let (raw, _) = split::<RawMigData>(body)?;
                crate::dma::argsz(raw.argsz.get(), body.len())?;
                let data = migration_data(body, limits)?;
                let (found, wanted) = (body.len(), size_of::<RawMigData>() + data.len());
                if found != wanted {
                    return Err(WireError::Length { found, wanted });
                }
                Self::MigDataWrite(data)
            }
            Command::DeviceGetRegionIoFds | Command::DmaRead | Command::DmaWrite => {
                return Err(WireError::Command(number));
            }
        })
    }

    /// Which command it is.
    pub fn command(&self) -> Command {
        match self {
            Self::Version(_) => Command::Version,
            Self::DmaMap(_) => Command::DmaMap,
            Self::DmaUnmap(_) => Command::DmaUnmap,
            Self::DeviceInfo => Command::DeviceGetInfo,
            Self::RegionInfo { .. } => Command::DeviceGetRegionInfo,
            Self::IrqInfo(_) => Command::DeviceGetIrqInfo,
            Self::SetIrqs(_) => Command::DeviceSetIrqs,
            Self::RegionRead(_) => Command::RegionRead,
            Self::RegionWrite(..) => Command::RegionWrite,
            Self::RegionWriteMulti(_) => Command::RegionWriteMulti,
            Self::Reset => Command::DeviceReset,
            Self::Feature(_) => Command::DeviceFeature,
            Self::MigDataRead(_) => Command::MigDataRead,
            Self::MigDataWrite(_) => Command::MigDataWrite,
        }
    }

    /// The whole message.
    pub fn encode(&self, id: u16) -> Vec<u8> {
        message(Header::command(id, self.command(), 0), |out| match self {
            Self::Version(version) => version.encode(out),
            Self::DmaMap(map) => map.encode(out),
            Self::DmaUnmap(unmap) => unmap.encode(out),
            Self::DeviceInfo => DeviceInfo::ask(out),
            Self::RegionInfo { index, room } => {
                RegionInfo::ask(*index, (*room).max(REGION_INFO_BYTES as u32), out);
            }
            Self::IrqInfo(index) => {
                let argsz = (size_of::<RawIrqInfo>() as u32).into();
                let (flags, count) = (0.into(), 0.into());
                put(out, &RawIrqInfo { argsz, flags, index: (*index).into(), count });
            }
            Self::SetIrqs(set) => set.encode(out),
            Self::RegionRead(access) => access.encode(out),
            Self::RegionWrite(access, data) => {
                access.encode(out);
                out.extend_from_slice(data);
            }
            Self::RegionWriteMulti(writes) => writes.encode(out),
            Self::Reset => {}
            Self::Feature(call) => call.encode(out),
            Self::MigDataRead(size) => put_migration_data(out, *size),
            Self::MigDataWrite(data) => {
                put_migration_data(out, data.len() as u32);
                out.extend_from_slice(data);
            }
        })
    }
}

pub(crate) fn put_migration_data(out: &mut Vec<u8>, size: u32) {
    let argsz = size.saturating_add(size_of::<RawMigData>() as u32);
    put(out, &RawMigData { argsz: argsz.into(), size: size.into() });
}

/// As many bytes as are said to follow. Where more do, since a server sends as much as was asked
/// for, they are none of the data.
pub(crate) fn migration_data<'a>(body: &'a [u8], limits: &Limits) -> Result<&'a [u8], WireError> {
    let (raw, data) = split::<RawMigData>(body)?;
    let size = raw.size.get();
    crate::dma::data(size.into(), limits)?;
    let short = WireError::Length { found: data.len(), wanted: size as usize };
    data.get(..size as usize).ok_or(short)
}

/// What a server asks of its client.
impl DmaAccess<'_> {
    /// Reads a command of a server.
    ///
    /// # Errors
    ///
    /// When it is no such command, or not as it must be.
    pub fn parse<'a>(
        header: &Header,
        body: &'a [u8],
        limits: &Limits,
    ) -> Result<DmaAccess<'a>, WireError> {
        match Command::new(header.command) {
            Some(Command::DmaRead) => DmaAccess::parse_read(body, limits),
            Some(Command::DmaWrite) => DmaAccess::parse_write(body, limits),
            _ => Err(WireError::Command(header.command)),
        }
    }

    /// The whole message.
    pub fn message(&self, id: u16) -> Vec<u8> {
        let command = match self {
            Self::Read { .. } => Command::DmaRead,
            Self::Write { .. } => Command::DmaWrite,
        };
        message(Header::command(id, command, 0), |out| self.encode(out))
    }
}
