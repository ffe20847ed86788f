//! When a live save makes another round, when it stops the vGPU, and when it gives up.
//!
//! Without a bound there are rounds until one is small enough, or there were enough of them. With
//! one, there are rounds until what is left fits into it, by the rate at which the rounds before
//! went. Where they do not become smaller, the vGPU writes as fast as it is read: it has less and
//! less of its own turns then. After the stop it is looked at once more: if what is left does not
//! fit after all, the vGPU runs on.

use crate::host::Host;
use crate::save::{SaveError, SaveOptions, SaveState, SaveStats, Saver};
use crate::stream::StreamVersion;
use godwit_mmio::{SharedWords, SwitchRead, SwitchReader};
use godwit_types::{Gfid, PAGE_BYTES, SwitchCause, Throttle};

/// Rounds while the vGPU runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// It is stopped, or the bound cannot be kept, after this many rounds; at least one is made.
    pub rounds_max: u32,
    /// Without a bound, it is stopped as soon as a round had this many pages or fewer.
    pub pages_enough: u32,
    /// How long it may stand still; `None`: as long as it takes.
    pub downtime: Option<Downtime>,
}

/// A bound on how long a vGPU stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downtime {
    /// From the last instruction at the source to the first at the destination, in nanoseconds.
    pub max_ns: u64,
    /// What happens when that cannot be kept.
    pub otherwise: Otherwise,
}

/// What happens when a bound cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The move is given up, and the vGPU goes on at full speed.
    GiveUp,
    /// It is moved all the same.
    Move,
}

/// What is known of how long a save still takes. Bytes and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes of the round that is under way or was last; before the first is counted, all that the
    /// vGPU may have.
    pub round_bytes: u64,
    /// At which rate rounds went so far, in bytes a second; `None`: none was large enough to tell.
    pub rate: Option<u64>,
    /// How long the vGPU would stand still if it were stopped now, and had its turn as soon as it
    /// is there.
    pub downtime_ns: Option<u64>,
}

/// How far a paced save is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaceState {
    /// The descriptor is written; [`PacedSaver::go_on`] when whoever gets it agrees.
    Described,
    /// Under way.
    Working,
    /// The guest is to be paused, since its vGPU stops next; then [`PacedSaver::guest_paused`].
    WantsPause,
    /// The stop was taken back: the vGPU runs, and its guest is to go on. Said once.
    RunsOn,
    /// The whole state is written. The vGPU stands still.
    Complete,
    /// It is over without a state. The vGPU is as it was before.
    Undone(SaveError),
}

/// What the other end has to do with how long a vGPU stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Far {
    /// A message there and its answer.
    pub(crate) round_trip_ns: u64,
}

/// Of a bound this part is left for what is not known: an estimate has to fit into the rest.
const SPARE_PART: u64 = 4;
/// A round of fewer bytes says nothing of the rate.
const TELLING_BYTES: u64 = 256 * 1024;
/// A round that is not smaller than this part of the one before, in percent, is not smaller.
const SMALLER_PERCENT: u64 = 75;
/// So often a stop is taken back before the bound counts as one that cannot be kept.
const STOPS_MAX: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The saver goes on by itself.
    Saves,
    /// The guest is being paused.
    Pausing,
    /// The vGPU was stopped, and it is not known yet what is left.
    Stopping,
    /// It is being let run again.
    Returning,
}

/// A saver whose rounds and stop follow a plan.
#[derive(Debug)]
pub(crate) struct PacedSaver {
    saver: Saver,
    live: Option<Live>,
    far: Far,
    step: Step,
    throttle: Throttle,
    /// When the round began, and what had been taken of the stream by then.
    began_ns: u64,
    taken_before: u64,
    taken: u64,
    /// How long the log takes to be taken, which compares the aperture.
    flip_ns: u64,
    /// Pages of the round before.
    pages_before: Option<u32>,
    rate: Option<u64>,
    /// How long the round before took.
    round_ns: u64,
    stops: u32,
    /// What the firmware tells of who leaves the engines; when the vGPU last did with work left.
    switches: SwitchReader<SharedWords>,
    ran_ns: Option<u64>,
    /// Since when it is to be stopped as soon as it has had a turn, or is stopped.
    pausing_ns: u64,
    /// Bytes that were taken, and wait, sealed, for the link.
    sealed_bytes: u64,
}

impl PacedSaver {
    /// Starts to save a vGPU that runs: writes the descriptor. `live`: `None` stops it first.
    ///
    /// `None`: the host has no such vGPU.
    pub(crate) fn new(
        host: &mut Host,
        gfid: Gfid,
        options: SaveOptions,
        live: Option<Live>,
    ) -> Option<Self> {
        Some(Self {
            saver: Saver::new(host, gfid, options)?,
            live,
            far: Far::default(),
            step: Step::Saves,
            throttle: Throttle::NONE,
            began_ns: 0,
            taken_before: 0,
            taken: 0,
            flip_ns: 0,
            pages_before: None,
            rate: None,
            round_ns: 0,
            stops: 0,
            switches: SwitchReader::new(host.card().words().clone()),
            ran_ns: None,
            pausing_ns: 0,
            sealed_bytes: 0,
        })
    }

