//! How well the scheduler shares an engine's time, in virtual time: one host, some guests that
//! behave well, and five that do not.
//!
//! What a vGPU *attained* is all the time that its groups had an engine, from the device's own
//! account: from the moment that the group before had left it, since the decision for it is its
//! own, with loading and saving its contexts, being taken off and resets included. Where a group
//! is taken off for one that goes ahead and then goes on, that one has had the time of saving it,
//! and of deciding for it and loading it once more.
//!
//! What it is *due* follows from the policy, and from the limits on abuse: from the moment that the
//! host was told that turns of one are halved, half as much, and the others what that leaves where
//! the policy gives it to them.

mod figures;
mod guests;
mod turns;

pub use figures::{Causes, Part, Quantiles, SwitchTimes};
pub use guests::{Hostile, SchedError};

use figures::Account;
use godwit_shim::{Host, Mcu, SwitchRead};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{
    Engines, Gfid, Identity, Index, Limit, Limits, Measure, Policy, Profile, RUNLIST_COUNT,
    RunlistId, SLICE_FEW_VGPUS, SLICE_NS_FEW, SLICE_NS_MANY, Scheduling, Share, SwitchCause, Table,
};
use guests::{Guest, Mischief, THREADS};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use turns::Turns;

/// How often guests look at what has become of their work. The storms ring as often.
const LOOK_NS: u64 = 20_000;
/// Time before the window, in which everybody's work begins.
const WARM_UP_NS: u64 = 200_000_000;
/// A kernel's instruction takes longer than on the modelled device, and so does a copied byte, so
/// that ten seconds of virtual time are few instructions of ours. Shares do not depend on it.
const SLOWER: u64 = 100;
/// What saving or loading the contexts of a group takes: the A100's whole one, 44.3 MB.
const CONTEXT_NS: u64 = 40_000;
/// Weights of the well-behaved where they are not all the same, in turn.
const WEIGHTS: [u8; 4] = [1, 2, 3, 5];
const RUNLISTS: usize = RUNLIST_COUNT as usize;
const MIB: u64 = 1 << 20;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Who gets the time.
    pub policy: Policy,
    /// vGPUs that behave well, beside one of each hostile kind.
    pub well_behaved: u32,
    /// What things cost: numerator and denominator of a factor.
    pub scale: (u64, u64),
    /// How long, in virtual nanoseconds.
    pub window_ns: u64,
    /// Work that ignores preemption does so until its engine is reset.
    pub hangs: bool,
    /// Shares of the well-behaved are not all the same.
    pub uneven: bool,
    /// Limits on abuse are those that a device starts with.
    pub limited: bool,
}

/// What one vGPU has had of an engine.
#[derive(Clone, Debug, Serialize)]
pub struct VgpuFigures {
    /// Its number.
    pub gfid: u8,
    /// What its guest does.
    pub who: &'static str,
    /// What it is due, in percent of the window.
    pub due: f64,
    /// What it has had, in percent of the window.
    pub attained: f64,
}

/// What came of it, on one engine.
#[derive(Clone, Debug, Serialize)]
pub struct EngineFigures {
    /// Largest |attained - due| / window among the well-behaved, in percent.
    pub share_error: f64,
    /// Largest (attained - due) / window among the hostile, in percent; 0 where none has more than
    /// it is due.
    pub hostile_excess: f64,
    /// Jain's index among the well-behaved, of what each attained of its due.
    pub jain: f64,
    /// What each had.
    pub vgpus: Vec<VgpuFigures>,
    /// What a switch takes.
    pub switches: SwitchTimes,
    /// Why groups left it in the window.
    pub causes: Causes,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Who got the time.
    pub policy: &'static str,
    /// vGPUs that behaved well.
    pub well_behaved: u32,
    /// vGPUs that did not.
    pub hostile: u32,
    /// The factor of the costs.
    pub scale: f64,
    /// Whether one of them hung its engine again and again.
    pub hangs: bool,
    /// Whether shares of the well-behaved were not all the same.
    pub uneven: bool,
    /// Whether there were limits on abuse.
    pub limited: bool,
    /// Virtual time that was measured.
    pub window_ns: u64,
    /// The compute engine.
    pub compute: EngineFigures,
    /// The copy engine, which half of the well-behaved use; shared out among all the same.
    pub copy: EngineFigures,
    /// vGPUs of which the host was told that they do too much of something.
    pub abuses: Vec<String>,
}

