//! Faults on demand.

use godwit_types::RunlistId;

/// Something that goes wrong once, at its next opportunity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next acknowledge of a preempt request is never written, and no interrupt raised.
    /// The engine does become empty, with its contexts saved.
    AckLost(RunlistId),
    /// The next acknowledge of a preempt request comes this much later, in nanoseconds, than
    /// the engine is empty; not at all if another preempt or reset is requested before.
    AckLate(RunlistId, u64),
    /// The next acknowledge of a preempt request is given twice, with an interrupt each.
    AckDoubled(RunlistId),
    /// The next acknowledge of a preempt request bears a number that nobody asked with.
    AckWrong(RunlistId),
    /// At the next preempt request that meets a kernel or copy at work, its channel keeps the
    /// engine and ignores this request and all others until the engine is reset.
    EngineHang(RunlistId),
    /// The next operation of the privileged copy ring ends in an error and does nothing.
    CopyError,
    /// The next operation that puts bytes into a slot reports another CRC than they have.
    CopyBadCrc,
    /// The next operation of the privileged copy ring takes this many times as long.
    CopySlow(u64),
    /// The next bind of a BAR block stays pending for this much longer, in nanoseconds.
    BarStuckNs(u64),
    /// The next request that closes or opens a vGPU's way to its peers is answered this much
    /// later, in nanoseconds.
    PeersStuckNs(u64),
    /// At the next write to guest memory that is logged, the log loses track of what was written.
    DmaLogLost,
}

/// What an acknowledge does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckFault {
    Lost,
    Late(u64),
    Doubled,
    Wrong,
}

/// Faults that have not happened yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pending: Vec<Fault>,
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) {
        self.pending.push(fault);
    }

    pub(crate) fn pending(&self) -> &[Fault] {
        &self.pending
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Takes the oldest fault that `matches` makes something of.
    fn take<T>(&mut self, matches: impl Fn(Fault) -> Option<T>) -> Option<T> {
        let (at, found) =
            self.pending.iter().enumerate().find_map(|(at, fault)| Some((at, matches(*fault)?)))?;
        self.pending.remove(at);
        Some(found)
    }

    pub(crate) fn take_ack(&mut self, of: RunlistId) -> Option<AckFault> {
        self.take(|fault| match fault {
            Fault::AckLost(id) if id == of => Some(AckFault::Lost),
            Fault::AckLate(id, ns) if id == of => Some(AckFault::Late(ns)),
            Fault::AckDoubled(id) if id == of => Some(AckFault::Doubled),
            Fault::AckWrong(id) if id == of => Some(AckFault::Wrong),
            _ => None,
        })
    }

    pub(crate) fn take_hang(&mut self, of: RunlistId) -> bool {
        self.take(|fault| (fault == Fault::EngineHang(of)).then_some(())).is_some()
    }

    pub(crate) fn take_copy_error(&mut self) -> bool {
        self.take(|fault| (fault == Fault::CopyError).then_some(())).is_some()
    }

    pub(crate) fn take_copy_bad_crc(&mut self) -> bool {
        self.take(|fault| (fault == Fault::CopyBadCrc).then_some(())).is_some()
    }

    pub(crate) fn take_copy_slow(&mut self) -> Option<u64> {
        self.take(|fault| match fault {
            Fault::CopySlow(factor) => Some(factor),
            _ => None,
        })
    }

    pub(crate) fn take_bar_stuck(&mut self) -> Option<u64> {
        self.take(|fault| match fault {
            Fault::BarStuckNs(ns) => Some(ns),
            _ => None,
        })
    }

    pub(crate) fn take_peers_stuck(&mut self) -> Option<u64> {
        self.take(|fault| match fault {
            Fault::PeersStuckNs(ns) => Some(ns),
            _ => None,
        })
    }

    pub(crate) fn take_dma_log_lost(&mut self) -> bool {
        self.take(|fault| (fault == Fault::DmaLogLost).then_some(())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_once_and_only_to_its_own_runlist() {
        let mut faults = Faults::default();
        faults.inject(Fault::AckWrong(RunlistId::COPY));
        faults.inject(Fault::AckLate(RunlistId::COMPUTE, 7));
        assert_eq!(faults.take_ack(RunlistId::COMPUTE), Some(AckFault::Late(7)));
        assert_eq!(faults.take_ack(RunlistId::COMPUTE), None);
        assert_eq!(faults.pending(), [Fault::AckWrong(RunlistId::COPY)]);
        assert!(!faults.take_hang(RunlistId::COPY));
    }
}
