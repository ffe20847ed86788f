//! Reads and writes of regions.

use crate::dma::data;
use crate::layout::{RawAccess, RawWrite, put, split};
use crate::{Limits, WireError};

/// Bytes of a number in front of the entries of REGION_WRITE_MULTI.
const COUNT_BYTES: usize = 8;
/// Bytes that one of its entries writes, at most.
const ENTRY_DATA_MAX: u32 = 8;

/// A range of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionAccess {
    /// Which region.
    pub region: u32,
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub count: u32,
}

impl RegionAccess {
    fn of(raw: &RawAccess, limits: &Limits) -> Result<Self, WireError> {
        let (offset, count) = (raw.offset.get(), raw.count.get());
        data(count.into(), limits)?;
        if offset.checked_add(count.into()).is_none() {
            return Err(WireError::Range { iova: offset, length: count.into() });
        }
        Ok(Self { region: raw.region.get(), offset, count })
    }

    pub(crate) fn parse(body: &[u8], limits: &Limits) -> Result<Self, WireError> {
        match Self::parse_data(body, limits)? {
            (access, []) => Ok(access),
            (_, more) => Err(WireError::Length {
                found: size_of::<RawAccess>() + more.len(),
                wanted: size_of::<RawAccess>(),
            }),
        }
    }

    fn parse_data<'a>(body: &'a [u8], limits: &Limits) -> Result<(Self, &'a [u8]), WireError> {
        let (raw, rest) = split::<RawAccess>(body)?;
        Ok((Self::of(&raw, limits)?, rest))
    }

    /// One with its data behind it.
    pub(crate) fn parse_with_data<'a>(
        body: &'a [u8],
        limits: &Limits,
    ) -> Result<(Self, &'a [u8]), WireError> {
        let (access, data) = Self::parse_data(body, limits)?;
        let wanted = access.count as usize;
        if data.len() != wanted {
            return Err(WireError::Length { found: data.len(), wanted });
        }
        Ok((access, data))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(
            out,
            &RawAccess {
                offset: self.offset.into(),
                region: self.region.into(),
                count: self.count.into(),
            },
        );
    }
}

/// The writes of one REGION_WRITE_MULTI, which were all checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes<'a>(&'a [u8]);

impl<'a> Writes<'a> {
    pub(crate) fn parse(body: &'a [u8], limits: &Limits) -> Result<Self, WireError> {
        let short = WireError::Length { found: body.len(), wanted: COUNT_BYTES };
        let (count, entries) = body.split_first_chunk::<COUNT_BYTES>().ok_or(short)?;
        let count = u64::from_le_bytes(*count);
        let wanted = count.checked_mul(size_of::<RawWrite>() as u64);
        let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(usize::MAX);
        if entries.len() != wanted {
            return Err(WireError::Length { found: entries.len(), wanted });
        }
        let writes = Self(entries);
        for entry in writes.raw() {
            let (raw, _) = split::<RawWrite>(entry)?;
            let (offset, count) = (raw.offset.get(), raw.count.get());
            if count > ENTRY_DATA_MAX {
                return Err(WireError::Data { found: count.into(), most: ENTRY_DATA_MAX });
            }
            let head = RawAccess { offset: raw.offset, region: raw.region, count: raw.count };
            debug_assert_eq!(offset, head.offset.get());
            RegionAccess::of(&head, limits)?;
        }
        Ok(writes)
    }

    fn raw(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.chunks_exact(size_of::<RawWrite>())
    }

    /// The writes, in order.
    pub fn iter(self) -> impl Iterator<Item = (RegionAccess, &'a [u8])> {
        self.raw().filter_map(|entry| {
            let (raw, _) = split::<RawWrite>(entry).ok()?;
            let count = raw.count.get();
            let data = entry.get(16..16 + count as usize)?;
            let (region, offset) = (raw.region.get(), raw.offset.get());
            Some((RegionAccess { region, offset, count }, data))
        })
    }

    /// How many there are.
    pub fn count(self) -> u64 {
        (self.0.len() / size_of::<RawWrite>()) as u64
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.count().to_le_bytes());
        out.extend_from_slice(self.0);
    }

    /// Appends an entry to those that [`Self::over`] makes writes of.
    ///
    /// # Panics
    ///
    /// When there are more than 8 bytes.
    pub fn push(entries: &mut Vec<u8>, region: u32, offset: u64, bytes: &[u8]) {
        let mut data = [0; ENTRY_DATA_MAX as usize];
        data[..bytes.len()].copy_from_slice(bytes);
        let count = bytes.len() as u32;
        put(
            entries,
            &RawWrite { offset: offset.into(), region: region.into(), count: count.into(), data },
        );
    }

    /// Writes of entries that [`Self::push`] has made.
    pub fn over(entries: &'a [u8]) -> Self {
        Self(entries)
    }
}
