//! The BAR block of one vGPU: its window, and a bind that is under way.

use godwit_mmio::device::ApertureRequest;
use godwit_types::{Aperture, BarMode};

/// Why an access through the BAR does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarError {
    /// No window is there, or its vGPU has no partition.
    #[error("no window is bound there")]
    Unbound,
    /// The window is blocked.
    #[error("the window is blocked")]
    Blocked,
    /// The window hands accesses to the host.
    #[error("the window traps to the host")]
    Trapped,
    /// The access goes past the window's or the partition's end.
    #[error("the access crosses the end of the window")]
    Crosses,
}

/// A bind that has not taken effect.
#[derive(Clone, Copy, Debug)]
struct Pending {
    request: ApertureRequest,
    at_ns: u64,
}

/// One BAR block. Until a bind has taken effect, the window is the old one.
#[derive(Debug, Default)]
pub(crate) struct BarBlock {
    window: Option<Aperture>,
    pending: Option<Pending>,
}

impl BarBlock {
    /// Takes up a bind; one that is under way is replaced.
    pub(crate) fn bind(&mut self, request: ApertureRequest, at_ns: u64) {
        self.pending = Some(Pending { request, at_ns });
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.pending.map(|pending| pending.at_ns)
    }

    /// The bind that is due.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<ApertureRequest> {
        let due = self.pending.filter(|pending| pending.at_ns <= now_ns)?;
        self.pending = None;
        Some(due.request)
    }

    /// Takes on a window; one without length is none.
    pub(crate) fn set(&mut self, window: Aperture) {
        self.window = (window.byte_count != 0).then_some(window);
    }

    /// Whether the windows share an address of the BAR.
    pub(crate) fn overlaps(&self, other: &Aperture) -> bool {
        self.window.is_some_and(|own| {
            own.bar_base < other.bar_base.saturating_add(other.byte_count)
                && other.bar_base < own.bar_base.saturating_add(own.byte_count)
        })
    }

    /// The place in the partition of bytes of the window, counted from its start; `None` unless
    /// accesses reach it.
    pub(crate) fn reach(&self, into: u64, byte_count: u64) -> Option<u64> {
        let at = self.window?.bar_base.checked_add(into)?;
        self.resolve(at, byte_count)?.ok()
    }

    /// What an access to `byte_count` bytes at `at` of the BAR meets: the place in the
    /// partition, or why it does not pass. `None` when `at` is not in the window.
    pub(crate) fn resolve(&self, at: u64, byte_count: u64) -> Option<Result<u64, BarError>> {
        let window = self.window?;
        let into = at.checked_sub(window.bar_base).filter(|into| *into < window.byte_count)?;
        Some(match window.mode {
            BarMode::Blocked => Err(BarError::Blocked),
            BarMode::Trap => Err(BarError::Trapped),
            BarMode::Direct if byte_count > window.byte_count - into => Err(BarError::Crosses),
            BarMode::Direct => window.fb_offset.checked_add(into).ok_or(BarError::Crosses),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(mode: BarMode) -> BarBlock {
        let mut block = BarBlock::default();
        block.set(Aperture { bar_base: 0x1000, fb_offset: 0x10_0000, byte_count: 0x2000, mode });
        block
    }

    #[test]
    fn an_access_lands_at_the_offset_or_is_refused_whole() {
        let direct = block(BarMode::Direct);
        assert_eq!(direct.resolve(0x1004, 4), Some(Ok(0x10_0004)));
        assert_eq!(direct.resolve(0x2ffc, 4), Some(Ok(0x10_1ffc)));
        assert_eq!(direct.resolve(0x2ffc, 8), Some(Err(BarError::Crosses)));
        assert_eq!(direct.resolve(0x3000, 1), None);
        assert_eq!(direct.resolve(0xfff, 1), None);
        assert_eq!(block(BarMode::Blocked).resolve(0x1000, 1), Some(Err(BarError::Blocked)));
        assert_eq!(block(BarMode::Trap).resolve(0x1000, 1), Some(Err(BarError::Trapped)));
    }

    #[test]
    fn a_bind_has_no_effect_before_its_time() {
        let mut block = block(BarMode::Direct);
        let aperture =
            Aperture { bar_base: 0, fb_offset: 0, byte_count: 0x1000, mode: BarMode::Blocked };
        block.bind(ApertureRequest { aperture, seq: 1 }, 50);
        assert_eq!(block.take_due(49), None);
        assert_eq!(block.resolve(0x1000, 1), Some(Ok(0x10_0000)));
        assert_eq!(block.take_due(50).map(|due| due.seq), Some(1));
        assert_eq!(block.take_due(51), None);
    }
}
