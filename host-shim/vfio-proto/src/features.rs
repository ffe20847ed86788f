//! DEVICE_FEATURE: migration states and the log of DMA.

use crate::dma::{argsz, range};
use crate::layout::{
    RawFeature, RawLogReport, RawLogStart, RawPrecopy, RawRange, RawState, put, read, split,
};
use crate::{Limits, WireError};
use zerocopy::byteorder::little_endian::U64;

/// Ranges of a log that a message may name.
pub const DMA_RANGES_MAX: u32 = 4096;

const INDEX: u32 = 0xffff;
const GET: u32 = 1 << 16;
const SET: u32 = 1 << 17;
const PROBE: u32 = 1 << 18;
const HEAD_BYTES: usize = size_of::<RawFeature>();

/// Numbers of features, as in `include/uapi/linux/vfio.h`.
pub mod feature {
    /// What the device can of migration; GET.
    pub const MIGRATION: u16 = 1;
    /// The state that it is in; GET and SET.
    pub const MIG_DEVICE_STATE: u16 = 2;
    /// Writes to guest memory are logged from now on; SET.
    pub const DMA_LOGGING_START: u16 = 6;
    /// They are logged no more; SET.
    pub const DMA_LOGGING_STOP: u16 = 7;
    /// What was written since the last time; GET.
    pub const DMA_LOGGING_REPORT: u16 = 8;
    /// Bytes of the stop-and-copy part, at most; GET.
    pub const MIG_DATA_SIZE: u16 = 9;
    /// What is to be read before a stop; GET. It is private: Linux tells this by an ioctl on the
    /// descriptor of the data (`VFIO_MIG_GET_PRECOPY_INFO`), for which vfio-user has no message.
    /// The number is far above those that Linux gives out one by one, of which there are 12.
    pub const PRECOPY_INFO: u16 = 0xf0d1;
}

/// Numbers of the states of a migration: see `enum vfio_device_mig_state`.
pub type DeviceState = u32;

bitflags::bitflags! {
    /// What a device can of migration.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MigrationFlags: u64 {
        /// Stop and copy.
        const STOP_COPY = 1;
        /// It can be kept from reaching its peers.
        const P2P = 2;
        /// Its state can be read while it runs.
        const PRE_COPY = 4;
    }
}

/// What a reader has before it while the device runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrecopyInfo {
    /// Bytes that are to be read first, at most.
    pub initial_bytes: u64,
    /// Bytes that have changed since, at most.
    pub dirty_bytes: u64,
    /// `initial_bytes` counts anew: what was read before comes once more.
    pub reinit: bool,
}

const PRECOPY_REINIT: u32 = 1;

/// Bus addresses of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRange {
    /// The first.
    pub iova: u64,
    /// How many.
    pub length: u64,
}

/// What a log is asked for: a bit for each page of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// The range.
    pub range: DmaRange,
    /// Bytes of a page: a power of two.
    pub page_bytes: u64,
}

impl LogReport {
    /// Bytes of the bitmap: whole words of 64 bits.
    pub fn bitmap_bytes(&self) -> u64 {
        self.range.length.div_ceil(self.page_bytes.max(1)).div_ceil(64) * 8
    }

    fn parse<'a>(data: &'a [u8], limits: &Limits) -> Result<(Self, &'a [u8]), WireError> {
        let (raw, bitmap) = split::<RawLogReport>(data)?;
        let range = DmaRange { iova: raw.iova.get(), length: raw.length.get() };
        let report = Self { range, page_bytes: page(raw.page_size.get())? };
        self::range(range.iova, range.length)?;
        crate::dma::data(report.bitmap_bytes(), limits)?;
        Ok((report, bitmap))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put(
            out,
            &RawLogReport {
                iova: self.range.iova.into(),
                length: self.range.length.into(),
                page_size: self.page_bytes.into(),
            },
        );
    }
}

fn page(bytes: u64) -> Result<u64, WireError> {
    if bytes.is_power_of_two() { Ok(bytes) } else { Err(WireError::Page(bytes)) }
}

/// A DEVICE_FEATURE command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureCall {
    /// Whether a feature has these methods.
    Probe {
        /// Its number.
        feature: u16,
        /// Whether it can be asked.
        get: bool,
        /// Whether it can be set.
        set: bool,
    },
    /// What it can of migration.
    GetMigration,
    /// Which state it is in.
    GetState,
    /// Bring it to another state. The answer comes when it is in it.
    SetState {
        /// The state.
        state: DeviceState,
        /// Of no meaning here, and echoed.
        data_fd: u32,
    },
    /// Begin to log.
    LogStart {
        /// Bytes of a page: a power of two.
        page_bytes: u64,
        /// What is logged; none: all there is.
        ranges: Vec<DmaRange>,
    },
    /// Log no more.
    LogStop,
    /// Report what was written.
    LogReport(LogReport),
    /// Bytes of the stop-and-copy part.
    GetDataSize,
    /// What is to be read before a stop.
    GetPrecopyInfo,
}

