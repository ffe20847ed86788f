//! Nobody starves: a vGPU that has work for an engine and may have turns is on it again within a
//! time that follows from what the host was told.
//!
//! Where turns are as long to one another as weights or parts, a vGPU has one in each round, unless
//! it is left out: for a debt, of which each round takes a turn's length off, or since its turn is
//! too short to be worth a switch, for which those of several rounds are put together. Time in
//! which the engine loads, saves or does not let go is nobody's turn; who took it pays it later.

use crate::vgpu::Home;
use crate::world::{VgpuId, World};
use godwit_shim::{Host, SwitchRead};
use godwit_types::{Gfid, Policy, RunlistId, SLICE_NS_FEW, SLICE_NS_MAX, Scheduling, Share};
use std::collections::BTreeMap;

/// What may be lost at once and is not known to be lost before it is over: a stop that escalates
/// through all boundaries and ends in a reset.
const SLACK_NS: u64 = 10_000_000;
const RUNLISTS: [RunlistId; 2] = [RunlistId::COMPUTE, RunlistId::COPY];
/// How long a turn may be: a slice, what was put together for it, and what others went ahead.
const OLD_TURN_NS: u64 = 2 * SLICE_NS_MAX;
/// Rounds without any debt: the rest of the one that is under way, and one that others make longer
/// by going ahead.
const ROUNDS: u64 = 3;

/// Who waits for a host's engines.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) waits: BTreeMap<(Gfid, RunlistId), Wait>,
    /// What each had had too much when it left an engine last.
    debts: BTreeMap<(Gfid, RunlistId), u32>,
    /// Time that was nobody's turn, on each engine.
    lost_ns: BTreeMap<RunlistId, u64>,
    /// Losses and restarts of firmware, after which turns begin anew.
    pub(crate) firmware: (usize, u32),
    /// What turns followed from at the last look, and when that changed.
    rules: Rules,
    changed_ns: u64,
    /// The longest wait, in percent of what it might have been.
    pub(crate) longest: u64,
    /// The longest time from a request to let go of an engine until it was empty.
    pub(crate) slowest_ns: u64,
}

/// A vGPU waits for an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) since_ns: u64,
    lost_ns: u64,
    patience_ns: u64,
}

/// What turns follow from, on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rules {
    how: Scheduling,
    /// Parts or weights of those that may have turns.
    parts: BTreeMap<Gfid, u64>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { how: Scheduling::DEFAULT, parts: BTreeMap::new() }
    }
}

impl Rules {
    /// How long a vGPU with this debt may wait.
    fn patience_ns(&self, gfid: Gfid, debt_ns: u64) -> u64 {
        let part = self.parts[&gfid];
        let sum: u64 = self.parts.values().sum();
        let most = self.parts.values().copied().max().unwrap_or(1);
        let slice_ns = self.how.slice_ns.unwrap_or(SLICE_NS_FEW);
        // Turns are of this length on average, and none is longer than a slice may be.
        let all_ns = slice_ns * self.parts.len() as u64;
        let length_ns = |part: u64| (all_ns * part / sum).min(SLICE_NS_MAX * part / most);
        let whole = match self.how.policy {
            Policy::FixedShare => sum.max(Share::WHOLE.into()),
            Policy::BestEffort | Policy::EqualShare => sum,
        };
        let round_ns = length_ns(whole);
        // A vGPU that had its engines reset too often may have turns of half the length.
        let turn_ns = (length_ns(part) / 2).max(1);
        let shortest_ns = slice_ns / 4;
        let rounds = ROUNDS + (debt_ns + shortest_ns).div_ceil(turn_ns);
        rounds * round_ns + SLACK_NS
    }
}

