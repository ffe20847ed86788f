//! Code that changes while it runs.

use super::{ARGS, ENTRY, launch, partition_with, program, run, start};
use crate::compute::program::{EXIT, FENCE_I, add, addi, auipc, bne, jal, ld, li, sd, sw};
use crate::compute::{Core, Outcome, Until};
use ckb_vm::registers::{A0, A1, T0, T1, T2, T3, T4, ZERO};

#[test]
fn a_store_to_code_is_seen_by_the_next_instruction() {
    // Runs `li t3, 1` twice; in between its word becomes `li t3, 2` (from `args`).
    for fence in [FENCE_I, addi(ZERO, ZERO, 0)] {
        let words = program(&[
            &[
                auipc(T0, 0),
                ld(T1, 0, A0),
                li(T3, 1), // at T0 + 8
                add(T4, T4, T3),
                sw(T1, 8, T0),
                fence,
                addi(A1, A1, 1),
                li(T2, 2),
                bne(A1, T2, -24),
                sd(T4, 8, A0),
            ],
            &EXIT,
        ]);
        let mut partition = partition_with(&words);
        partition.store(ARGS, li(T3, 2)).unwrap();
        assert_eq!(run(&mut partition, &launch(1, 1)).1, Outcome::Done);
        assert_eq!(partition.load::<u64>(ARGS + 8), Ok(3));
    }
}

#[test]
fn code_that_others_write_is_seen_after_a_fence_or_when_the_caller_says_so() {
    // A loop of `li t3, 1`, where something may fence; the word changes behind its back.
    for (fence, told, seen) in
        [(FENCE_I, false, 2), (addi(ZERO, ZERO, 0), true, 2), (addi(ZERO, ZERO, 0), false, 1)]
    {
        let mut partition = partition_with(&[li(T3, 1), fence, jal(ZERO, -8)]);
        let mut run = start(&launch(1, 1));
        let mut core = Core::new();
        run.run(&mut core, &mut partition, 4, Until::Budget);
        partition.store(ENTRY, li(T3, 2)).unwrap();
        if told {
            core.invalidate_code();
        }
        run.run(&mut core, &mut partition, 4, Until::Budget);
        assert_eq!(run.threads[0].x[T3], seen);
    }
}

#[test]
fn launches_that_share_a_core_do_not_run_each_others_code() {
    let mut partitions = [1, 2].map(|value| partition_with(&[li(T3, value), jal(ZERO, -4)]));
    let mut runs = [(); 2].map(|()| start(&launch(1, 1)));
    let mut core = Core::new();
    for _ in 0..3 {
        for (run, partition) in runs.iter_mut().zip(&mut partitions) {
            run.run(&mut core, partition, 2, Until::Budget);
        }
    }
    assert_eq!(runs.map(|run| run.threads[0].x[T3]), [1, 2]);
}