/// Runs one setup.
///
/// # Errors
///
/// When a guest cannot be set up, or work of one that behaves well fails.
pub fn measure(setup: &Setup) -> Result<Figures, SchedError> {
    let mut bench = Bench::new(setup)?;
    let end_ns = bench.host.now_ns() + WARM_UP_NS;
    bench.run_until(end_ns)?;
    bench.host.card_mut().gpu_mut().take_stays();
    bench.causes = Table::new([Causes::default(); RUNLISTS]);
    bench.hints_ns = Default::default();
    let begin_ns = bench.host.now_ns();
    bench.run_until(begin_ns + setup.window_ns)?;
    let stays = bench.host.card_mut().gpu_mut().take_stays();
    let turns = [RunlistId::COMPUTE, RunlistId::COPY].map(|id| bench.turns(setup, id));
    let on = |id: RunlistId| stays.iter().filter(move |stay| stay.runlist == id);
    // Firmware decides alike for both engines.
    let decisions_ns = [RunlistId::COMPUTE, RunlistId::COPY]
        .into_iter()
        .flat_map(|id| turns[id.index()].decisions_ns(on(id)));
    let decision_ns_max = decisions_ns.max().unwrap_or(0);
    let account = |id: RunlistId| {
        let (turns, hints_ns) = (&turns[id.index()], &bench.hints_ns[id.index()]);
        Account::new(&stays, hints_ns, id, begin_ns, turns, decision_ns_max)
    };
    let window = begin_ns..bench.host.now_ns();
    Ok(Figures {
        policy: policy_name(setup.policy),
        well_behaved: setup.well_behaved,
        hostile: bench.guests.len() as u32 - setup.well_behaved,
        scale: setup.scale.0 as f64 / setup.scale.1 as f64,
        hangs: setup.hangs,
        uneven: setup.uneven,
        limited: setup.limited,
        window_ns: window.end - window.start,
        compute: bench.figures(setup, &account(RunlistId::COMPUTE), &window),
        copy: bench.figures(setup, &account(RunlistId::COPY), &window),
        abuses: bench.abuses,
    })
}

fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::BestEffort => "best effort",
        Policy::EqualShare => "equal share",
        Policy::FixedShare => "fixed share",
    }
}

/// What each of the well-behaved weighs, and each hostile one.
fn weights(setup: &Setup) -> (Vec<u8>, u8) {
    let of = |number: u32| match setup.uneven {
        true => WEIGHTS[number as usize % WEIGHTS.len()],
        false => 1,
    };
    ((0..setup.well_behaved).map(of).collect(), 1)
}

/// A share of that weight; as a part of the whole with fixed share.
fn share(weight: u8, all: u32) -> Share {
    let part = u32::from(Share::WHOLE) * u32::from(weight) / all;
    Share { weight, part: part as u16, ..Share::DEFAULT }
}

/// A part of the window.
#[derive(Clone, Debug)]
struct Spell {
    /// Virtual nanoseconds.
    during: Range<u64>,
    /// Those whose turns a limit on abuse halves in it.
    shortened: BTreeSet<Gfid>,
}

impl Spell {
    /// What turns of a vGPU are of those that it would have.
    fn rate(&self, gfid: Gfid) -> f64 {
        if self.shortened.contains(&gfid) { 0.5 } else { 1.0 }
    }
}

/// A host with its guests.
struct Bench {
    host: Host,
    guests: Vec<Guest>,
    /// Why groups left an engine.
    causes: Table<RunlistId, Causes, RUNLISTS>,
    /// When the firmware saw that a group was off for one that goes ahead.
    hints_ns: [Vec<u64>; RUNLISTS],
    /// What the host was told of those that do too much of something.
    abuses: Vec<String>,
    /// Since when turns of which of them are halved. A limit's window is longer than any that is
    /// measured, so that lasts.
    shortened_ns: Vec<(u64, Gfid)>,
    /// Who of the well-behaved has an engine, and since when.
    on: [Option<(Gfid, u64)>; RUNLISTS],
    /// How long each guest had each engine so far.
    had_ns: BTreeMap<Gfid, [u64; RUNLISTS]>,
    /// Most of a turn of average length.
    late_ns: u64,
}

