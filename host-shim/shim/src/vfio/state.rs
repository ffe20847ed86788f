//! The states of VFIO migration v2, and the arcs between them.

/// A state of a migrating device, numbered as in `include/uapi/linux/vfio.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MigrationState {
    /// A transition failed half way; only a reset leads out of it.
    Error = 0,
    /// It stands still: no DMA, no interrupt, no change of its state.
    Stop = 1,
    /// It runs.
    Running = 2,
    /// It stands still, and its state is read.
    StopCopy = 3,
    /// It stands still, and its state is written.
    Resuming = 4,
    /// It runs, and reaches no peer.
    RunningP2p = 5,
    /// It runs, and its state is read.
    PreCopy = 6,
    /// Both of these.
    PreCopyP2p = 7,
}

impl MigrationState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Error,
        Self::Stop,
        Self::Running,
        Self::StopCopy,
        Self::Resuming,
        Self::RunningP2p,
        Self::PreCopy,
        Self::PreCopyP2p,
    ];

    /// The state of this number.
    pub fn new(raw: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(raw).ok()?).copied()
    }

    /// Whether a data session is open in which the state is read.
    pub fn saves(self) -> bool {
        matches!(self, Self::PreCopy | Self::PreCopyP2p | Self::StopCopy)
    }

    /// Whether the vGPU runs.
    pub fn runs(self) -> bool {
        matches!(self, Self::Running | Self::RunningP2p | Self::PreCopy | Self::PreCopyP2p)
    }

    /// Whether the way to peers is open.
    pub fn reaches_peers(self) -> bool {
        matches!(self, Self::Running | Self::PreCopy)
    }

    /// The arcs that lead out of a state. Each is one thing that the device does.
    fn arcs(self) -> &'static [Self] {
        match self {
            Self::Error => &[],
            Self::Stop => &[Self::StopCopy, Self::Resuming, Self::RunningP2p],
            Self::Running => &[Self::RunningP2p, Self::PreCopy],
            Self::StopCopy | Self::Resuming => &[Self::Stop],
            Self::RunningP2p => &[Self::Stop, Self::Running, Self::PreCopyP2p],
            Self::PreCopy => &[Self::Running, Self::PreCopyP2p],
            Self::PreCopyP2p => &[Self::StopCopy, Self::RunningP2p, Self::PreCopy],
        }
    }

    /// The next state on the way to another one; `None`: there is no way.
    ///
    /// The way is the shortest, and does not lead through the inside of the saving group: a
    /// session that was not asked for would only be thrown away. So STOP_COPY does not lead back
    /// to pre-copy, and nothing leads to ERROR or out of it.
    pub fn next(self, to: Self) -> Option<Self> {
        if self == to || self == Self::Error || to == Self::Error {
            return (self == to && to != Self::Error).then_some(to);
        }
        if self == Self::StopCopy && to.saves() {
            return None;
        }
        // Breadth first, from the goal backwards: at most eight states, each looked at once.
        let mut distance = [usize::MAX; Self::ALL.len()];
        let mut queue = std::collections::VecDeque::from([to]);
        distance[to as usize] = 0;
        while let Some(state) = queue.pop_front() {
            // What lies between may not be in the saving group, unless the way stays in it.
            let passes = state == to || !state.saves() || (self.saves() && to.saves());
            for from in Self::ALL {
                let known = distance[from as usize] != usize::MAX;
                if passes && !known && from.arcs().contains(&state) {
                    distance[from as usize] = distance[state as usize] + 1;
                    queue.push_back(from);
                }
            }
        }
        let reached = self.arcs().iter().filter(|next| distance[**next as usize] != usize::MAX);
        let inside = |next: &Self| next.saves() && !(self.saves() && to.saves());
        let allowed = reached.filter(|next| **next == to || !inside(next));
        allowed.min_by_key(|next| distance[**next as usize]).copied()
    }
}