impl World {
    /// Looks at the vGPUs of a host that its firmware has just worked for.
    pub(crate) fn check_turns(&mut self, at: usize) {
        let rules = self.rules(at);
        self.note_stays(at, &rules);
        let node = &mut self.hosts[at];
        // Firmware on a microcontroller cannot be asked.
        let Some(pump) = node.host.card().pump() else { return };
        let (engine, now_ns) = (pump.engine(), node.host.now_ns());
        let mut starved = Vec::new();
        let Turns { waits, debts, lost_ns, longest, changed_ns, .. } = &mut node.turns;
        for gfid in rules.parts.keys().copied() {
            for runlist in RUNLISTS {
                if !engine.waits(runlist, gfid) {
                    waits.remove(&(gfid, runlist));
                    continue;
                }
                let lost_ns = lost_ns.get(&runlist).copied().unwrap_or(0);
                let wait = waits.entry((gfid, runlist)).or_insert(Wait {
                    since_ns: now_ns,
                    lost_ns,
                    patience_ns: 0,
                });
                let debt_ns = debts.get(&(gfid, runlist)).copied().unwrap_or(0);
                // A turn that began before a change is as long as it was to be.
                let old_ns =
                    if wait.since_ns < *changed_ns + OLD_TURN_NS { OLD_TURN_NS } else { 0 };
                let patience_ns = rules.patience_ns(gfid, debt_ns.into()) + old_ns;
                wait.patience_ns = wait.patience_ns.max(patience_ns);
                let waited_ns = now_ns.saturating_sub(wait.since_ns + lost_ns - wait.lost_ns);
                *longest = (*longest).max(waited_ns * 100 / wait.patience_ns);
                if waited_ns > wait.patience_ns {
                    starved.push((gfid, runlist, waited_ns, wait.patience_ns));
                    wait.since_ns = now_ns;
                }
            }
        }
        waits.retain(|(gfid, _), _| rules.parts.contains_key(gfid));
        for (gfid, runlist, waited_ns, patience_ns) in starved {
            let home = self.vgpus.iter().find(|vgpu| vgpu.is_at(at, gfid));
            let (host, vgpu) = (&self.hosts[at].name, home.map_or("", |vgpu| &vgpu.name));
            self.problem(format!(
                "{host}: {vgpu} starves: it has waited {waited_ns} ns for {runlist:?}, \
                 of {patience_ns}"
            ));
        }
    }

    /// What turns follow from now.
    fn rules(&self, at: usize) -> Rules {
        let node = &self.hosts[at];
        let how = node.scheduling;
        let fb_bytes = node.fb_bytes;
        let part = |profile_bytes: u64, share: Share| match how.policy {
            Policy::FixedShare if share.part == 0 => {
                (profile_bytes * u64::from(Share::WHOLE) / fb_bytes).max(1)
            }
            Policy::FixedShare => share.part.into(),
            Policy::BestEffort | Policy::EqualShare => share.weight.into(),
        };
        let parts = self.vgpus.iter().filter_map(|vgpu| {
            let Home::Host(host, gfid) = vgpu.home else { return None };
            let runs = node.host.card().pump()?.engine().has_turns(gfid);
            (host.0 == at && runs).then(|| (gfid, part(vgpu.profile.fb_bytes, vgpu.share)))
        });
        Rules { how, parts: parts.collect() }
    }

    /// A vGPU leaves its host, with what it owes there.
    pub(crate) fn take_debts(&mut self, vgpu: VgpuId) {
        let Home::Host(host, gfid) = self.vgpus[vgpu.0].home else { return };
        let node = &mut self.hosts[host.0];
        note_debts(&mut node.host, &mut node.turns);
        self.vgpus[vgpu.0].debts_ns =
            RUNLISTS.map(|runlist| node.turns.debts.get(&(gfid, runlist)).copied().unwrap_or(0));
    }

    /// Takes note of what the engines of a host did.
    fn note_stays(&mut self, at: usize, rules: &Rules) {
        let stays = self.hosts[at].host.card_mut().gpu_mut().take_stays();
        self.check_resets(at, &stays);
        let node = &mut self.hosts[at];
        let (firmware, turns) = (node.firmware(), &mut node.turns);
        for stay in stays {
            turns.waits.remove(&(stay.gfid, stay.runlist));
            let asked_ns = stay.asked_ns.unwrap_or(stay.saving_ns).max(stay.loaded_ns);
            let lost_ns = stay.loaded_ns - stay.start_ns + stay.empty_ns.saturating_sub(asked_ns);
            *turns.lost_ns.entry(stay.runlist).or_default() += lost_ns;
        }
        note_debts(&mut node.host, turns);
        if turns.firmware != firmware {
            turns.firmware = firmware;
            turns.waits.clear();
        }
        if turns.rules == *rules {
            return;
        }
        turns.changed_ns = node.host.now_ns();
        // Whoever has come brings along what it owes.
        let came = |gfid: &Gfid| !turns.rules.parts.contains_key(gfid);
        for gfid in rules.parts.keys().copied().filter(came) {
            let Some(vgpu) = self.vgpus.iter().find(|vgpu| vgpu.is_at(at, gfid)) else { continue };
            for (runlist, debt_ns) in RUNLISTS.into_iter().zip(vgpu.debts_ns) {
                let known = turns.debts.entry((gfid, runlist)).or_default();
                *known = (*known).max(debt_ns);
            }
        }
        // Whoever had a long turn before turns became shorter owes the rest.
        if turns.rules.how != rules.how {
            for gfid in rules.parts.keys().copied() {
                for runlist in RUNLISTS {
                    *turns.debts.entry((gfid, runlist)).or_default() += SLICE_NS_MAX as u32;
                }
            }
        }
        turns.rules = rules.clone();
    }
}

fn note_debts(host: &mut Host, turns: &mut Turns) {
    while let Some(read) = host.poll_switch() {
        if let SwitchRead::Switch(switch) = read {
            turns.debts.insert((switch.gfid, switch.runlist), switch.debt_ns);
        }
    }
}