impl Bench {
    fn new(setup: &Setup) -> Result<Self, SchedError> {
        let context_bytes = Profile::CONTEXT_HEADER_BYTES + THREADS * Profile::CONTEXT_THREAD_BYTES;
        let slower = Costs {
            kernel_instruction_ps: Costs::default().kernel_instruction_ps * SLOWER,
            copied_byte_fs: Costs::default().copied_byte_fs * SLOWER,
            context_byte_fs: CONTEXT_NS * 1_000_000 / u64::from(context_bytes),
            ..Costs::default()
        };
        let identity = Identity {
            fb_bytes: 512 * MIB,
            bar_bytes: 512 * MIB,
            context_bytes: 512 * MIB,
            context_layout: 1,
            engines: Engines::ALL,
        };
        let (numerator, denominator) = setup.scale;
        let costs = slower.scaled(numerator, denominator);
        let mut host = Host::new(GpuConfig { identity, start_ns: 0, costs }, &Mcu::Native)?;
        let how = Scheduling { policy: setup.policy, ..Scheduling::DEFAULT };
        host.set_scheduling(how).map_err(SchedError::Host)?;
        host.set_limits(&limits(setup.limited)).map_err(SchedError::Host)?;
        let (well, hostile) = weights(setup);
        let all = well.iter().map(|weight| u32::from(*weight)).sum::<u32>()
            + u32::from(hostile) * Hostile::ALL.len() as u32;
        let save_ns = CONTEXT_NS * numerator / denominator;
        let how = Mischief { hangs: setup.hangs, save_ns };
        let mut guests = Vec::new();
        for kind in Hostile::ALL {
            guests.push(Guest::hostile(&mut host, kind, share(hostile, all), how)?);
        }
        for (number, weight) in well.into_iter().enumerate() {
            let copies = number.is_multiple_of(2);
            guests.push(Guest::well_behaved(&mut host, copies, share(weight, all))?);
        }
        let few = guests.len() as u32 <= SLICE_FEW_VGPUS;
        let slice_ns = if few { SLICE_NS_FEW } else { SLICE_NS_MANY };
        let causes = Table::new([Causes::default(); RUNLISTS]);
        let (on, had_ns) = ([None; RUNLISTS], BTreeMap::new());
        Ok(Self {
            host,
            guests,
            causes,
            hints_ns: Default::default(),
            abuses: Vec::new(),
            shortened_ns: Vec::new(),
            on,
            had_ns,
            late_ns: slice_ns / 4 * 3,
        })
    }

    fn run_until(&mut self, end_ns: u64) -> Result<(), SchedError> {
        while self.host.now_ns() < end_ns {
            self.note_switches();
            self.note_abuses();
            let late = self.late();
            for guest in &mut self.guests {
                guest.look(&mut self.host, late)?;
            }
            let next_ns = (self.host.now_ns() + LOOK_NS).min(end_ns);
            while self.host.now_ns() < next_ns {
                self.host.run(next_ns);
            }
        }
        self.note_switches();
        Ok(())
    }

    /// The ring holds far more than happens between two looks.
    fn note_switches(&mut self) {
        while let Some(read) = self.host.poll_switch() {
            let SwitchRead::Switch(switch) = read else { panic!("switches were missed: {read:?}") };
            self.causes[switch.runlist].note(&switch);
            if switch.cause == SwitchCause::Hint {
                self.hints_ns[switch.runlist.index()].push(switch.at_ns);
            }
        }
    }

    fn note_abuses(&mut self) {
        for told in self.host.take_abuses() {
            let guest = self.guests.iter().find(|guest| guest.gfid == told.gfid);
            let who = guest.map_or("?", Guest::name);
            self.abuses.push(format!("{who}: {:?}, {:?}", told.abuse, told.measure));
            if told.measure == Measure::Shorten {
                self.shortened_ns.push((self.host.now_ns(), told.gfid));
            }
        }
    }

    /// Of each engine, who of the well-behaved has it and has had most of a turn. No guest can read
    /// that; one that has measured its neighbours for a while can guess it.
    fn late(&mut self) -> [Option<Gfid>; RUNLISTS] {
        let now_ns = self.host.now_ns();
        let mut on = [None; RUNLISTS];
        for guest in self.guests.iter().filter(|guest| !guest.is_hostile()) {
            let stats = self.host.card().gpu().stats(guest.gfid);
            let had_ns = [stats.compute_busy_ns, stats.copy_busy_ns];
            let before_ns = self.had_ns.insert(guest.gfid, had_ns).unwrap_or(had_ns);
            for at in 0..RUNLISTS {
                if had_ns[at] - before_ns[at] > LOOK_NS / 2 {
                    let since_ns = self.on[at].filter(|(gfid, _)| *gfid == guest.gfid);
                    on[at] = Some(since_ns.unwrap_or((guest.gfid, now_ns)));
                }
            }
        }
        self.on = on;
        on.map(|on| on.filter(|(_, since_ns)| now_ns - since_ns >= self.late_ns).map(|on| on.0))
    }

