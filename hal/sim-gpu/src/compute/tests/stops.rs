//! Turns, budgets, and launches that are stopped and moved.

use super::{ARGS, PLENTY, bytes_of, launch, partition_with, program, run, start};
use crate::compute::launch::TURN_INSTRUCTIONS;
use crate::compute::program::{
    BARRIER, EXIT, add, addi, amoadd_d, bne, jal, ld, li, lr_d, lr_w, mul, sc_d, sc_w, sd, slli,
};
use crate::compute::{Core, LaunchRun, Outcome, Until};
use ckb_vm::registers::{A0, A1, T0, T1, T2, T3, T4, ZERO};
use godwit_regs::fifo::Launch;
use godwit_types::Profile;

#[test]
fn turns_are_equally_long_and_go_round_in_order() {
    // Each thread counts in its own register for ever.
    let mut partition = partition_with(&[addi(T0, T0, 1), jal(ZERO, -4)]);
    let turn = u64::from(TURN_INSTRUCTIONS);
    for block in 1..=3 {
        let mut run = start(&launch(1, block));
        let mut core = Core::new();
        let mut counts = vec![0; block as usize];
        for index in 0..2 * block {
            let current = index % block;
            // All but the last instruction of a turn, then that one.
            for budget in [turn - 1, 1] {
                assert_eq!(run.current, current);
                let outcome = run.run(&mut core, &mut partition, budget, Until::LaunchEnd);
                assert_eq!(outcome, (budget, Outcome::Budget));
            }
            counts[current as usize] += turn / 2;
            let found: Vec<u64> = run.threads.iter().map(|thread| thread.x[T0]).collect();
            assert_eq!(found, counts);
        }
    }
}

#[test]
fn a_run_stops_between_blocks_when_asked_to() {
    let mut partition = partition_with(&EXIT);
    let mut run = start(&launch(3, 2));
    let mut core = Core::new();
    // None is in flight yet.
    let outcome = run.run(&mut core, &mut partition, PLENTY, Until::BlockEnd);
    assert_eq!(outcome, (0, Outcome::BlockEnd));
    assert_eq!(run.run(&mut core, &mut partition, 1, Until::BlockEnd).0, 0);
    assert_eq!(run.run(&mut core, &mut partition, 1, Until::Budget).0, 1);
    let outcome = run.run(&mut core, &mut partition, PLENTY, Until::BlockEnd);
    assert_eq!(outcome, (3, Outcome::BlockEnd));
    assert!(run.encode().len() <= 160);
    // The budget ends with the second block: more remains, then nothing does.
    let outcome = run.run(&mut core, &mut partition, 4, Until::Budget);
    assert_eq!(outcome, (4, Outcome::Budget));
    let outcome = run.run(&mut core, &mut partition, 4, Until::Budget);
    assert_eq!(outcome, (4, Outcome::Done));
    let outcome = run.run(&mut core, &mut partition, 0, Until::Budget);
    assert_eq!(outcome, (0, Outcome::Done));
}

/// Threads race on one word without atomics, so the bytes tell every change in the order of
/// instructions; then they take tickets, and put down what they drew behind a barrier.
fn race() -> Vec<u32> {
    program(&[
        &[
            li(T0, 260),
            li(T2, 31),
            ld(T1, 0, A0),
            mul(T1, T1, T2),
            add(T1, T1, A1),
            sd(T1, 0, A0),
            addi(T0, T0, -1),
            bne(T0, ZERO, -20),
        ],
        &BARRIER,
        &[addi(T3, A0, 8), amoadd_d(T4, T2, T3), add(T4, T4, T1), slli(T0, A1, 4), add(T0, T0, A0)],
        &BARRIER,
        &[sd(T4, 16, T0)],
        &EXIT,
    ])
}

#[test]
fn any_split_of_the_budget_gives_the_same_bytes_and_is_kept_exactly() {
    let launch = launch(2, 3);
    let mut whole = partition_with(&race());
    let (total, outcome) = run(&mut whole, &launch);
    assert_eq!(outcome, Outcome::Done);
    assert!(total > 6 * u64::from(TURN_INSTRUCTIONS));
    let whole = bytes_of(&whole);
    for budget in [1, 2, 3, 7, 100, 1023, 1024, 1025, total - 1, total, total + 1] {
        let mut partition = partition_with(&race());
        let mut run = start(&launch);
        let mut core = Core::new();
        let mut left = total;
        while left > 0 {
            let (ran, outcome) = run.run(&mut core, &mut partition, budget, Until::LaunchEnd);
            assert_eq!(ran, budget.min(left));
            left -= ran;
            let expected = if left == 0 { Outcome::Done } else { Outcome::Budget };
            assert_eq!(outcome, expected);
        }
        assert_eq!(bytes_of(&partition), whole, "budget {budget}");
    }
}

