//! What VFIO migration v2 asks of a device, as named checks.
//!
//! ```text
//!   checks ── Device: states, data, logs ──▶ a front end ──▶ device
//!      │                                                       ▲
//!      └──────────────── Bench: guests, time ──────────────────┘
//! ```
//!
//! The authority is `include/uapi/linux/vfio.h`. The suite has a device as a front end gives it to
//! a virtual machine monitor, with raw states and error numbers, and asks a [`Bench`] for all that
//! guests do. Each check begins at power-on with two alike devices that run, and says what was
//! expected and what was found.

mod arcs;
mod bench;
mod device;
mod dma_log;
mod moves;
mod peers;
mod precopy;
mod reset;
mod restore;
mod rig;
mod session;
mod size;
mod standstill;
mod verdict;

pub use bench::{Bench, GUEST_MEMORY, READ_AT, Side, Work};
pub use device::{Device, DmaRange, PrecopyInfo, errno, state};
pub use rig::{LOOK_NS, PATIENCE_NS, STEP_NS};
pub use verdict::{Broken, Unmet, Verdict};

use rig::Rig;

/// One rule.
#[derive(Debug)]
pub struct Check<B: Bench> {
    /// The rule, as a name: what it is about, and what must be true.
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

/// A list of checks; each has the name of its function behind that of its subject.
macro_rules! rules {
    ($group:literal: $($check:ident),+ $(,)?) => {
        /// The checks of this module.
        pub(super) const fn checks<B: $crate::vfio::Bench + 'static>()
        -> &'static [$crate::vfio::Check<B>] {
            &[$($crate::vfio::Check {
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
        arcs::checks(),
        standstill::checks(),
        session::checks(),
        restore::checks(),
        peers::checks(),
        precopy::checks(),
        size::checks(),
        dma_log::checks(),
        moves::checks(),
        reset::checks(),
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
