//! How well the scheduler shares an engine's time, in virtual time: one host, some guests that
//! behave well, and five that do not.
//!
//! What a vGPU *attained* is all the time that its groups had an engine, from the device's own
//! account: from the moment that the group before had left it, since the decision for it is its
//! own, with loading and saving its contexts, being taken off and resets included. Where a group
//! is taken off for one that goes ahead, that one has had the time of it, and of loading the group
//! once more.

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
use std::collections::BTreeMap;
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
/// Where a turn may have been kept for one without work, an engine that was empty for longer was
/// not only decided for. At costs of 1.
const DECISION_NS_MAX: u64 = 20_000;
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
    let abuses = bench.host.take_abuses();
    let told = abuses.iter().map(|one| {
        let who = bench.guests.iter().find(|guest| guest.gfid == one.gfid);
        format!("{}: {:?}, {:?}", who.map_or("?", Guest::name), one.abuse, one.measure)
    });
    let account = |runlist: RunlistId| {
        let hints_ns = &bench.hints_ns[runlist.index()];
        Account::new(&stays, hints_ns, runlist, begin_ns, &bench.turns(setup, runlist))
    };
    let window_ns = bench.host.now_ns() - begin_ns;
    Ok(Figures {
        policy: policy_name(setup.policy),
        well_behaved: setup.well_behaved,
        hostile: bench.guests.len() as u32 - setup.well_behaved,
        scale: setup.scale.0 as f64 / setup.scale.1 as f64,
        hangs: setup.hangs,
        uneven: setup.uneven,
        limited: setup.limited,
        window_ns,
        abuses: told.collect(),
        compute: bench.figures(setup, &account(RunlistId::COMPUTE), window_ns),
        copy: bench.figures(setup, &account(RunlistId::COPY), window_ns),
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

/// A host with its guests.
struct Bench {
    host: Host,
    guests: Vec<Guest>,
    /// Why groups left an engine.
    causes: Table<RunlistId, Causes, RUNLISTS>,
    /// When the firmware saw that a group was off for one that goes ahead.
    hints_ns: [Vec<u64>; RUNLISTS],
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
            on,
            had_ns,
            late_ns: slice_ns / 4 * 3,
        })
    }

    fn run_until(&mut self, end_ns: u64) -> Result<(), SchedError> {
        while self.host.now_ns() < end_ns {
            self.note_switches();
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
        let parts: u32 = self.guests.iter().map(|guest| u32::from(guest.share.part)).sum();
        Turns {
            vgpus: self.guests.iter().map(|guest| guest.gfid).collect(),
            busy: busy.map(|guest| guest.gfid).collect(),
            kept: setup.policy.keeps(),
            nobody: setup.policy == Policy::FixedShare && parts < u32::from(Share::WHOLE),
            cut_ns: DECISION_NS_MAX * setup.scale.0 / setup.scale.1,
        }
    }

    /// What part of the window a guest is due.
    fn due(&self, setup: &Setup, account: &Account, window_ns: u64, guest: &Guest) -> f64 {
        let weight = |guest: &Guest| f64::from(guest.share.weight);
        let weighs = |among: &dyn Fn(&&Guest) -> bool| -> f64 {
            self.guests.iter().filter(among).map(weight).sum()
        };
        match setup.policy {
            // What is left by those that do not use all of theirs, among those that do.
            Policy::BestEffort => {
                let runlist = account.runlist();
                let rest = self.guests.iter().filter(|guest| !guest.is_busy(runlist));
                let used_ns: u64 = rest.map(|guest| account.attained_ns(guest.gfid)).sum();
                let left = 1.0 - used_ns as f64 / window_ns as f64;
                left * weight(guest) / weighs(&|guest| guest.is_busy(runlist))
            }
            Policy::EqualShare => weight(guest) / weighs(&|_| true),
            Policy::FixedShare => f64::from(guest.share.part) / f64::from(Share::WHOLE),
        }
    }

    fn figures(&self, setup: &Setup, account: &Account, window_ns: u64) -> EngineFigures {
        let runlist = account.runlist();
        let of = |guest: &Guest| {
            let attained = account.attained_ns(guest.gfid) as f64 / window_ns as f64;
            (attained, self.due(setup, account, window_ns, guest))
        };
        let well = self.guests.iter().filter(|guest| !guest.is_hostile() && guest.is_busy(runlist));
        let well: Vec<(f64, f64)> = well.map(of).collect();
        let hostile = self.guests.iter().filter(|guest| guest.is_hostile()).map(of);
        let sum: f64 = well.iter().map(|(attained, due)| attained / due).sum();
        let squares: f64 = well.iter().map(|(attained, due)| (attained / due).powi(2)).sum();
        let error = well.iter().map(|(attained, due)| (attained - due).abs()).fold(0.0, f64::max);
        let excess = hostile.map(|(attained, due)| attained - due).fold(0.0, f64::max);
        EngineFigures {
            share_error: error * 100.0,
            hostile_excess: excess * 100.0,
            jain: if squares == 0.0 { 1.0 } else { sum.powi(2) / (well.len() as f64 * squares) },
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
