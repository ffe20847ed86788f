//! Jobs of the copy engine: lists of copies, fills and semaphores.

use super::launch::{OnPaper, refuse};
use super::{Checker, Span, raw};
use crate::scenario::model::{Expected, Vgpu};
use crate::scenario::raw::Copies;
use godwit_guest::{Device, Job};
use godwit_world::{CopyWork, Through};
use sha2::{Digest, Sha256};

/// Keys of a job that is a list.
pub(super) const KEYS: &[&str] = &["copies", "seed", "rounds"];
/// Lists of one vGPU, which run side by side.
const LISTS_MAX: u64 = 2;
/// Rounds of a list: some gigabytes.
const ROUNDS_MAX: u32 = 10_000;

/// A list, and how often it is gone through.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) work: CopyWork,
    pub(super) rounds: u32,
}

impl List {
    /// Checks what is said of the list that is number `place` of its vGPU.
    pub(super) fn check(
        at: &Span,
        job: &raw::Job,
        through: Copies,
        seed: u64,
        place: u64,
        checker: &mut Checker<'_>,
    ) -> Option<Self> {
        let allowed = format!("1 to {ROUNDS_MAX}");
        let rounds = checker
            .required(at, &job.rounds, "rounds", &allowed)
            .and_then(|rounds| checker.count32(rounds, "rounds", 1, ROUNDS_MAX));
        if place >= LISTS_MAX {
            let wrong = "there are more lists of copies of this vGPU".to_owned();
            return checker.wrong(at.clone(), wrong, format!("up to {LISTS_MAX}"));
        }
        let through = match through {
            Copies::Framebuffer => Through::Framebuffer,
            Copies::GuestMemory => Through::GuestMemory,
        };
        Some(Self { work: CopyWork::new(seed, place, through), rounds: rounds? })
    }

    /// Checks that it fits the vGPU, and computes what must come out.
    pub(super) fn build(
        &self,
        at: &Span,
        job: &raw::Job,
        vgpu: &Vgpu,
        checker: &mut Checker<'_>,
    ) -> Option<Expected> {
        let device = match Device::probe(&mut OnPaper(vgpu.profile)) {
            Ok(device) => device,
            Err(error) => return checker.wrong(at.clone(), error.to_string(), "another profile"),
        };
        if let Err(error) = Job::plan_copies(&device, self.work.spec(1), self.work.arena()) {
            return refuse(at, &error, job, vgpu, checker);
        }
        Some(Expected::Sha256(Sha256::digest(self.work.expected(self.rounds)).into()))
    }
}
