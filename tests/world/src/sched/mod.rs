//! How well the scheduler shares an engine's time, in virtual time: one host, some guests that
//! behave well, and five that do not.
//!
//! What a vGPU *attained* is all the time that its groups had an engine, from the device's own
//! account: from the moment that the group before had left it, since the decision for it is its
//! own, with loading and saving its contexts, being taken off and resets included.

mod figures;
mod guests;

pub use figures::{Part, Quantiles, SwitchTimes};
pub use guests::{Hostile, SchedError};

use figures::Account;
use godwit_shim::{Host, Mcu};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{
    Engines, Gfid, Identity, Limit, Limits, Measure, Policy, RunlistId, Scheduling, Share,
};
use guests::Guest;
use serde::Serialize;

/// How often guests look at what has become of their work. The storms ring as often.
const LOOK_NS: u64 = 20_000;
/// Time before the window, in which everybody's work begins.
const WARM_UP_NS: u64 = 200_000_000;
/// A kernel's instruction takes longer than on the modelled device, and so does a copied byte, so
/// that ten seconds of virtual time are few instructions of ours. Shares do not depend on it.
const SLOWER: u64 = 100;
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
    /// The kernel that ignores preemption does so until its engine is reset, and is not paused for
    /// it.
    pub hangs: bool,
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
    /// Jain's index among the well-behaved.
    pub jain: f64,
    /// What a switch takes.
    pub switches: SwitchTimes,
    /// Resets of the engine in the window.
    pub resets: u64,
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
    let begin_ns = bench.host.now_ns();
    bench.run_until(begin_ns + setup.window_ns)?;
    let stays = bench.host.card_mut().gpu_mut().take_stays();
    let account = |runlist| Account::new(&stays, runlist, begin_ns, setup.scale);
    let abuses = bench.host.take_abuses();
    let told = abuses.iter().map(|one| {
        let who = bench.guests.iter().find(|guest| guest.gfid == one.gfid);
        format!("{}: {:?}, {:?}", who.map_or("?", Guest::name), one.abuse, one.measure)
    });
    let window_ns = bench.host.now_ns() - begin_ns;
    Ok(Figures {
        policy: policy_name(setup.policy),
        well_behaved: setup.well_behaved,
        hostile: bench.guests.len() as u32 - setup.well_behaved,
        scale: setup.scale.0 as f64 / setup.scale.1 as f64,
        hangs: setup.hangs,
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

/// A host with its guests.
struct Bench {
    host: Host,
    guests: Vec<Guest>,
}

impl Bench {
    fn new(setup: &Setup) -> Result<Self, SchedError> {
        let slower = Costs {
            kernel_instruction_ps: Costs::default().kernel_instruction_ps * SLOWER,
            copied_byte_fs: Costs::default().copied_byte_fs * SLOWER,
            ..Costs::default()
        };
        let identity = Identity {
            fb_bytes: 512 * MIB,
            bar_bytes: 512 * MIB,
            context_bytes: 512 * MIB,
            context_layout: 1,
            engines: Engines::ALL,
        };
        let costs = slower.scaled(setup.scale.0, setup.scale.1);
        let mut host = Host::new(GpuConfig { identity, start_ns: 0, costs }, &Mcu::Native)?;
        let how = Scheduling { policy: setup.policy, ..Scheduling::DEFAULT };
        host.set_scheduling(how).map_err(SchedError::Host)?;
        host.set_limits(&limits(setup.limited)).map_err(SchedError::Host)?;
        let count = setup.well_behaved + Hostile::ALL.len() as u32;
        let part = (u32::from(Share::WHOLE) / count) as u16;
        let share = Share { part, ..Share::DEFAULT };
        let mut guests = Vec::new();
        for hostile in Hostile::ALL {
            guests.push(Guest::hostile(&mut host, hostile, share, setup.hangs)?);
        }
        for number in 0..setup.well_behaved {
            guests.push(Guest::well_behaved(&mut host, number.is_multiple_of(2), share)?);
        }
        Ok(Self { host, guests })
    }

    fn run_until(&mut self, end_ns: u64) -> Result<(), SchedError> {
        while self.host.now_ns() < end_ns {
            for guest in &mut self.guests {
                guest.look(&mut self.host)?;
            }
            let next_ns = (self.host.now_ns() + LOOK_NS).min(end_ns);
            while self.host.now_ns() < next_ns {
                self.host.run(next_ns);
            }
        }
        Ok(())
    }

    fn figures(&self, setup: &Setup, account: &Account, window_ns: u64) -> EngineFigures {
        let well: Vec<Gfid> = self
            .guests
            .iter()
            .filter(|guest| guest.uses(account.runlist()))
            .map(|guest| guest.gfid)
            .collect();
        let hostile = self.guests.iter().filter(|guest| guest.is_hostile()).map(|guest| guest.gfid);
        let attained = |gfid: Gfid| account.attained_ns(gfid) as f64 / window_ns as f64;
        let sum: f64 = well.iter().map(|gfid| attained(*gfid)).sum();
        let due = match setup.policy {
            // Among those that always have work.
            Policy::BestEffort => sum / well.len().max(1) as f64,
            Policy::EqualShare => 1.0 / self.guests.len() as f64,
            Policy::FixedShare => {
                f64::from(u32::from(Share::WHOLE) / self.guests.len() as u32) / 1e4
            }
        };
        let squares: f64 = well.iter().map(|gfid| attained(*gfid).powi(2)).sum();
        let error = well.iter().map(|gfid| (attained(*gfid) - due).abs()).fold(0.0, f64::max);
        let excess = hostile.map(|gfid| attained(gfid) - due).fold(0.0, f64::max);
        EngineFigures {
            share_error: error * 100.0,
            hostile_excess: excess * 100.0,
            jain: if squares == 0.0 { 1.0 } else { sum.powi(2) / (well.len() as f64 * squares) },
            switches: account.switches().clone(),
            resets: account.resets(),
        }
    }
}

/// Those that a device starts with, or none.
fn limits(limited: bool) -> Limits {
    let none = Limit { count: 0, measure: Measure::Report };
    if limited { Limits::DEFAULT } else { Limits { of: [none; 4], ..Limits::DEFAULT } }
}
