//! The kernels compute what the host computes, whatever the turns of their
//! threads.

mod support;

use ckb_vm::Error;
use godwit_kernels::{DATA_BASE, Job};
use support::{End, PARTITION_BYTES, run};

/// Runs a job to its end and holds everything it promises against the result.
fn check(job: &Job) {
    assert!(job.inputs.iter().all(|(start, _)| *start >= DATA_BASE), "{}", job.name);
    assert!(job.end() <= PARTITION_BYTES as u64, "{}", job.name);
    let outcome = run(job, 100_000_000);
    assert_eq!(outcome.end, End::Done, "{}", job.name);
    println!(
        "{} {:?}: {} instructions, {} bytes of stack",
        job.name, job.args, outcome.instructions, outcome.stack_bytes
    );
    assert_eq!(outcome.bytes(job.output.clone()), job.expected, "{}", job.name);
    assert!(outcome.stack_bytes < job.stack_bytes.into(), "{}: the stack is too small", job.name);
}

#[test]
fn sha256_chains_match() {
    check(&Job::sha256_chain(1, 1, 1, 0));
    check(&Job::sha256_chain(2, 1, 1, 1));
    check(&Job::sha256_chain(3, 64, 32, 20));
}

#[test]
fn matrix_products_match() {
    check(&Job::matmul(1, 1, 1));
    check(&Job::matmul(2, 12, 3));
    check(&Job::matmul(3, 64, 16));
}

#[test]
fn histograms_match() {
    check(&Job::histogram(1, 0, 4, 2, 1));
    check(&Job::histogram(2, 1, 4, 2, 3));
    check(&Job::histogram(3, 10_007, 64, 32, 2));
}

#[test]
fn page_writers_match() {
    check(&Job::page_writer(1, 1, 1));
    check(&Job::page_writer(3, 4, 5));
    check(&Job::page_writer(100, 8, 30));
}

#[test]
fn a_spinner_counts_and_never_ends() {
    let job = Job::spinner(4);
    let counters = |budget| {
        let outcome = run(&job, budget);
        assert_eq!(outcome.end, End::OutOfBudget);
        let words = outcome.bytes(job.output.clone()).as_chunks().0.to_vec();
        words.into_iter().map(u64::from_le_bytes).collect::<Vec<_>>()
    };
    let (early, late) = (counters(200_000), counters(400_000));
    assert!(early.iter().all(|count| *count > 0 && count.is_multiple_of(1024)));
    assert!(early.iter().zip(&late).all(|(early, late)| late > early));
}

#[test]
fn a_panic_faults_and_does_not_end_the_thread() {
    let mut job = Job::sha256_chain(1, 1, 1, 1);
    job.args[0] += 1; // misaligned, which the kit asserts
    let end = run(&job, 100_000).end;
    assert!(matches!(end, End::Fault(Error::InvalidInstruction { .. })), "{end:?}");
}

#[test]
fn the_same_seed_makes_the_same_job() {
    assert_eq!(Job::histogram(7, 99, 2, 1, 1), Job::histogram(7, 99, 2, 1, 1));
    assert_ne!(Job::matmul(7, 4, 2).inputs, Job::matmul(8, 4, 2).inputs);
}
