//! What seeds did, and what they must have done to have tried anything.

use std::fmt;

/// What happened in a seed, so that one can see that something did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Transfers that came to pass.
    pub moved: u32,
    /// Transfers that were refused or undone.
    pub undone: u32,
    /// Restarts of firmware.
    pub restarts: u32,
    /// Jobs that ended with the right bytes.
    pub jobs: u32,
    /// Jobs that an engine reset or a fault on demand has ended.
    pub lost_jobs: u32,
    /// Engine resets.
    pub resets: u32,
    /// Preempt acknowledges that were found to be lost.
    pub lost_acks: u32,
    /// Times that work was taken off an engine before its end.
    pub preemptions: u32,
    /// Changes of policies, shares and limits while everything ran.
    pub changes: u32,
    /// vGPUs of which hosts were told that they do too much of something.
    pub abuses: u32,
    /// Jobs that a ban has ended or refused.
    pub banned_jobs: u32,
    /// The longest wait for an engine, in percent of what it might have been: the most of all
    /// seeds.
    pub longest_wait: u64,
}

impl Totals {
    /// Adds another seed's.
    pub fn add(&mut self, other: &Self) {
        self.moved += other.moved;
        self.undone += other.undone;
        self.restarts += other.restarts;
        self.jobs += other.jobs;
        self.lost_jobs += other.lost_jobs;
        self.resets += other.resets;
        self.lost_acks += other.lost_acks;
        self.preemptions += other.preemptions;
        self.changes += other.changes;
        self.abuses += other.abuses;
        self.banned_jobs += other.banned_jobs;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved, undone, restarts, jobs, lost_jobs, resets, lost_acks, .. } = self;
        let Self { preemptions, changes, abuses, banned_jobs, longest_wait, .. } = self;
        write!(
            f,
            "transfers: {moved} came to pass, {undone} were refused or undone; jobs: {jobs} right, \
             {lost_jobs} lost, {banned_jobs} banned; firmware restarts: {restarts}; engine resets: \
             {resets}; acknowledges lost: {lost_acks}; preemptions: {preemptions}; changes of \
             shares: {changes}; too much of something: {abuses}; longest wait \
             for an engine: {longest_wait} % of its bound"
        )
    }
}

/// Fewest seeds of which [`Totals::shortfalls`] tells.
const SAMPLE_MIN: u64 = 256;
/// What a thousand seeds must have done at least: less than half of what they do, since a
/// few hundred may do less than their share. A fault that no longer bites does next to nothing.
const FLOOR: Totals = Totals {
    moved: 1_300,
    undone: 800,
    restarts: 250,
    jobs: 4_400,
    lost_jobs: 350,
    resets: 380,
    lost_acks: 140,
    preemptions: 11_000,
    changes: 1_900,
    abuses: 60,
    banned_jobs: 2,
    longest_wait: 0,
};

impl Totals {
    /// What happened too rarely in so many seeds for them to have tried what they are to try.
    pub fn shortfalls(&self, seeds: u64) -> Vec<String> {
        if seeds < SAMPLE_MIN {
            return Vec::new();
        }
        let counts = [
            ("transfers came to pass", self.moved, FLOOR.moved),
            ("transfers were refused or undone", self.undone, FLOOR.undone),
            ("firmware restarts", self.restarts, FLOOR.restarts),
            ("jobs ended right", self.jobs, FLOOR.jobs),
            ("jobs were lost", self.lost_jobs, FLOOR.lost_jobs),
            ("engine resets", self.resets, FLOOR.resets),
            ("acknowledges were lost", self.lost_acks, FLOOR.lost_acks),
            ("preemptions", self.preemptions, FLOOR.preemptions),
            ("changes of shares", self.changes, FLOOR.changes),
            ("too much of something", self.abuses, FLOOR.abuses),
            ("jobs were banned", self.banned_jobs, FLOOR.banned_jobs),
        ];
        let short = counts.into_iter().filter_map(|(what, found, floor)| {
            let least = u64::from(floor) * seeds / 1_000;
            let found = u64::from(found);
            (found < least).then(|| format!("{what}: {found}, at least {least} in {seeds} seeds"))
        });
        short.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_no_longer_bite_are_noticed() {
        assert_eq!(FLOOR.shortfalls(1_000), [] as [String; 0]);
        assert_eq!(Totals::default().shortfalls(SAMPLE_MIN - 1), [] as [String; 0]);
        assert_eq!(Totals::default().shortfalls(SAMPLE_MIN).len(), 10);
        let blunt = Totals { resets: FLOOR.resets - 1, ..FLOOR };
        assert_eq!(blunt.shortfalls(1_000), ["engine resets: 379, at least 380 in 1000 seeds"]);
    }
}
