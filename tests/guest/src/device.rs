//! Finding out what the vGPU is.

use crate::bars::read32;
use crate::{Bars, GuestError};
use godwit_regs::bits::whole;
use godwit_regs::guest::{
    APERTURE_HI, APERTURE_LO, CHANNELS, FB_HI, FB_LO, ID, ID_VALUE, THREADS_MAX, TIME_HI, TIME_LO,
    VERSION, VERSION_VALUE,
};
use godwit_types::{CHANNEL_COUNT, FB_BYTES_MAX, GuestChannelId, GuestTsgId};

/// Attempts to read the clock. Its high half changes every 4.3 seconds, so one that needs more
/// is broken.
const CLOCK_READS_MAX: u32 = 4;

/// A vGPU as its guest knows it. Nothing of it changes in a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    channel_count: u16,
    fb_bytes: u64,
    aperture_bytes: u64,
    threads_max: u32,
}

impl Device {
    /// Looks at the device and takes down its sizes.
    pub fn probe(bars: &mut impl Bars) -> Result<Self, GuestError> {
        let found = read32(bars, ID)?;
        if found != ID_VALUE {
            return Err(GuestError::NotGodwit { found });
        }
        let found = read32(bars, VERSION)?;
        if found != VERSION_VALUE {
            return Err(GuestError::Version { found });
        }
        let channels = read32(bars, CHANNELS)?;
        let fb_bytes = whole(read32(bars, FB_LO)?, read32(bars, FB_HI)?);
        let aperture_bytes = whole(read32(bars, APERTURE_LO)?, read32(bars, APERTURE_HI)?);
        let threads_max = read32(bars, THREADS_MAX)?;
        let size = |what, value, allowed| match allowed {
            true => Ok(()),
            false => Err(GuestError::Size { what, value }),
        };
        let counted = (1..=CHANNEL_COUNT.into()).contains(&channels);
        size("number of channels", channels.into(), counted)?;
        let held = (1..=FB_BYTES_MAX).contains(&fb_bytes);
        size("bytes of partition", fb_bytes, held)?;
        let shown = (1..=fb_bytes).contains(&aperture_bytes);
        size("bytes of aperture", aperture_bytes, shown)?;
        size("threads of a block", threads_max.into(), threads_max > 0)?;
        Ok(Self {
            channel_count: channels as u16, // checked above
            fb_bytes,
            aperture_bytes,
            threads_max,
        })
    }

    /// Channels, and as many time-slice groups.
    pub fn channel_count(&self) -> u16 {
        self.channel_count
    }

    /// Bytes of the partition.
    pub fn fb_bytes(&self) -> u64 {
        self.fb_bytes
    }

    /// Bytes of the partition that BAR2 shows, from its start.
    pub fn aperture_bytes(&self) -> u64 {
        self.aperture_bytes
    }

    /// Threads that one block of a launch may have.
    pub fn threads_max(&self) -> u32 {
        self.threads_max
    }

    /// The vGPU's clock, in nanoseconds.
    pub fn guest_time_ns(&self, bars: &mut impl Bars) -> Result<u64, GuestError> {
        for _ in 0..CLOCK_READS_MAX {
            let high = read32(bars, TIME_HI)?;
            let low = read32(bars, TIME_LO)?;
            if read32(bars, TIME_HI)? == high {
                return Ok(whole(low, high));
            }
        }
        Err(GuestError::Clock)
    }

    pub(crate) fn check_channel(
        &self,
        channel: GuestChannelId,
        tsg: GuestTsgId,
    ) -> Result<(), GuestError> {
        let numbers = [("channel", channel.raw()), ("group", tsg.raw())];
        match numbers.iter().find(|(_, raw)| *raw >= self.channel_count) {
            None => Ok(()),
            Some((what, number)) => {
                Err(GuestError::NoSuch { what, number: *number, count: self.channel_count })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{APERTURE_BYTES, CHANNELS as FAKE_CHANNELS, Fake};

    #[test]
    fn the_sizes_are_those_of_the_device() {
        let device = Device::probe(&mut Fake::new()).unwrap();
        assert_eq!(device.channel_count(), FAKE_CHANNELS);
        assert_eq!(device.aperture_bytes(), APERTURE_BYTES);
        assert!(device.fb_bytes() > device.aperture_bytes());
    }

    #[test]
    fn another_device_is_refused() {
        for (register, value) in [
            (ID, u32::MAX),
            (VERSION, 2),
            (CHANNELS, 0),
            (CHANNELS, 2049),
            (FB_HI, 0x101),
            (APERTURE_HI, 1),
            (THREADS_MAX, 0),
        ] {
            let mut fake = Fake::new();
            fake.registers.insert(register, value);
            assert!(Device::probe(&mut fake).is_err(), "{register:#x} {value:#x}");
        }
    }

    #[test]
    fn the_clock_is_read_whole_when_its_high_half_changes() {
        let mut fake = Fake::new();
        let device = Device::probe(&mut fake).unwrap();
        fake.time_ns = (1 << 32) - 1; // each read of a half takes 1 ns
        let now_ns = device.guest_time_ns(&mut fake).unwrap();
        assert!(((1 << 32)..(1 << 32) + 16).contains(&now_ns), "{now_ns:#x}");
        fake.time_step_ns = 1 << 32;
        assert!(matches!(device.guest_time_ns(&mut fake), Err(GuestError::Clock)));
    }
}
