//! Jobs of the kernels that come with Godwit.

use super::{Checker, Span, raw};
use crate::scenario::raw::Kernel;
use crate::scenario::value::Count;
use crate::units;
use godwit_kernels::Job;

/// Instructions that one job may take, about: some minutes of interpretation.
const INSTRUCTIONS_MAX: u64 = 20_000_000_000;
/// Threads of a grid.
const THREADS_MAX: u32 = 65_536;
/// Rounds and iterations; their product with the rest is bounded by instructions.
const ROUNDS_MAX: u64 = 1_000_000_000;
/// Side of a matrix.
const SIDE_MAX: u32 = 1_024;
/// Side of a tile.
const TILE_MAX: u32 = 32;
/// Pages that are written.
const PAGES_MAX: u32 = 1 << 20;
/// Bytes of a histogram's input.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// A kernel with sizes that its constructor takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum KernelJob {
    Sha256Chain { seed: u64, threads: u32, block: u32, iterations: u64 },
    Matmul { seed: u64, n: u32, tile: u32 },
    Histogram { seed: u64, bytes: u32, threads: u32, block: u32, rounds: u64 },
    PageWriter { pages: u32, threads: u32, rounds: u64 },
    Spinner { threads: u32 },
}

impl Kernel {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha256Chain => "sha256_chain",
            Self::Matmul => "matmul",
            Self::Histogram => "histogram",
            Self::PageWriter => "page_writer",
            Self::Spinner => "spinner",
        }
    }

    pub(super) fn what(self) -> String {
        format!("kernel `{}`", self.name())
    }

    /// Keys of a job that runs it.
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Sha256Chain => &["kernel", "seed", "threads", "block", "iterations"],
            Self::Matmul => &["kernel", "seed", "n", "tile"],
            Self::Histogram => &["kernel", "seed", "bytes", "threads", "block", "rounds"],
            Self::PageWriter => &["kernel", "pages", "threads", "rounds"],
            Self::Spinner => &["kernel", "threads"],
        }
    }
}

impl KernelJob {
    pub(super) fn check(
        at: &Span,
        kernel: Kernel,
        job: &raw::Job,
        seed: u64,
        checker: &mut Checker<'_>,
    ) -> Option<Self> {
        let checked = match kernel {
            Kernel::Sha256Chain => {
                let threads = number(at, &job.threads, "threads", 1, THREADS_MAX, checker);
                let block = block(at, job, threads, checker);
                let iterations = wide(at, &job.iterations, "iterations", 0, checker);
                Self::Sha256Chain {
                    seed,
                    threads: threads?,
                    block: block?,
                    iterations: iterations?,
                }
            }
            Kernel::Matmul => {
                let n = number(at, &job.n, "n", 1, SIDE_MAX, checker);
                let tile = number(at, &job.tile, "tile", 1, TILE_MAX, checker);
                divides(job.tile.as_ref(), "tile", tile, "n", n, checker)?;
                Self::Matmul { seed, n: n?, tile: tile? }
            }
            Kernel::Histogram => {
                let bytes = checker
                    .required(at, &job.bytes, "bytes", "a size such as \"64 KiB\"")
                    .and_then(|size| checker.size(size, "bytes", 1, INPUT_BYTES_MAX))
                    .and_then(|bytes| u32::try_from(bytes).ok());
                let threads = number(at, &job.threads, "threads", 1, THREADS_MAX, checker);
                let block = block(at, job, threads, checker);
                let rounds = wide(at, &job.rounds, "rounds", 1, checker);
                Self::Histogram {
                    seed,
                    bytes: bytes?,
                    threads: threads?,
                    block: block?,
                    rounds: rounds?,
                }
            }
            Kernel::PageWriter => {
                let pages = number(at, &job.pages, "pages", 1, PAGES_MAX, checker);
                let threads = number(at, &job.threads, "threads", 1, THREADS_MAX, checker);
                let rounds = wide(at, &job.rounds, "rounds", 1, checker);
                Self::PageWriter { pages: pages?, threads: threads?, rounds: rounds? }
            }
            Kernel::Spinner => Self::Spinner {
                threads: number(at, &job.threads, "threads", 1, THREADS_MAX, checker)?,
            },
        };
        checked.bounded(at, checker)
    }

    /// Checks the work as a whole.
    fn bounded(self, at: &Span, checker: &mut Checker<'_>) -> Option<Self> {
        let about = self.instructions_about().unwrap_or(0);
        if about > INSTRUCTIONS_MAX {
            let wrong = format!("the job takes about {} instructions", units::about_count(about));
            let allowed = format!("up to {}", units::about_count(INSTRUCTIONS_MAX));
            return checker.wrong(at.clone(), wrong, allowed);
        }
        Some(self)
    }

    /// The job, with what the host computes for it.
    pub(super) fn build(&self) -> Job {
        match *self {
            Self::Sha256Chain { seed, threads, block, iterations } => {
                Job::sha256_chain(seed, threads, block, iterations)
            }
            Self::Matmul { seed, n, tile } => Job::matmul(seed, n, tile),
            Self::Histogram { seed, bytes, threads, block, rounds } => {
                Job::histogram(seed, bytes, threads, block, rounds)
            }
            Self::PageWriter { pages, threads, rounds } => Job::page_writer(pages, threads, rounds),
            Self::Spinner { threads } => Job::spinner(threads),
        }
    }

    /// About how many instructions it takes, as its constructor says; `None` if it never ends.
    pub(super) fn instructions_about(&self) -> Option<u64> {
        match *self {
            Self::Sha256Chain { threads, iterations, .. } => {
                Some(iterations.saturating_mul(u64::from(threads) * 4_620))
            }
            Self::Matmul { n, .. } => Some(u64::from(n).pow(3) * 11),
            Self::Histogram { bytes, rounds, .. } => {
                Some(rounds.saturating_mul(u64::from(bytes) * 35))
            }
            Self::PageWriter { pages, rounds, .. } => {
                Some(rounds.saturating_mul(u64::from(pages) * 8))
            }
            Self::Spinner { .. } => None,
        }
    }
}

fn number(
    at: &Span,
    field: &raw::Field<Count>,
    key: &str,
    low: u32,
    high: u32,
    checker: &mut Checker<'_>,
) -> Option<u32> {
    let value = checker.required(at, field, key, &format!("{low} to {high}"))?;
    checker.count32(value, key, low, high)
}

fn wide(
    at: &Span,
    field: &raw::Field<Count>,
    key: &str,
    low: u64,
    checker: &mut Checker<'_>,
) -> Option<u64> {
    let value = checker.required(at, field, key, &format!("{low} to {ROUNDS_MAX}"))?;
    checker.count(value, key, low..=ROUNDS_MAX)
}

fn block(
    at: &Span,
    job: &raw::Job,
    threads: Option<u32>,
    checker: &mut Checker<'_>,
) -> Option<u32> {
    let block = number(at, &job.block, "block", 1, THREADS_MAX, checker);
    divides(job.block.as_ref(), "block", block, "threads", threads, checker)?;
    block
}

/// Checks that one number divides another; both were named if they are not there.
fn divides(
    written: Option<&toml::Spanned<Count>>,
    key: &str,
    part: Option<u32>,
    whole_key: &str,
    whole: Option<u32>,
    checker: &mut Checker<'_>,
) -> Option<()> {
    let (part, whole) = (part?, whole?);
    if whole.is_multiple_of(part) {
        return Some(());
    }
    let wrong = format!("`{key}` is {part}");
    checker.wrong(written?.span(), wrong, format!("a number that divides `{whole_key}`, {whole}"))
}