impl std::fmt::Display for MigrationState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "ERROR",
            Self::Stop => "STOP",
            Self::Running => "RUNNING",
            Self::StopCopy => "STOP_COPY",
            Self::Resuming => "RESUMING",
            Self::RunningP2p => "RUNNING_P2P",
            Self::PreCopy => "PRE_COPY",
            Self::PreCopyP2p => "PRE_COPY_P2P",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::MigrationState::{
        self, Error, PreCopy, PreCopyP2p, Resuming, Running, RunningP2p, Stop, StopCopy,
    };

    /// The states on the way, without the first.
    fn way(from: MigrationState, to: MigrationState) -> Option<Vec<MigrationState>> {
        let (mut at, mut passed) = (from, Vec::new());
        loop {
            let next = at.next(to)?;
            if next == at {
                return Some(passed);
            }
            at = next;
            passed.push(at);
            assert!(passed.len() < 8, "{from} to {to}: {passed:?}");
        }
    }

    /// The combination transitions that Linux names, in `vfio_mig_get_next_state`.
    #[test]
    fn ways_are_those_of_the_kernel() {
        for (from, passed) in [
            (PreCopy, vec![PreCopyP2p, StopCopy]),
            (PreCopy, vec![Running, RunningP2p]),
            (PreCopy, vec![Running, RunningP2p, Stop]),
            (PreCopy, vec![Running, RunningP2p, Stop, Resuming]),
            (PreCopyP2p, vec![RunningP2p, Running]),
            (PreCopyP2p, vec![RunningP2p, Stop]),
            (PreCopyP2p, vec![RunningP2p, Stop, Resuming]),
            (PreCopyP2p, vec![PreCopy]),
            (Resuming, vec![Stop, RunningP2p]),
            (Resuming, vec![Stop, RunningP2p, PreCopyP2p]),
            (Resuming, vec![Stop, RunningP2p, Running]),
            (Resuming, vec![Stop, RunningP2p, Running, PreCopy]),
            (Resuming, vec![Stop, StopCopy]),
            (Running, vec![RunningP2p, PreCopyP2p]),
            (Running, vec![RunningP2p, Stop]),
            (Running, vec![RunningP2p, Stop, Resuming]),
            (Running, vec![RunningP2p, Stop, StopCopy]),
            (RunningP2p, vec![Running, PreCopy]),
            (RunningP2p, vec![Stop, Resuming]),
            (RunningP2p, vec![Stop, StopCopy]),
            (Stop, vec![RunningP2p, PreCopyP2p]),
            (Stop, vec![RunningP2p, Running]),
            (Stop, vec![RunningP2p, Running, PreCopy]),
            (StopCopy, vec![Stop, Resuming]),
            (StopCopy, vec![Stop, RunningP2p]),
            (StopCopy, vec![Stop, RunningP2p, Running]),
        ] {
            assert_eq!(way(from, *passed.last().unwrap()), Some(passed.clone()), "{from}");
        }
    }

    #[test]
    fn nothing_leads_to_error_or_out_of_it_nor_back_to_precopy() {
        for state in MigrationState::ALL {
            assert_eq!(state.next(Error), None, "{state}");
            assert_eq!(Error.next(state), None, "{state}");
            if state != Error {
                assert_eq!(state.next(state), Some(state));
            }
        }
        for to in [PreCopy, PreCopyP2p] {
            assert_eq!(StopCopy.next(to), None);
        }
    }

    #[test]
    fn every_other_state_is_reached_by_arcs() {
        for (from, to) in
            MigrationState::ALL.iter().flat_map(|a| MigrationState::ALL.map(|b| (*a, b)))
        {
            let blocked =
                from == Error || to == Error || (from == StopCopy && to != StopCopy && to.saves());
            assert_eq!(way(from, to).is_none(), blocked, "{from} to {to}");
            let mut at = from;
            for next in way(from, to).unwrap_or_default() {
                assert!(at.arcs().contains(&next), "{from} to {to}: {at} to {next}");
                at = next;
            }
        }
    }

    #[test]
    fn numbers_are_those_of_the_uapi() {
        for (raw, state) in (0..).zip(MigrationState::ALL) {
            assert_eq!((state as u32, MigrationState::new(raw)), (raw, Some(state)));
        }
        assert_eq!(MigrationState::new(8), None);
    }
}
