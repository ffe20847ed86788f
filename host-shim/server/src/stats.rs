//! What is measured of a host and its vGPUs.
//!
//! Two things tell of an engine's time. Each time that a group leaves an engine the firmware tells
//! how long it had it, how long it took to let go and what it has had too much: slices, preemptions
//! and debts are from there. One that is alone never leaves, so what a vGPU had of an engine so far
//! is read from the GPU's own count, which goes on with the group that is on the engine now and has
//! loading, saving and resets in it.
//!
//! Whoever looks may look at any time: no count goes back while a vGPU is on its host, though the
//! GPU's begin anew with each partition that it is given.

mod histogram;
mod record;
#[cfg(test)]
mod tests;

pub(crate) use record::MoveRecord;

use godwit_control::{Firmware, HostMoves, VgpuStats};
use godwit_shim::{Host, LossCause, SwitchRead};
use godwit_types::{Gfid, RunlistId};
use record::Record;
use std::collections::BTreeMap;

/// The engines of a GPU, and what they are called.
const ENGINES: [(RunlistId, &str); 2] =
    [(RunlistId::COMPUTE, "compute"), (RunlistId::COPY, "copy")];

/// See the module.
#[derive(Debug)]
pub(crate) struct HostStats {
    /// Names of the host's engines, each at its place in [`ENGINES`].
    engines: [Option<&'static str>; 2],
    vgpus: BTreeMap<Gfid, Record>,
    /// Faults of those that had an id before.
    faults_before: BTreeMap<Gfid, u64>,
    switches_lost: u64,
    moves: HostMoves,
}

impl HostStats {
    pub(crate) fn new(host: &mut Host) -> Self {
        let there = host.identity().engines;
        let engines = ENGINES.map(|(runlist, name)| there.has(runlist).then_some(name));
        Self {
            engines,
            vgpus: BTreeMap::new(),
            faults_before: BTreeMap::new(),
            switches_lost: 0,
            moves: HostMoves::default(),
        }
    }

    /// Takes what has happened since the last time.
    pub(crate) fn collect(&mut self, host: &mut Host) {
        let now_ns = host.now_ns();
        for (gfid, _) in host.vgpus() {
            // One that is being made or restored may come to nothing.
            let Some(record) = self.vgpus.get_mut(&gfid) else { continue };
            let counts = host.card().gpu().stats(gfid);
            record.had(now_ns, [counts.compute_busy_ns, counts.copy_busy_ns]);
            let before = self.faults_before.get(&gfid).copied().unwrap_or(0);
            record.faults = host.fault_count(gfid) - before;
        }
        while let Some(read) = host.poll_switch() {
            match read {
                SwitchRead::Switch(switch) => {
                    if let Some(record) = self.vgpus.get_mut(&switch.gfid) {
                        record.switched(&switch);
                    }
                }
                SwitchRead::Overrun(count) => self.switches_lost += u64::from(count),
            }
        }
    }

    /// A vGPU does too much of something.
    pub(crate) fn abused(&mut self, gfid: Gfid) {
        if let Some(record) = self.vgpus.get_mut(&gfid) {
            record.abuses += 1;
        }
    }
}

/// What operations have to tell.
impl HostStats {
    /// A vGPU was moved, suspended or resumed; how long it stood still if it was moved, and what it
    /// wrote in a second between the rounds, if there were some. Whoever has it afterwards is told,
    /// not who had it: see [`Self::forget`].
    pub(crate) fn moved(
        &mut self,
        gfid: Gfid,
        blackout_ns: Option<u64>,
        dirty_bytes_per_second: Option<u64>,
    ) {
        self.record(gfid).moves.moved(blackout_ns, dirty_bytes_per_second);
    }

    /// A move, suspend or resume of a vGPU of this host did not come to pass.
    pub(crate) fn failed(&mut self, gfid: Gfid) {
        self.record(gfid).moves.failed += 1;
        self.moves.failed += 1;
    }

    /// A vGPU has come from elsewhere, or out of a file.
    pub(crate) fn came(&mut self) {
        self.moves.came += 1;
    }

    /// A vGPU has gone elsewhere, or into a file.
    pub(crate) fn gone(&mut self) {
        self.moves.gone += 1;
    }

    /// A vGPU is not on this host any more: the next one with its id begins at zero. Where it goes
    /// to another host of the server, what was noted of its moves goes with it.
    pub(crate) fn forget(&mut self, host: &mut Host, gfid: Gfid) -> MoveRecord {
        // What is told of it and was not read yet is not the next one's.
        self.collect(host);
        self.faults_before.insert(gfid, host.fault_count(gfid));
        self.vgpus.remove(&gfid).map(|record| record.moves).unwrap_or_default()
    }

    /// A vGPU has come from another host of the server, with what was noted of its moves there.
    pub(crate) fn remember(&mut self, gfid: Gfid, moves: MoveRecord) {
        self.record(gfid).moves = moves;
    }

    fn record(&mut self, gfid: Gfid) -> &mut Record {
        self.vgpus.entry(gfid).or_insert_with(Record::new)
    }
}

/// What is told.
impl HostStats {
    /// What was measured of a vGPU: nothing yet, where it has only just come.
    pub(crate) fn vgpu(&self, gfid: Gfid) -> VgpuStats {
        match self.vgpus.get(&gfid) {
            Some(record) => record.status(self.engines),
            None => Record::new().status(self.engines),
        }
    }

    /// How the firmware fares.
    pub(crate) fn firmware(&self, host: &Host) -> Firmware {
        let card = host.card();
        // Firmware that has lost a vGPU runs.
        let has_ended = |cause: &LossCause| !matches!(cause, LossCause::Vgpus(_));
        let losses = card.losses().iter().filter(|(_, loss)| has_ended(&loss.cause)).count();
        Firmware {
            losses: losses as u64,
            lost: card.is_lost(),
            log_lost_bytes: card.log_lost_bytes(),
            switches_lost: self.switches_lost,
        }
    }

    /// What came to the host and went.
    pub(crate) fn moves(&self) -> HostMoves {
        self.moves
    }
}
