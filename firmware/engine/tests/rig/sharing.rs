//! vGPUs that share an engine, and what each has of it.

use super::{MS, Rig};
use godwit_engine::Command;
use godwit_types::{Policy, Scheduling, Share};

/// Up to eight vGPUs have slices of this length.
pub(crate) const SLICE: u64 = 2 * MS;

pub(crate) fn scheduling(policy: Policy) -> Scheduling {
    Scheduling { policy, ..Scheduling::DEFAULT }
}

/// vGPUs that are due this, of which the first ones have work without end.
pub(crate) fn sharing(policy: Policy, shares: &[Share], busy: usize) -> Rig {
    let mut rig = Rig::new();
    for (raw, share) in (1..).zip(shares) {
        rig.idle(raw, *share, 0);
    }
    rig.must(1, Command::SetScheduling(scheduling(policy)));
    (1..).take(busy).for_each(|raw| rig.ring(raw));
    rig
}

/// What each has of the next `ns`, in percent.
pub(crate) fn parts(rig: &mut Rig, count: u8, ns: u64) -> Vec<f64> {
    let from_ns = rig.now_ns;
    rig.pass(ns);
    let part = |raw| rig.attained_ns(raw, from_ns) as f64 * 100.0 / ns as f64;
    (1..=count).map(part).collect()
}

pub(crate) fn near(found: &[f64], due: &[f64]) {
    let off =
        found.iter().zip(due).any(|(found, due)| (found - due).abs() > 0.05f64.max(0.02 * due));
    assert!(!off && found.len() == due.len(), "{found:?}, and {due:?} are due");
}