    /// Which vGPU is saved.
    pub(crate) fn gfid(&self) -> Gfid {
        self.saver.gfid()
    }

    /// What was produced so far.
    pub(crate) fn stats(&self) -> SaveStats {
        self.saver.stats()
    }

    /// Bytes of the stream that wait to be taken.
    pub(crate) fn buffered(&self) -> usize {
        self.saver.buffered()
    }

    /// Takes bytes of the stream, in order.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Vec<u8> {
        let bytes = self.saver.take(bytes_max);
        self.taken += bytes.len() as u64;
        bytes
    }

    /// The version of the records that follow the descriptor.
    pub(crate) fn set_version(&mut self, version: StreamVersion) {
        self.saver.set_version(version);
    }

    /// So many bytes that were taken still wait for the link.
    pub(crate) fn note_sealed(&mut self, bytes: usize) {
        self.sealed_bytes = bytes as u64;
    }

    /// Whoever gets the stream has agreed to the descriptor.
    pub(crate) fn go_on(&mut self, host: &mut Host, far: Far) {
        self.far = far;
        self.saver.go_on(host);
    }

    /// The guest does not run any more.
    pub(crate) fn guest_paused(&mut self, host: &mut Host) {
        if self.step == Step::Pausing {
            self.step = Step::Stopping;
            self.pausing_ns = host.now_ns();
            self.note_round(host);
            self.saver.stop(host);
        }
    }

    /// Gives up, unless it is over. A complete save is given up too.
    pub(crate) fn give_up(&mut self, host: &mut Host) {
        self.saver.give_up(host);
    }

    /// What is known of how long it still takes.
    pub(crate) fn estimate(&self, host: &Host) -> Estimate {
        let all = host.vgpu(self.gfid()).map_or(0, |vgpu| vgpu.profile.fb_bytes);
        let all_pages = u32::try_from(all / u64::from(PAGE_BYTES)).unwrap_or(u32::MAX);
        let pages = self.saver.round_pages().unwrap_or(all_pages);
        Estimate {
            round_bytes: u64::from(pages) * u64::from(PAGE_BYTES),
            rate: self.rate,
            downtime_ns: self.rate.map(|_| self.downtime_ns(host, pages)),
        }
    }

    /// Whether a vGPU that is complete would run at the destination within the bound, if that was
    /// told now. Without a bound, or where it does not matter: yes.
    pub(crate) fn is_in_time(&self, host: &Host) -> bool {
        self.downtime().is_none_or(|downtime| {
            downtime.otherwise == Otherwise::Move
                || self.still_ns(host).saturating_add(self.far.round_trip_ns) <= downtime.max_ns
        })
    }

    /// How long it has stood still: since the engines let go of it, if it had work.
    fn still_ns(&self, host: &Host) -> u64 {
        host.now_ns().saturating_sub(self.ran_ns.unwrap_or(self.pausing_ns).min(host.now_ns()))
    }

    /// Goes on as far as it can.
    pub(crate) fn step(&mut self, host: &mut Host) -> PaceState {
        self.note_switches();
        loop {
            let state = self.saver.step(host);
            if self.step == Step::Returning && !self.saver.is_stopped() {
                self.step = Step::Saves;
                return PaceState::RunsOn;
            }
            return match (state, self.step) {
                (SaveState::Described, _) => PaceState::Described,
                (SaveState::Complete, _) => PaceState::Complete,
                (SaveState::Undone(why), _) => PaceState::Undone(why),
                (SaveState::Between, Step::Pausing) if self.has_just_run(host) => {
                    PaceState::WantsPause
                }
                (SaveState::Between, Step::Pausing) => PaceState::Working,
                (SaveState::Between, _) => {
                    if let Err(why) = self.between(host) {
                        self.saver.undo(host, why);
                    }
                    continue;
                }
                (SaveState::Working, Step::Stopping) => {
                    self.stopping(host);
                    PaceState::Working
                }
                (SaveState::Working, _) => {
                    self.note_flip(host);
                    PaceState::Working
                }
            };
        }
    }

    fn downtime(&self) -> Option<Downtime> {
        self.live.and_then(|live| live.downtime)
    }

    /// A round has ended, or none has begun.
    fn between(&mut self, host: &mut Host) -> Result<(), SaveError> {
        let Some(live) = self.live else {
            self.pause(host);
            return Ok(());
        };
        let Some(pages) = self.saver.round_pages() else {
            self.round(host);
            return Ok(());
        };
        self.note_rate(host);
        let rounds = self.saver.stats().rounds;
        let Some(downtime) = live.downtime else {
            if pages <= live.pages_enough || rounds >= live.rounds_max {
                self.pause(host);
            } else {
                self.round(host);
            }
            return Ok(());
        };
        let bound_ns = downtime.max_ns - downtime.max_ns / SPARE_PART;
        if self.downtime_ns(host, pages) <= bound_ns {
            self.pause(host);
            return Ok(());
        }
        let smaller = self
            .pages_before
            .is_none_or(|before| u64::from(pages) * 100 < u64::from(before) * SMALLER_PERCENT);
        // The first round is of everything there is, so the second is the first that tells.
        let harder = if smaller || rounds < 2 { None } else { self.throttle.harder() };
        if rounds >= live.rounds_max || self.stops >= STOPS_MAX {
            return self.cannot(host, downtime);
        }
        self.throttle = harder.unwrap_or(self.throttle);
        self.round(host);
        Ok(())
    }

    /// The guest is to be paused next.
    fn pause(&mut self, host: &Host) {
        self.step = Step::Pausing;
        self.pausing_ns = host.now_ns();
        self.ran_ns = None;
    }

    /// Whether now is the time to stop it, since it has just had its turn: it would stand still for
    /// the turns of others, too, if it was stopped before its next one. One that has had none in
    /// two rounds has no work, and one without a bound or neighbours can be stopped at any time.
    fn has_just_run(&self, host: &Host) -> bool {
        let round_ns = host.round_ns();
        self.downtime().is_none()
            || self.ran_ns.is_some()
            || host.now_ns() - self.pausing_ns >= 2 * round_ns
    }

    /// Notes when the engines let go of it.
    fn note_switches(&mut self) {
        while let Some(read) = self.switches.poll() {
            if let SwitchRead::Switch(switch) = read
                && switch.gfid == self.gfid()
            {
                self.ran_ns = (switch.cause != SwitchCause::Idle).then_some(switch.at_ns);
            }
        }
    }

    fn cannot(&mut self, host: &Host, downtime: Downtime) -> Result<(), SaveError> {
        match downtime.otherwise {
            Otherwise::GiveUp => Err(SaveError::Downtime { max_ns: downtime.max_ns }),
            Otherwise::Move => {
                self.pause(host);
                Ok(())
            }
        }
    }

    fn round(&mut self, host: &mut Host) {
        self.pages_before = self.saver.round_pages();
        self.note_round(host);
        self.saver.round(host, self.throttle);
    }

    fn note_round(&mut self, host: &Host) {
        self.began_ns = host.now_ns();
        self.taken_before = self.taken;
        self.flip_ns = 0;
    }

    fn note_flip(&mut self, host: &Host) {
        if self.flip_ns == 0 && self.saver.round_pages().is_some() {
            self.flip_ns = (host.now_ns() - self.began_ns).max(1);
        }
    }

    /// A round tells at which rate the next one will go.
    fn note_rate(&mut self, host: &Host) {
        let bytes = self.taken - self.taken_before;
        self.round_ns = host.now_ns() - self.began_ns;
        let ns = self.round_ns.saturating_sub(self.flip_ns);
        if bytes >= TELLING_BYTES && ns != 0 {
            let rate = u128::from(bytes) * 1_000_000_000 / u128::from(ns);
            self.rate = u64::try_from(rate).ok();
        }
    }

    /// How long it would stand still, with so many pages left, behind what waits to be sent
    /// already.
    fn downtime_ns(&self, host: &Host, pages: u32) -> u64 {
        let waiting = self.saver.buffered() as u64 + self.sealed_bytes;
        // All of a round that is under way is among the pages.
        let before = waiting.saturating_sub(self.saver.round_bytes().unwrap_or(0));
        let bytes =
            u64::from(pages) * u64::from(PAGE_BYTES) + host.context_bytes(self.gfid()) + before;
        let bytes_ns = match self.rate {
            Some(rate) if rate != 0 => u128::from(bytes) * 1_000_000_000 / u128::from(rate),
            // Rounds were too small to tell: the next is no larger.
            _ => u128::from(self.round_ns),
        };
        let bytes_ns = u64::try_from(bytes_ns).unwrap_or(u64::MAX);
        // The log, the last bytes, the commit and its way: some messages each way.
        self.flip_ns.saturating_add(bytes_ns).saturating_add(2 * self.far.round_trip_ns)
    }

    /// It stands still, or nearly: once it is known what is left, that fits or not.
    fn stopping(&mut self, host: &mut Host) {
        self.note_flip(host);
        let (Some(downtime), true) = (self.downtime(), self.saver.is_stopped()) else { return };
        let Some(pages) = self.saver.round_pages() else { return };
        self.step = Step::Saves;
        let needs_ns = self.downtime_ns(host, pages).saturating_sub(self.flip_ns);
        let needs_ns = needs_ns.saturating_add(self.still_ns(host));
        if needs_ns > downtime.max_ns
            && downtime.otherwise == Otherwise::GiveUp
            && self.saver.run_on(host)
        {
            self.stops += 1;
            self.throttle = self.throttle.harder().unwrap_or(self.throttle);
            self.step = Step::Returning;
        }
    }
}
