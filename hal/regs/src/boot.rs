//! What the boot stage leaves in the window before it starts an image: words, by their places.

/// The first word of a record that is there.
pub const MAGIC: u32 = u32::from_le_bytes(*b"GWBT");

/// Words of the record: [`MAGIC`] and what [`Booted`] says.
pub const WORDS: usize = 8;

/// What was started, out of which slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booted {
    /// The slot: 0 is a, 1 is b.
    pub slot: u32,
    /// The image's version: major, minor, patch.
    pub version: [u16; 3],
    /// Its security version.
    pub security_version: u32,
    /// The lowest security version that boots.
    pub guard: u32,
    /// Why the other slot does not boot, as `godwit-slots` numbers it; 0 when it does.
    pub other: u32,
}

/// The words of a record, the magic first. It is written last.
pub const fn encode(booted: Booted) -> [u32; WORDS] {
    let [major, minor, patch] = booted.version;
    let low = (major as u32) | (minor as u32).wrapping_shl(16);
    let Booted { slot, security_version, guard, other, .. } = booted;
    [MAGIC, slot, low, patch as u32, security_version, guard, other, 0]
}

/// Reads a record; `None` when there is none.
pub const fn parse(words: [u32; WORDS]) -> Option<Booted> {
    let [magic, slot, low, patch, security_version, guard, other, _] = words;
    if magic != MAGIC {
        return None;
    }
    let version = [low as u16, low.wrapping_shr(16) as u16, patch as u16];
    Some(Booted { slot, version, security_version, guard, other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read() {
        let version = [1, u16::MAX, 3];
        let booted = Booted { slot: 1, version, security_version: 4, guard: 2, other: 9 };
        assert_eq!(parse(encode(booted)), Some(booted));
        assert_eq!(parse([0; WORDS]), None);
    }
}
