//! The card's time beside time.

use std::time::{Duration, Instant};

/// How far a card may be behind: one that computes slower than it models does not catch up.
const LAG_MAX_NS: u64 = 10_000_000;

/// Ties the virtual time of a card to time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    at: Instant,
    at_ns: u64,
}

impl Pace {
    /// The card shows `now_ns` now.
    pub(crate) fn new(now_ns: u64) -> Self {
        Self { at: Instant::now(), at_ns: now_ns }
    }

    /// What the card should show now.
    pub(crate) fn due_ns(&self) -> u64 {
        let elapsed = u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.at_ns.saturating_add(elapsed)
    }

    /// Begins anew where the card is ahead, since somebody has waited for it, or far behind.
    pub(crate) fn follow(&mut self, now_ns: u64) {
        let due_ns = self.due_ns();
        if now_ns > due_ns || due_ns - now_ns > LAG_MAX_NS {
            *self = Self::new(now_ns);
        }
    }

    /// How long it is until the card should show so much.
    pub(crate) fn until(&self, at_ns: u64) -> Duration {
        Duration::from_nanos(at_ns.saturating_sub(self.due_ns()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_is_ahead_or_far_behind_sets_the_pace() {
        let mut pace = Pace::new(5);
        assert!(pace.due_ns() >= 5);
        pace.follow(1_000_000_000_000);
        let due_ns = pace.due_ns();
        assert!((1_000_000_000_000..1_000_100_000_000).contains(&due_ns));
        pace.follow(5);
        assert!(pace.due_ns() < 1_000_000_000_000);
        assert!(pace.until(u64::MAX) > Duration::from_secs(1));
        assert_eq!(pace.until(0), Duration::ZERO);
    }
}