impl FeatureCall {
    /// Its number and its flags.
    fn flags(&self) -> u32 {
        let (feature, methods) = match self {
            Self::Probe { feature, get, set } => {
                let get = if *get { GET } else { 0 };
                let set = if *set { SET } else { 0 };
                (*feature, PROBE | get | set)
            }
            Self::GetMigration => (feature::MIGRATION, GET),
            Self::GetState => (feature::MIG_DEVICE_STATE, GET),
            Self::SetState { .. } => (feature::MIG_DEVICE_STATE, SET),
            Self::LogStart { .. } => (feature::DMA_LOGGING_START, SET),
            Self::LogStop => (feature::DMA_LOGGING_STOP, SET),
            Self::LogReport(_) => (feature::DMA_LOGGING_REPORT, GET),
            Self::GetDataSize => (feature::MIG_DATA_SIZE, GET),
            Self::GetPrecopyInfo => (feature::PRECOPY_INFO, GET),
        };
        u32::from(feature) | methods
    }

    /// Bytes of the answer's body, which the caller must have room for.
    pub fn answer_bytes(&self) -> usize {
        HEAD_BYTES
            + match self {
                Self::Probe { .. } | Self::LogStop => 0,
                Self::GetMigration | Self::GetState | Self::SetState { .. } | Self::GetDataSize => {
                    8
                }
                Self::LogStart { ranges, .. } => {
                    size_of::<RawLogStart>() + ranges.len() * size_of::<RawRange>()
                }
                Self::LogReport(report) => {
                    size_of::<RawLogReport>() + report.bitmap_bytes() as usize
                }
                Self::GetPrecopyInfo => size_of::<RawPrecopy>(),
            }
    }

    pub(crate) fn parse(body: &[u8], limits: &Limits) -> Result<Self, WireError> {
        let (raw, data) = split::<RawFeature>(body)?;
        let flags = raw.flags.get();
        let feature = (flags & INDEX) as u16;
        let (get, set) = (flags & GET != 0, flags & SET != 0);
        if flags & !(INDEX | GET | SET | PROBE) != 0 || !(get || set) {
            return Err(WireError::Flags(flags));
        }
        let call = if flags & PROBE != 0 {
            Self::Probe { feature, get, set }
        } else if get && set {
            return Err(WireError::Flags(flags));
        } else {
            Self::parse_call(feature, set, data, limits)?
        };
        argsz(raw.argsz.get(), call.answer_bytes())?;
        Ok(call)
    }

