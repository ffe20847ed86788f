//! Jobs: which vGPU runs what.

use super::kernels::KernelJob;
use super::lists::{self, List};
use super::{Checker, Names, Span, launch, programs, raw};
use crate::scenario::model::{self, Expected, Job, Program, Vgpu, VgpuRef};
use godwit_kernels::{DATA_BASE, LAUNCH_BASE};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use toml::Spanned;

/// Jobs of a scenario.
const JOBS_MAX: usize = 64;
/// Keys that every job may have.
const COMMON: [&str; 2] = ["name", "vgpu"];

/// A job that was checked, short of what takes time.
pub(super) struct Draft {
    name: String,
    vgpu: VgpuRef,
    work: Work,
}

enum Work {
    Kernel(KernelJob),
    Program(Program, Expected),
    Copies(List),
}

/// Checks all that can be checked at once.
pub(super) fn check(
    tables: &raw::Tables<raw::Job>,
    names: &Names<'_>,
    vgpus: &[Option<Vgpu>],
    seed: u64,
    checker: &mut Checker<'_>,
) -> Vec<Option<Draft>> {
    if tables.is_empty() || tables.len() > JOBS_MAX {
        let place = tables.get(JOBS_MAX).map_or(0..0, Spanned::span);
        let wrong = format!("there are {} `[[job]]`", tables.len());
        checker.wrong::<()>(place, wrong, format!("1 to {JOBS_MAX}"));
    }
    let mut drafts = Vec::new();
    let mut lists = BTreeMap::new();
    for (table, number) in tables.iter().zip(1..) {
        let job = table.get_ref();
        let vgpu = checker
            .required(&table.span(), &job.vgpu, "vgpu", "the name of a vGPU")
            .and_then(|name| names.vgpus.find(name, checker));
        let seed = job.seed.as_ref().map_or_else(|| mixed(seed, number), |seed| seed.get_ref().0);
        let home = vgpu.and_then(|at| vgpus.get(at)?.as_ref());
        let place: &mut u64 = lists.entry(vgpu).or_default();
        drafts.push(draft(&table.span(), job, vgpu.zip(home), (seed, *place), checker));
        *place += u64::from(job.copies.is_some());
    }
    drafts
}