/// Stops after `stop` instructions, moves what there is to another core, and goes on.
fn run_moved(words: &[u32], launch: &Launch, stop: u64) -> (u64, Vec<u8>) {
    let mut partition = partition_with(words);
    let mut run = start(launch);
    let (before, _) = run.run(&mut Core::new(), &mut partition, stop, Until::LaunchEnd);
    assert_eq!(before, stop);
    let bytes = run.encode();
    let bound = Profile::CONTEXT_THREAD_BYTES as usize * run.threads.len() + 160;
    assert!(bytes.len() <= bound);
    let mut moved = LaunchRun::decode(&bytes, launch.block).unwrap();
    assert_eq!(moved.encode(), bytes);
    let (after, outcome) = moved.run(&mut Core::new(), &mut partition, PLENTY, Until::LaunchEnd);
    assert_eq!(outcome, Outcome::Done);
    (before + after, bytes_of(&partition))
}

#[test]
fn a_launch_moved_after_any_instruction_ends_with_the_same_bytes() {
    let launch = launch(2, 2);
    let mut whole = partition_with(&race());
    let (total, outcome) = run(&mut whole, &launch);
    assert_eq!(outcome, Outcome::Done);
    let whole = bytes_of(&whole);
    for stop in 0..=total {
        let (ran, bytes) = run_moved(&race(), &launch, stop);
        assert_eq!(ran, total, "stopped after {stop}");
        assert!(bytes == whole, "stopped after {stop}");
    }
}

/// Threads add to one word with LR and SC.
fn reserved_counter() -> Vec<u32> {
    program(&[
        &[
            li(T0, 150),
            lr_d(T1, A0),
            addi(T1, T1, 1),
            sc_d(T2, T1, A0),
            bne(T2, ZERO, -12),
            addi(T0, T0, -1),
            bne(T0, ZERO, -20),
            addi(T3, A0, 8),
            li(T0, 150),
            lr_w(T1, T3),
            addi(T1, T1, 3),
            sc_w(T2, T1, T3),
            bne(T2, ZERO, -12),
            addi(T0, T0, -1),
            bne(T0, ZERO, -20),
        ],
        &EXIT,
    ])
}

#[test]
fn reservations_that_a_stop_or_a_turn_breaks_lose_no_addition() {
    let launch = launch(1, 3);
    let mut whole = partition_with(&reserved_counter());
    let (total, outcome) = run(&mut whole, &launch);
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(whole.load::<u64>(ARGS), Ok(450));
    assert_eq!(whole.load::<u64>(ARGS + 8), Ok(1350));
    // Turns ended between an LR and its SC.
    let calm = 3 * (1 + 150 * 6 + 2 + 150 * 6 + 2);
    assert!(total > calm);
    let whole = bytes_of(&whole);
    for stop in 0..=total {
        assert!(run_moved(&reserved_counter(), &launch, stop).1 == whole, "{stop}");
    }
}

#[test]
fn a_reservation_outlives_a_run_but_not_a_break() {
    let words = program(&[&[li(T1, 5), lr_d(T0, A0), sc_d(T2, T1, A0)], &EXIT]);
    for (broken, stored) in [(false, 5), (true, 0)] {
        let mut partition = partition_with(&words);
        let mut run = start(&launch(1, 1));
        let mut core = Core::new();
        run.run(&mut core, &mut partition, 2, Until::Budget);
        if broken {
            run.break_reservations();
        }
        run.run(&mut core, &mut partition, 1, Until::Budget);
        assert_eq!(partition.load::<u64>(ARGS), Ok(stored));
        assert_eq!(run.threads[0].x[T2], u64::from(broken));
    }
}

#[test]
fn a_failed_sc_writes_nothing() {
    // Without an LR, after one at another address, and after one that was used up.
    let words = program(&[
        &[li(T1, 5), sc_d(T2, T1, A0)],
        &[addi(T3, A0, 8), lr_d(T0, T3), sc_d(T4, T1, A0)],
        &[lr_d(T0, T3), sc_d(ZERO, T1, T3), sc_d(T0, A1, T3), sc_d(ZERO, A1, T3)],
        &EXIT,
    ]);
    let mut partition = partition_with(&words);
    partition.start_log().unwrap();
    partition.flip_log();
    let mut run = start(&Launch { args: ARGS - 8, ..launch(1, 1) });
    run.run(&mut Core::new(), &mut partition, 9, Until::Budget);
    assert_eq!([ZERO, T0, T2, T4].map(|x| run.threads[0].x[x]), [0, 1, 1, 1]);
    assert_eq!(partition.load::<u64>(ARGS - 8), Ok(0));
    assert_eq!(partition.load::<u64>(ARGS), Ok(5));
    // Only the page of the SC that succeeded was written.
    assert_eq!(partition.flip_log()[0], 1 << (ARGS >> 12));
}