    fn parse_call(number: u16, set: bool, data: &[u8], limits: &Limits) -> Result<Self, WireError> {
        Ok(match (number, set) {
            (feature::MIGRATION, false) => Self::GetMigration,
            (feature::MIG_DEVICE_STATE, false) => Self::GetState,
            (feature::MIG_DEVICE_STATE, true) => {
                let raw: RawState = read(data)?;
                let (state, data_fd) = (raw.device_state.get(), raw.data_fd.get());
                Self::SetState { state, data_fd }
            }
            (feature::DMA_LOGGING_START, true) => {
                let (raw, rest) = split::<RawLogStart>(data)?;
                let (count, page_bytes) = (raw.range_count.get(), page(raw.page_size.get())?);
                if count > DMA_RANGES_MAX {
                    return Err(WireError::Ranges(count));
                }
                let wanted = count as usize * size_of::<RawRange>();
                if rest.len() != wanted {
                    return Err(WireError::Length { found: rest.len(), wanted });
                }
                let one = |bytes| {
                    let raw: RawRange = read(bytes)?;
                    let (iova, length) = (raw.iova.get(), raw.length.get());
                    range(iova, length)?;
                    Ok(DmaRange { iova, length })
                };
                let ranges = rest.chunks_exact(size_of::<RawRange>()).map(one);
                Self::LogStart { page_bytes, ranges: ranges.collect::<Result<_, WireError>>()? }
            }
            (feature::DMA_LOGGING_STOP, true) => Self::LogStop,
            (feature::DMA_LOGGING_REPORT, false) => {
                Self::LogReport(LogReport::parse(data, limits)?.0)
            }
            (feature::MIG_DATA_SIZE, false) => Self::GetDataSize,
            (feature::PRECOPY_INFO, false) => Self::GetPrecopyInfo,
            _ => return Err(WireError::Feature(number)),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let argsz = self.answer_bytes() as u32;
        put(out, &RawFeature { argsz: argsz.into(), flags: self.flags().into() });
        match self {
            Self::LogReport(report) => report.encode(out),
            other => other.encode_set(out),
        }
    }

    /// What a SET carries, there and back.
    fn encode_set(&self, out: &mut Vec<u8>) {
        match self {
            Self::SetState { state, data_fd } => {
                put(out, &RawState { device_state: (*state).into(), data_fd: (*data_fd).into() });
            }
            Self::LogStart { page_bytes, ranges } => {
                put(
                    out,
                    &RawLogStart {
                        page_size: (*page_bytes).into(),
                        range_count: (ranges.len() as u32).into(),
                        reserved: 0.into(),
                    },
                );
                for range in ranges {
                    put(out, &RawRange { iova: range.iova.into(), length: range.length.into() });
                }
            }
            _ => {}
        }
    }

    /// Appends the body of the answer to this call: that it was done, or what was asked for.
    pub(crate) fn encode_answer(&self, answer: &FeatureAnswer<'_>, out: &mut Vec<u8>) {
        let argsz = self.answer_bytes() as u32;
        put(out, &RawFeature { argsz: argsz.into(), flags: self.flags().into() });
        match answer {
            FeatureAnswer::Done => self.encode_set(out),
            FeatureAnswer::Migration(flags) => put(out, &U64::new(flags.bits())),
            FeatureAnswer::State(state) => {
                put(out, &RawState { device_state: (*state).into(), data_fd: 0.into() });
            }
            FeatureAnswer::Report(bitmap) => {
                if let Self::LogReport(report) = self {
                    report.encode(out);
                }
                out.extend_from_slice(bitmap);
            }
            FeatureAnswer::DataSize(bytes) => put(out, &U64::new(*bytes)),
            FeatureAnswer::Precopy(info) => {
                put(
                    out,
                    &RawPrecopy {
                        initial_bytes: info.initial_bytes.into(),
                        dirty_bytes: info.dirty_bytes.into(),
                        flags: (if info.reinit { PRECOPY_REINIT } else { 0 }).into(),
                        reserved: 0.into(),
                    },
                );
            }
        }
    }

    /// Reads the body of the answer to this call.
    pub(crate) fn parse_answer<'a>(
        &self,
        body: &'a [u8],
        limits: &Limits,
    ) -> Result<FeatureAnswer<'a>, WireError> {
        let (raw, data) = split::<RawFeature>(body)?;
        if raw.flags.get() != self.flags() {
            return Err(WireError::Flags(raw.flags.get()));
        }
        Ok(match self {
            Self::Probe { .. } | Self::SetState { .. } | Self::LogStart { .. } | Self::LogStop => {
                FeatureAnswer::Done
            }
            Self::GetMigration => {
                let bits: U64 = read(data)?;
                FeatureAnswer::Migration(MigrationFlags::from_bits_truncate(bits.get()))
            }
            Self::GetState => {
                let raw: RawState = read(data)?;
                FeatureAnswer::State(raw.device_state.get())
            }
            Self::LogReport(report) => {
                let (found, bitmap) = LogReport::parse(data, limits)?;
                let wanted = report.bitmap_bytes() as usize;
                if found != *report || bitmap.len() != wanted {
                    return Err(WireError::Length { found: bitmap.len(), wanted });
                }
                FeatureAnswer::Report(bitmap)
            }
            Self::GetDataSize => {
                let bytes: U64 = read(data)?;
                FeatureAnswer::DataSize(bytes.get())
            }
            Self::GetPrecopyInfo => {
                let raw: RawPrecopy = read(data)?;
                FeatureAnswer::Precopy(PrecopyInfo {
                    initial_bytes: raw.initial_bytes.get(),
                    dirty_bytes: raw.dirty_bytes.get(),
                    reinit: raw.flags.get() & PRECOPY_REINIT != 0,
                })
            }
        })
    }
}

/// What comes back of a [`FeatureCall`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureAnswer<'a> {
    /// It is done, or there is such a feature.
    Done,
    /// See [`FeatureCall::GetMigration`].
    Migration(MigrationFlags),
    /// See [`FeatureCall::GetState`].
    State(DeviceState),
    /// A bitmap of pages that were written: bit `n % 64` of word `n / 64` for the `n`-th.
    Report(&'a [u8]),
    /// See [`FeatureCall::GetDataSize`].
    DataSize(u64),
    /// See [`FeatureCall::GetPrecopyInfo`].
    Precopy(PrecopyInfo),
}