/// A seed for each job, so that a scenario with another seed has other inputs.
fn mixed(seed: u64, number: u64) -> u64 {
    // The increment of SplitMix64: odd, and no job's seed is another's for small differences.
    seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn draft(
    at: &Span,
    job: &raw::Job,
    home: Option<(usize, &Vgpu)>,
    (seed, place): (u64, u64),
    checker: &mut Checker<'_>,
) -> Option<Draft> {
    let vgpu = home.map(|(_, vgpu)| vgpu);
    let work = match (&job.kernel, &job.elf, &job.copies) {
        (Some(kernel), None, None) => {
            let kernel = *kernel.get_ref();
            only(job, &kernel.what(), kernel.keys(), checker);
            KernelJob::check(at, kernel, job, seed, checker).map(Work::Kernel)
        }
        (None, None, Some(copies)) => {
            only(job, "a list of copies", lists::KEYS, checker);
            let through = *copies.get_ref();
            List::check(at, job, through, seed, place, checker).map(Work::Copies)
        }
        (None, Some(elf), None) => {
            only(job, "a job with an ELF file", programs::KEYS, checker);
            programs::check(at, job, elf, vgpu, checker)
                .map(|(program, expected)| Work::Program(program, expected))
        }
        (None, None, None) => {
            let wrong = "there is neither `kernel` nor `elf` nor `copies`";
            checker.wrong(at.clone(), wrong.to_owned(), "one of them")
        }
        _ => {
            let wrong = "there is more than one of `kernel`, `elf` and `copies`";
            checker.wrong(at.clone(), wrong.to_owned(), "one of them")
        }
    };
    Some(Draft { name: job.name.as_ref()?.get_ref().clone(), vgpu: VgpuRef(home?.0), work: work? })
}

/// Notes each key that this kind of job has no use for.
fn only(job: &raw::Job, what: &str, keys: &[&str], checker: &mut Checker<'_>) {
    for (key, span) in written_keys(job) {
        if !keys.contains(&key) {
            let allowed = COMMON.iter().chain(keys).map(|key| format!("`{key}`"));
            let allowed = allowed.collect::<Vec<_>>().join(", ");
            checker.wrong::<()>(span, format!("{what} has no `{key}`"), allowed);
        }
    }
}

/// The keys that are there and that not every job has, with the places of their values.
fn written_keys(job: &raw::Job) -> impl Iterator<Item = (&'static str, Span)> {
    fn place<T>(field: &raw::Field<T>) -> Option<Span> {
        field.as_ref().map(Spanned::span)
    }
    [
        ("kernel", place(&job.kernel)),
        ("seed", place(&job.seed)),
        ("threads", place(&job.threads)),
        ("iterations", place(&job.iterations)),
        ("n", place(&job.n)),
        ("tile", place(&job.tile)),
        ("bytes", place(&job.bytes)),
        ("rounds", place(&job.rounds)),
        ("pages", place(&job.pages)),
        ("copies", place(&job.copies)),
        ("elf", place(&job.elf)),
        ("grid", place(&job.grid)),
        ("args", place(&job.args)),
        ("shared_bytes", place(&job.shared_bytes)),
        ("stack_bytes", place(&job.stack_bytes)),
        ("arena", place(&job.arena)),
        ("inputs", place(&job.inputs)),
        ("output", place(&job.output)),
        ("expected", place(&job.expected)),
        ("block", place(&job.block)),
    ]
    .into_iter()
    .filter_map(|(key, span)| Some((key, span?)))
}

/// Computes inputs and expected outputs, and checks that they fit.
pub(super) fn build(
    tables: &raw::Tables<raw::Job>,
    drafts: Vec<Draft>,
    vgpus: &[Option<Vgpu>],
    checker: &mut Checker<'_>,
) -> Option<Vec<Job>> {
    let build = |(table, draft): (&Spanned<raw::Table<raw::Job>>, Draft)| {
        let vgpu = vgpus.get(draft.vgpu.index())?.as_ref()?;
        let (work, expected, instructions_about) = match draft.work {
            Work::Program(program, expected) => (model::Work::Program(program), expected, None),
            Work::Kernel(kernel) => {
                let (program, expected) = from_kernel(&kernel);
                launch::check(&table.span(), table.get_ref(), &program, vgpu, checker)?;
                (model::Work::Program(program), expected, kernel.instructions_about())
            }
            Work::Copies(list) => {
                let expected = list.build(&table.span(), table.get_ref(), vgpu, checker)?;
                (model::Work::Copies(list.work, list.rounds), expected, None)
            }
        };
        let Draft { name, vgpu, .. } = draft;
        Some(Job { name, vgpu, work, expected, instructions_about })
    };
    let jobs: Vec<Option<Job>> = tables.iter().zip(drafts).map(build).collect();
    jobs.into_iter().collect()
}

fn from_kernel(kernel: &KernelJob) -> (Program, Expected) {
    let job = kernel.build();
    let expected = match job.expected.as_slice() {
        [] => Expected::Endless,
        bytes => Expected::Sha256(Sha256::digest(bytes).into()),
    };
    let program = Program {
        elf: Cow::Borrowed(job.elf),
        grid: job.grid,
        block: job.block,
        args: job.args,
        shared_bytes: job.shared_bytes,
        stack_bytes: job.stack_bytes,
        arena: LAUNCH_BASE..DATA_BASE,
        inputs: job.inputs.into_iter().map(|(at, bytes)| (at, bytes.into())).collect(),
        output: job.output,
    };
    (program, expected)
}
