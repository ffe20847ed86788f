//! Versions of images.

use core::fmt;
use core::str::FromStr;

/// Which image of a board's this is. It says nothing of what may boot: a security version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Counts what is not compatible any more.
    pub major: u16,
    /// Counts what is new.
    pub minor: u16,
    /// Counts what is mended.
    pub patch: u16,
}

impl Version {
    /// Its numbers, the greatest first.
    pub const fn parts(self) -> [u16; 3] {
        [self.major, self.minor, self.patch]
    }

    /// The version of these numbers.
    pub const fn new([major, minor, patch]: [u16; 3]) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoVersion;

impl fmt::Display for NoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version is three numbers up to 65535 with dots between, such as 1.2.3")
    }
}

impl core::error::Error for NoVersion {}

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut parts = text.split('.').map(|part| part.parse().map_err(|_| NoVersion));
        let mut next = || parts.next().unwrap_or(Err(NoVersion));
        let version = Self::new([next()?, next()?, next()?]);
        if parts.next().is_some() { Err(NoVersion) } else { Ok(version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_are_a_version() {
        assert_eq!("1.20.300".parse(), Ok(Version::new([1, 20, 300])));
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.2.70000", "-1.2.3"] {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text}");
        }
    }
}
