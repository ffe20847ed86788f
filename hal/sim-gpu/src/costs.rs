//! What things cost in virtual time. Every figure of the model is here, with its source.

/// One figure, to be printed with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostRow {
    /// Its name, which ends in its unit.
    pub name: &'static str,
    /// Its value in that unit.
    pub value: u64,
    /// Where it comes from.
    pub source: &'static str,
}

macro_rules! costs {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal, $source:literal;)+) => {
        /// The cost model. Costs of a byte are in femtoseconds where a tenth of them would
        /// be less than a picosecond.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Costs {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Default for Costs {
            fn default() -> Self {
                Self { $($name: $value,)+ }
            }
        }

        impl Costs {
            /// Every cost times `numerator / denominator`, at least 1 of its unit.
            ///
            /// # Panics
            ///
            /// When the denominator is 0 or a cost no longer fits.
            #[must_use]
            pub fn scaled(self, numerator: u64, denominator: u64) -> Self {
                let scale = |value: u64| (value * numerator / denominator).max(1);
                Self { $($name: scale(self.$name),)+ }
            }

            /// Every figure with its source, in the order of this file.
            pub fn rows(&self) -> impl Iterator<Item = CostRow> + use<> {
                [$(CostRow {
                    name: stringify!($name),
                    value: self.$name,
                    source: $source,
                },)+].into_iter()
            }
        }
    };
}

costs! {
    /// One instruction of a kernel.
    kernel_instruction_ps = 1_000,
        "model choice: one interpreted instruction a nanosecond, so that a millisecond of \
         virtual time is a million instructions of real work";
    /// One byte of a context, saved or loaded.
    context_byte_fs = 903,
        "A100: 44.3 MB saved in 40 us, 1.1 TB/s (GPreempt, USENIX ATC 2025)";
    /// One byte copied or filled within the framebuffer.
    copied_byte_fs = 1_286,
        "A100 40 GB data sheet: 1,555 GB/s of memory bandwidth; each byte is read and written";
    /// One byte over the bus: between the framebuffer and a staging slot, guest memory or a peer.
    staged_byte_ps = 40,
        "PCIe 4.0 x16: 31.5 GB/s on the wire, about 25 GB/s of payload in copies";
    /// One byte of an aperture page that is compared by digest.
    hashed_byte_fs = 2_000,
        "model choice: the digest reads at a third of the A100's memory bandwidth";
    /// What every copy costs besides its bytes.
    copy_setup_ns = 1_000,
        "model choice: an asynchronous copy on a warm stream takes one to two microseconds";
    /// Fetching and decoding one entry of a ring.
    entry_ns = 500,
        "model choice: a dependent read of framebuffer takes some hundreds of nanoseconds";
    /// From a bind request of a BAR block to its effect.
    bar_bind_ns = 1_000,
        "model choice: a posted write and its flush over PCIe take about a microsecond";
    /// Resetting one engine.
    engine_reset_ns = 1_000_000,
        "model choice: a hundredth of linux-nvgpu's 100 ms preempt wait, ten times a preemption";
    /// One instruction of the firmware on the microcontroller.
    engine_instruction_ps = 1_000,
        "model choice: a single-issue RISC-V core at 1 GHz";
    /// One byte on the link between two hosts.
    link_byte_ps = 80,
        "100 Gb/s Ethernet: 12.5 GB/s";
    /// From one end of that link to the other.
    link_latency_ns = 10_000,
        "model choice: kernel TCP between two hosts of one rack";
}

const FS_PER_NS: u128 = 1_000_000;

/// Nanoseconds, rounded up, that `byte_count` bytes take.
fn transfer_ns(byte_count: u64, byte_fs: u64) -> u64 {
    let total = u128::from(byte_count) * u128::from(byte_fs);
    u64::try_from(total.div_ceil(FS_PER_NS)).unwrap_or(u64::MAX)
}

impl Costs {
    pub(crate) fn context_ns(&self, byte_count: u64) -> u64 {
        transfer_ns(byte_count, self.context_byte_fs)
    }

    pub(crate) fn copied_ns(&self, byte_count: u64) -> u64 {
        transfer_ns(byte_count, self.copied_byte_fs)
    }

    /// How long a guest's copy of so many bytes takes, within the framebuffer or over the bus.
    pub(crate) fn guest_copy_ns(&self, byte_count: u64, over_bus: bool) -> u64 {
        if over_bus { self.staged_ns(byte_count) } else { self.copied_ns(byte_count) }
    }

    /// Bytes that are copied for a guest in that time.
    pub(crate) fn guest_copy_bytes(&self, ns: u64, over_bus: bool) -> u64 {
        let bus_byte_fs = self.staged_byte_ps.saturating_mul(1_000);
        let byte_fs = if over_bus { bus_byte_fs } else { self.copied_byte_fs };
        let total = u128::from(ns) * FS_PER_NS / u128::from(byte_fs.max(1));
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    pub(crate) fn staged_ns(&self, byte_count: u64) -> u64 {
        transfer_ns(byte_count, self.staged_byte_ps.saturating_mul(1_000))
    }

    pub(crate) fn hashed_ns(&self, byte_count: u64) -> u64 {
        transfer_ns(byte_count, self.hashed_byte_fs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_costs_is_a_tenth_of_the_time() {
        let whole = Costs::default();
        let tenth = whole.scaled(1, 10);
        for bytes in [1 << 20, 1 << 30] {
            for (long, short) in [
                (whole.context_ns(bytes), tenth.context_ns(bytes)),
                (whole.copied_ns(bytes), tenth.copied_ns(bytes)),
                (whole.staged_ns(bytes), tenth.staged_ns(bytes)),
                (whole.hashed_ns(bytes), tenth.hashed_ns(bytes)),
            ] {
                let error = long.abs_diff(short * 10);
                assert!(error * 100 <= long, "{long} and {short}");
            }
        }
    }

    #[test]
    fn a_context_of_the_a100_takes_40_us() {
        assert_eq!(Costs::default().context_ns(44_300_000) / 1_000, 40);
    }

    #[test]
    fn the_bytes_of_a_time_are_copied_by_then() {
        let costs = Costs::default();
        for over_bus in [false, true] {
            for bytes in [0, 1, 4_095, 65_536, 1 << 33] {
                let ns = costs.guest_copy_ns(bytes, over_bus);
                assert!(costs.guest_copy_bytes(ns, over_bus) >= bytes);
            }
            let early_ns = costs.guest_copy_ns(65_536, over_bus) - 1;
            assert_eq!(costs.guest_copy_bytes(early_ns, over_bus) / 65_536, 0);
        }
    }

    #[test]
    fn every_row_has_a_unit_and_a_source() {
        for row in Costs::default().rows() {
            let unit = ["_ns", "_ps", "_fs"].iter().any(|unit| row.name.ends_with(unit));
            assert!(unit && !row.source.is_empty() && row.value > 0, "{row:?}");
        }
    }
}
