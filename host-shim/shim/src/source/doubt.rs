//! A destination that cannot say whose a committed vGPU is.

use crate::link::{ALIVE_NS, SILENCE_MAX_NS};

/// What the destination has said of it, in a decline: by itself that says nothing of a committed
/// vGPU, and one of a destination that gives it back comes right before that.
#[derive(Debug)]
pub(super) struct Doubt {
    why: String,
    /// When it was asked last.
    asked_ns: u64,
    told: bool,
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The operator is to know.
    Tell(String),
    /// The destination is asked once more: its operator may have decided.
    Ask,
}

impl Doubt {
    pub(super) fn new(why: &str, now_ns: u64) -> Self {
        Self { why: why.into(), asked_ns: now_ns, told: false }
    }

    /// Whether the operator knows.
    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    pub(super) fn next(&mut self, now_ns: u64) -> Option<Next> {
        let quiet_ns = now_ns.saturating_sub(self.asked_ns);
        if !self.told && quiet_ns >= ALIVE_NS {
            self.told = true;
            return Some(Next::Tell(format!(
                "the destination does not say whose it is: {}; the vGPU stands still here until \
                 operators decide on both sides",
                self.why
            )));
        }
        if quiet_ns < SILENCE_MAX_NS {
            return None;
        }
        self.asked_ns = now_ns;
        Some(Next::Ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_once_and_the_destination_asked_now_and_then() {
        let mut doubt = Doubt::new("it is stuck", 5);
        assert_eq!(doubt.next(4 + ALIVE_NS), None);
        assert!(!doubt.is_told());
        let told = doubt.next(5 + ALIVE_NS);
        assert!(matches!(&told, Some(Next::Tell(why)) if why.contains("it is stuck")), "{told:?}");
        assert!(doubt.is_told());
        let (mut asked, ms) = (0, 1_000_000);
        for now_ns in (0..10 * SILENCE_MAX_NS).step_by(ms) {
            asked += u32::from(doubt.next(now_ns) == Some(Next::Ask));
        }
        assert_eq!(asked, 9);
    }
}
