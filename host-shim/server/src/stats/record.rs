//! What is measured of one vGPU.

use super::histogram::Lengths;
use godwit_control::{EngineStatus, VgpuStats};
use godwit_types::Switch;
use std::collections::VecDeque;

/// How long ago the time begins of which a share is a part, at least where the vGPU is as old.
const WINDOW_NS: u64 = 1_000_000_000;
/// How often it is noted what a vGPU had.
const SAMPLE_NS: u64 = 100_000_000;

/// A vGPU and an engine.
#[derive(Clone, Copy, Debug, Default)]
struct Engine {
    busy_ns: u64,
    /// The GPU's count when it was read last: it begins anew with each partition.
    counted_ns: u64,
    debt_ns: u64,
    switches: u64,
}

/// What a vGPU had of the engines by some time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ns: u64,
    busy_ns: [u64; 2],
}

/// What is noted of a vGPU's moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MoveRecord {
    done: u64,
    pub(super) failed: u64,
    blackouts: Lengths,
    dirty_bytes_per_second: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Record {
    engines: [Engine; 2],
    slices: Lengths,
    preemptions: Lengths,
    /// From the oldest of the window on.
    samples: VecDeque<Sample>,
    now_ns: u64,
    pub(super) faults: u64,
    pub(super) abuses: u64,
    pub(super) moves: MoveRecord,
}

impl Default for MoveRecord {
    fn default() -> Self {
        Self {
            done: 0,
            failed: 0,
            blackouts: Lengths::of_blackouts(),
            dirty_bytes_per_second: None,
        }
    }
}

impl MoveRecord {
    pub(super) fn moved(&mut self, blackout_ns: Option<u64>, dirty_bytes_per_second: Option<u64>) {
        self.done += 1;
        if let Some(blackout_ns) = blackout_ns {
            self.blackouts.add(blackout_ns);
        }
        self.dirty_bytes_per_second = dirty_bytes_per_second;
    }
}

impl Record {
    /// Of a vGPU of which nothing is known yet.
    pub(super) fn new() -> Self {
        Self {
            engines: [Engine::default(); 2],
            slices: Lengths::of_slices(),
            preemptions: Lengths::of_preemptions(),
            samples: VecDeque::new(),
            now_ns: 0,
            faults: 0,
            abuses: 0,
            moves: MoveRecord::default(),
        }
    }

    /// What the GPU has counted for it by now, on each engine.
    pub(super) fn had(&mut self, now_ns: u64, counted_ns: [u64; 2]) {
        for (engine, counted_ns) in self.engines.iter_mut().zip(counted_ns) {
            let is_the_same = counted_ns >= engine.counted_ns;
            engine.busy_ns += counted_ns - if is_the_same { engine.counted_ns } else { 0 };
            engine.counted_ns = counted_ns;
        }
        self.now_ns = now_ns;
        let due = self.samples.back().is_none_or(|last| now_ns >= last.at_ns + SAMPLE_NS);
        if due {
            let busy_ns = self.engines.map(|engine| engine.busy_ns);
            self.samples.push_back(Sample { at_ns: now_ns, busy_ns });
        }
        // The window begins with a sample, the youngest that is old enough.
        while self.samples.get(1).is_some_and(|next| next.at_ns + WINDOW_NS <= now_ns) {
            self.samples.pop_front();
        }
    }

    /// One of its groups has left an engine.
    pub(super) fn switched(&mut self, switch: &Switch) {
        let Some(engine) = self.engines.get_mut(usize::from(switch.runlist.raw())) else { return };
        engine.switches += 1;
        engine.debt_ns = switch.debt_ns.into();
        self.slices.add(switch.run_ns.into());
        if switch.mode.is_some() {
            self.preemptions.add(switch.preempt_ns.into());
        }
    }

    /// Which part of an engine's time it had in the window.
    fn share(&self, at: usize) -> f64 {
        let Some(first) = self.samples.front() else { return 0.0 };
        let window_ns = self.now_ns - first.at_ns;
        let had_ns = self.engines[at].busy_ns - first.busy_ns[at];
        if window_ns == 0 { 0.0 } else { (had_ns as f64 / window_ns as f64).min(1.0) }
    }

    /// As it is told, for the engines that have a name.
    pub(super) fn status(&self, names: [Option<&str>; 2]) -> VgpuStats {
        let engines = self.engines.iter().zip(names).enumerate();
        let engines = engines.filter_map(|(at, (engine, name))| {
            Some(EngineStatus {
                engine: name?.to_owned(),
                busy_ns: engine.busy_ns,
                share: self.share(at),
                debt_ns: engine.debt_ns,
                switches: engine.switches,
            })
        });
        VgpuStats {
            engines: engines.collect(),
            slices: self.slices.status(),
            preemptions: self.preemptions.status(),
            faults: self.faults,
            abuses: self.abuses,
            moves: self.moves.done,
            moves_failed: self.moves.failed,
            blackouts: self.moves.blackouts.status(),
            dirty_bytes_per_second: self.moves.dirty_bytes_per_second,
        }
    }
}
