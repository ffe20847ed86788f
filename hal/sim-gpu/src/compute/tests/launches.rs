//! What threads start with, how they end and how they wait for each other.

use super::{
    ARGS, PLENTY, SHARED, STACK_BYTES, STACKS, launch, partition_with, program, run, start,
};
use crate::compute::program::{
    BARRIER, EXIT, add, addi, amoadd_d, beq, bne, ld, li, mul, sb, sd, slli,
};
use crate::compute::{Core, LaunchRun, Outcome, Until};
use ckb_vm::registers::{A0, A1, A2, A4, SP, T0, T1, T2, T3, T4, ZERO};
use godwit_types::ChannelFault;

#[test]
fn a_thread_starts_with_what_the_abi_says_and_zeros() {
    // Every register goes to the thread's own stack: x1 deepest but one, x31 last.
    let mut words: Vec<u32> = (1..32).map(|x| sd(x, -256 + 8 * x as i32, SP)).collect();
    words.extend(EXIT);
    let mut partition = partition_with(&words);
    let launch = launch(2, 3);
    let mut run = start(&launch);
    let mut core = Core::new();
    for block in 0..2 {
        let end = if block == 0 { Outcome::BlockEnd } else { Outcome::Done };
        // Starts the block, which `BlockEnd` alone would not.
        assert_eq!(run.run(&mut core, &mut partition, 1, Until::Budget).0, 1);
        let (_, outcome) = run.run(&mut core, &mut partition, PLENTY, Until::BlockEnd);
        assert_eq!(outcome, end);
        for index in 0..3 {
            let stack = STACKS + index * u64::from(STACK_BYTES);
            for x in 1..32 {
                let expected = match x {
                    2 => stack + u64::from(STACK_BYTES),
                    10 => ARGS,
                    11 => block * 3 + index,
                    12 => 6,
                    13 => 3,
                    14 => SHARED,
                    _ => 0,
                };
                let found: u64 = partition.load(stack + 8 * x).unwrap();
                assert_eq!(found, expected, "x{x} of thread {index} of block {block}");
            }
        }
    }
}

#[test]
fn a_launch_counts_each_instruction_of_each_thread() {
    let words = program(&[&[li(T0, 1), li(T1, 2)], &EXIT]);
    let outcome = run(&mut partition_with(&words), &launch(3, 5));
    assert_eq!(outcome, (3 * 5 * 4, Outcome::Done));
}

#[test]
fn a_block_larger_than_the_cap_is_refused() {
    assert!(LaunchRun::new(&launch(9, 4), 4).is_ok());
    assert_eq!(LaunchRun::new(&launch(1, 5), 4).unwrap_err(), ChannelFault::TooLarge);
}

#[test]
fn a_launch_that_no_ring_can_hold_is_refused() {
    for bad in [launch(0, 1), launch(1, 0), launch(1 << 16, 1 << 16)] {
        let refused = LaunchRun::new(&bad, u32::MAX).unwrap_err();
        assert_eq!(refused, ChannelFault::BadEntry);
    }
}

#[test]
fn what_is_written_before_a_barrier_is_read_behind_it() {
    // Thread i counts to 600 * i, writes i + 7 to its word, and behind the barrier adds up
    // all words to its second word. With the counting, threads arrive turns apart.
    let words = program(&[
        &[
            li(T0, 600),
            mul(T0, T0, A1),
            beq(T0, ZERO, 12),
            addi(T0, T0, -1),
            bne(T0, ZERO, -4),
            slli(T1, A1, 3),
            add(T1, T1, A0),
            addi(T2, A1, 7),
            sd(T2, 0, T1),
        ],
        &BARRIER,
        &[
            ld(T3, 0, A0),
            add(T4, T4, T3),
            addi(A0, A0, 8),
            addi(A2, A2, -1),
            bne(A2, ZERO, -16),
            sd(T4, 64, T1),
        ],
        &EXIT,
    ]);
    let mut partition = partition_with(&words);
    assert_eq!(run(&mut partition, &launch(1, 6)).1, Outcome::Done);
    for index in 0..6 {
        let sum: u64 = partition.load(ARGS + 64 + 8 * index).unwrap();
        assert_eq!(sum, (7..13).sum::<u64>());
    }
}

#[test]
fn a_thread_that_has_ended_keeps_no_barrier_shut() {
    // Thread 1 ends at once; the others pass two barriers.
    let words = program(&[
        &[li(T0, 1), bne(A1, T0, 12)],
        &EXIT,
        &BARRIER,
        &BARRIER,
        &[li(T1, 1), amoadd_d(ZERO, T1, A0)],
        &EXIT,
    ]);
    let mut partition = partition_with(&words);
    let (ran, outcome) = run(&mut partition, &launch(1, 4));
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(ran, 4 + 3 * (2 + 2 + 2 + 2 + 2));
    assert_eq!(partition.load::<u64>(ARGS), Ok(3));
}

#[test]
fn what_a_kernel_stores_is_in_the_log() {
    let words = program(&[&[sb(ZERO, -1, A0), sd(ZERO, -4, A4)], &EXIT]);
    let mut partition = partition_with(&words);
    partition.start_log().unwrap();
    partition.flip_log();
    assert_eq!(run(&mut partition, &launch(1, 1)).1, Outcome::Done);
    let pages = [(ARGS - 1) >> 12, (SHARED - 4) >> 12, (SHARED + 3) >> 12];
    let expected = pages.iter().fold(0, |log, page| log | 1 << page);
    assert_eq!(partition.flip_log()[0], expected);
}