    fn turns(&self, setup: &Setup, runlist: RunlistId) -> Turns {
        let busy = self.guests.iter().filter(|guest| guest.is_busy(runlist));
        let hurried = self.guests.iter().filter(|guest| guest.hurries());
        let parts: u32 = self.guests.iter().map(|guest| u32::from(guest.share.part)).sum();
        Turns {
            vgpus: self.guests.iter().map(|guest| guest.gfid).collect(),
            busy: busy.map(|guest| guest.gfid).collect(),
            hurried: hurried.map(|guest| guest.gfid).collect(),
            kept: setup.policy.keeps(),
            nobody: setup.policy == Policy::FixedShare && parts < u32::from(Share::WHOLE),
        }
    }

    /// Parts of the window in which turns are as long to one another as before.
    fn spells(&self, window: Range<u64>) -> Vec<Spell> {
        let mut spells = vec![Spell { during: window, shortened: BTreeSet::new() }];
        for (at_ns, gfid) in &self.shortened_ns {
            if let Some(last) = spells.last_mut() {
                let mut next = last.clone();
                next.shortened.insert(*gfid);
                next.during.start = last.during.start.max(*at_ns);
                last.during.end = next.during.start;
                spells.push(next);
            }
        }
        spells
    }

    /// How long a guest is due to have an engine.
    fn due_ns(&self, setup: &Setup, account: &Account, spells: &[Spell], guest: &Guest) -> f64 {
        spells.iter().map(|spell| self.due_in_ns(setup, account, spell, guest)).sum()
    }

    fn due_in_ns(&self, setup: &Setup, account: &Account, spell: &Spell, guest: &Guest) -> f64 {
        let runlist = account.runlist();
        let whole_ns = (spell.during.end - spell.during.start) as f64;
        let weight = |guest: &Guest| f64::from(guest.share.weight) * spell.rate(guest.gfid);
        let weighs = |among: &dyn Fn(&&Guest) -> bool| -> f64 {
            self.guests.iter().filter(among).map(weight).sum()
        };
        match setup.policy {
            // What is left by those that do not use all of theirs, among those that do.
            Policy::BestEffort => {
                let rest = self.guests.iter().filter(|guest| !guest.is_busy(runlist));
                let used_ns: i64 =
                    rest.map(|guest| account.attained_ns(guest.gfid, &spell.during)).sum();
                let left_ns = whole_ns - used_ns as f64;
                left_ns * weight(guest) / weighs(&|guest| guest.is_busy(runlist))
            }
            Policy::EqualShare => whole_ns * weight(guest) / weighs(&|_| true),
            Policy::FixedShare => {
                let part = f64::from(guest.share.part) / f64::from(Share::WHOLE);
                whole_ns * part * spell.rate(guest.gfid)
            }
        }
    }

    fn figures(&self, setup: &Setup, account: &Account, window: &Range<u64>) -> EngineFigures {
        let runlist = account.runlist();
        let spells = self.spells(window.clone());
        let window_ns = (window.end - window.start) as f64;
        let percent = |ns: f64| ns * 100.0 / window_ns;
        let of = |guest: &Guest| VgpuFigures {
            gfid: guest.gfid.raw(),
            who: guest.name(),
            due: percent(self.due_ns(setup, account, &spells, guest)),
            attained: percent(account.attained_ns(guest.gfid, window) as f64),
        };
        let (hostile, well): (Vec<&Guest>, Vec<&Guest>) =
            self.guests.iter().partition(|guest| guest.is_hostile());
        let hostile: Vec<VgpuFigures> = hostile.into_iter().map(of).collect();
        let busy = well.into_iter().filter(|guest| guest.is_busy(runlist));
        let well: Vec<VgpuFigures> = busy.map(of).collect();
        let rate = |one: &VgpuFigures| one.attained / one.due;
        let sum: f64 = well.iter().map(rate).sum();
        let squares: f64 = well.iter().map(|one| rate(one).powi(2)).sum();
        let jain = if squares == 0.0 { 1.0 } else { sum.powi(2) / (well.len() as f64 * squares) };
        let error = well.iter().map(|one| (one.attained - one.due).abs()).fold(0.0, f64::max);
        let excess = hostile.iter().map(|one| one.attained - one.due).fold(0.0, f64::max);
        EngineFigures {
            share_error: error,
            hostile_excess: excess,
            jain,
            vgpus: hostile.into_iter().chain(well).collect(),
            switches: account.switches().clone(),
            causes: self.causes[runlist],
        }
    }
}

/// Those that a device starts with, or none.
fn limits(limited: bool) -> Limits {
    let none = Limit { count: 0, measure: Measure::Report };
    if limited { Limits::DEFAULT } else { Limits { of: [none; 4], ..Limits::DEFAULT } }
}
