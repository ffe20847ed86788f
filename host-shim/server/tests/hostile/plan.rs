//! What a neighbour computes.

use godwit_guest::{Device, Job, JobSpec, Kernel};
use godwit_kernels::{DATA_BASE, LAUNCH_BASE};

/// Hashes of a thread: a job takes some tenths of a second.
const ITERATIONS: u64 = 2_000;

/// Each seed has other bytes, so that those of one job are not taken for those of the next.
pub(crate) fn plan(driver: &Device, seed: u64) -> (Job, Vec<u8>) {
    let job = godwit_kernels::Job::sha256_chain(seed, 4, 2, ITERATIONS);
    let spec = JobSpec {
        kernel: Kernel::parse(job.elf).unwrap(),
        grid: job.grid,
        block: job.block,
        shared_bytes: job.shared_bytes,
        stack_bytes: job.stack_bytes,
        args: job.args,
        inputs: job.inputs.into_iter().map(|(at, bytes)| (at, bytes.into())).collect(),
        output: Some(job.output),
        repeat: 1,
    };
    (Job::plan(driver, spec, LAUNCH_BASE..DATA_BASE).unwrap(), job.expected)
}
