//! The contract of `godwit_hal::Hardware`, as named checks.
//!
//! ```text
//!   checks ── godwit_hal::Hardware ──▶ the implementation ──▶ device
//!      │                                                        ▲
//!      └────────────── Bench: guest, host, time ────────────────┘
//! ```
//!
//! The suite drives an implementation as the firmware's loop does, and what the loop's
//! counterparts do (guest, host, device) it asks of a [`Bench`]. Each check begins at power-on
//! and says what was expected and what was found. It needs no operating system and no heap, so
//! it runs on the microcontroller, too.

mod bench;
mod channels;
mod copies;
mod dirty;
mod host;
mod peers;
mod places;
mod preempt;
mod restart;
mod rig;
mod routes;
mod runlists;
mod slices;
mod switches;
mod time;
mod verdict;

pub use bench::{Access, Bench, SwitchRead, Trouble, Work};
pub use rig::{PATIENCE_NS, PROFILE, SCRATCH_AT, STEP_NS};
pub use verdict::{Broken, Fact, Unmet, Verdict};

use rig::Rig;

/// One rule of the contract.
#[derive(Debug)]
pub struct Check<B: Bench> {
    /// The rule, as a name: trait, and what must be true.
    pub name: &'static str,
    run: fn(&mut Rig<'_, B>) -> Verdict,
}

impl<B: Bench> Check<B> {
    /// Powers the bench on and sees whether the rule holds.
    ///
    /// # Errors
    ///
    /// When it does not, or when the bench cannot say.
    pub fn run(&self, bench: &mut B) -> Verdict {
        bench.power_on();
        (self.run)(&mut Rig::new(bench))
    }
}

/// A list of checks; each has the name of its function behind that of its trait.
macro_rules! rules {
    ($group:literal: $($check:ident),+ $(,)?) => {
        /// The checks of this module.
        pub(super) const fn checks<B: $crate::hal::Bench + 'static>()
        -> &'static [$crate::hal::Check<B>] {
            &[$($crate::hal::Check {
                name: concat!($group, "::", stringify!($check)),
                run: $check,
            }),+]
        }
    };
}
use rules;

/// All checks, those first on which others lean.
pub fn checks<B: Bench + 'static>() -> impl Iterator<Item = &'static Check<B>> {
    [
        time::checks(),
        host::checks(),
        places::checks(),
        channels::checks(),
        routes::checks(),
        peers::checks(),
        runlists::checks(),
        preempt::checks(),
        slices::checks(),
        switches::checks(),
        copies::checks(),
        dirty::checks(),
        restart::checks(),
    ]
    .into_iter()
    .flatten()
}

/// Runs all checks, and tells of each how it ended. Returns how many rules are broken.
pub fn run<B: Bench + 'static>(
    bench: &mut B,
    mut told: impl FnMut(&'static str, &Verdict),
) -> usize {
    let mut broken = 0;
    for check in checks::<B>() {
        let verdict = check.run(bench);
        if matches!(verdict, Err(Unmet::Broken(_))) {
            broken += 1;
        }
        told(check.name, &verdict);
    }
    broken
}
