//! Versions of a stream, and what a record looks like in each.

use godwit_wire::WireError;
use godwit_wire::record::{Kind, STREAM_VERSION_MAX, STREAM_VERSION_MIN, v1, v2};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// Version of a stream: each of its records has the newest version that is not above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamVersion(u8);

impl StreamVersion {
    /// The oldest that is read and written.
    pub const OLDEST: Self = Self(STREAM_VERSION_MIN);
    /// The newest that is read and written.
    pub const NEWEST: Self = Self(STREAM_VERSION_MAX);

    /// `None` for a version that this build does not know.
    pub fn new(raw: u8) -> Option<Self> {
        (Self::OLDEST.0..=Self::NEWEST.0).contains(&raw).then_some(Self(raw))
    }

    /// What to write to somebody who reads up to `theirs`: the lower of the two. `None`: nothing
    /// that this build writes is old enough.
    pub fn agreed(self, theirs: u8) -> Option<Self> {
        Self::new(self.0.min(theirs))
    }

    /// Its number.
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// Version of a record of this kind.
    pub const fn of(self, kind: Kind) -> u8 {
        kind.version_in(self.0)
    }
}

/// The newest.
impl Default for StreamVersion {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for StreamVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a record says, in its newest shape. Older ones are made from it, and it from them.
pub trait RecordBody: Sized {
    /// Encodes it in a version that its kind has.
    ///
    /// # Errors
    ///
    /// [`WireError::NoRoom`].
    fn encode_as<'a>(&self, version: u8, into: &'a mut [u8]) -> Result<&'a [u8], WireError>;

    /// Decodes it from a version that its kind has.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`] or [`WireError::TooLong`].
    fn decode_as(version: u8, body: &[u8]) -> Result<Self, WireError>;
}

/// A shape that has not changed since version 1.
trait Unchanged: Serialize + DeserializeOwned {}

impl Unchanged for v1::Descriptor {}
impl Unchanged for v1::Pages {}
impl Unchanged for v1::Channel {}
impl Unchanged for v1::Context {}
impl Unchanged for v1::Function {}
impl Unchanged for v1::Trailer {}

impl<T: Unchanged> RecordBody for T {
    fn encode_as<'a>(&self, _: u8, into: &'a mut [u8]) -> Result<&'a [u8], WireError> {
        godwit_wire::encode(self, into)
    }

    fn decode_as(_: u8, body: &[u8]) -> Result<Self, WireError> {
        godwit_wire::decode(body)
    }
}

impl RecordBody for v2::Vgpu {
    fn encode_as<'a>(&self, version: u8, into: &'a mut [u8]) -> Result<&'a [u8], WireError> {
        match version {
            1 => godwit_wire::encode(&v1::Vgpu::from(*self), into),
            _ => godwit_wire::encode(self, into),
        }
    }

    fn decode_as(version: u8, body: &[u8]) -> Result<Self, WireError> {
        match version {
            1 => godwit_wire::decode::<v1::Vgpu>(body).map(Self::from),
            _ => godwit_wire::decode(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_agree_on_the_lower_version() {
        let (one, two) = (StreamVersion::new(1).unwrap(), StreamVersion::new(2).unwrap());
        assert_eq!(
            (two.agreed(1), one.agreed(2), two.agreed(2)),
            (Some(one), Some(one), Some(two))
        );
        assert_eq!(StreamVersion::NEWEST.agreed(255), Some(StreamVersion::NEWEST));
        assert_eq!(StreamVersion::NEWEST.agreed(0), None);
    }

    #[test]
    fn what_a_vgpu_owes_is_left_out_of_version_1_and_is_nothing_when_it_is_read() {
        let debts_ns = [7, u32::MAX];
        let vgpu = v2::Vgpu {
            guest_time_ns: u64::MAX,
            pending_vectors: 3,
            channel_count: 2,
            context_count: 1,
            debts_ns,
        };
        let round = |version| {
            let mut buffer = [0; 64];
            let body = vgpu.encode_as(version, &mut buffer).unwrap();
            v2::Vgpu::decode_as(version, body).unwrap()
        };
        assert_eq!(round(2), vgpu);
        assert_eq!(round(1), v2::Vgpu { debts_ns: [0; 2], ..vgpu });
    }
}
