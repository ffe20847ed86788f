//! What ends a launch before its time.

use super::{
    ENTRY, FB_BYTES, ILLEGAL, OUT_OF_PARTITION, PLENTY, fault_of, launch, partition_with, program,
    run, start,
};
use crate::compute::launch::TURN_INSTRUCTIONS;
use crate::compute::program::{
    EBREAK, ECALL, EXIT, amoadd_d, bne, jal, jalr, ld, li, lr_d, lui, sb, sc_d, sc_w, sd, sh, sw,
};
use crate::compute::{Core, Outcome, Until};
use ckb_vm::registers::{A1, A7, T0, T1, ZERO};
use godwit_regs::fifo::Launch;

#[test]
fn accesses_outside_the_partition_fault() {
    let end = 16; // T0 holds FB_BYTES
    let top = lui(T0, (FB_BYTES >> 12) as u32);
    for (last_good, access) in
        [(-8, ld as fn(usize, i32, usize) -> u32), (-8, sd), (-4, sw), (-2, sh), (-1, sb)]
    {
        let words = program(&[&[top, access(T1, last_good, T0)], &EXIT]);
        assert_eq!(fault_of(&words), Outcome::Done);
        for offset in [last_good + 1, 0, end] {
            let words = program(&[&[top, access(T1, offset, T0)], &EXIT]);
            assert_eq!(fault_of(&words), OUT_OF_PARTITION);
        }
        // Around the end of the address space.
        let words = program(&[&[access(T1, -1, ZERO)], &EXIT]);
        assert_eq!(fault_of(&words), OUT_OF_PARTITION);
    }
    for access in [lr_d(T1, T0), sc_d(T1, T1, T0), sc_w(T1, T1, T0), amoadd_d(T1, T1, T0)] {
        let words = program(&[&[top, access], &EXIT]);
        assert_eq!(fault_of(&words), OUT_OF_PARTITION);
    }
}

#[test]
fn a_faulting_store_writes_nothing() {
    let words = [lui(T0, (FB_BYTES >> 12) as u32), li(T1, -1), sd(T1, -4, T0)];
    let mut partition = partition_with(&words);
    assert_eq!(run(&mut partition, &launch(1, 1)), (2, OUT_OF_PARTITION));
    assert_eq!(partition.load::<u32>(FB_BYTES - 4), Ok(0));
}

#[test]
fn code_outside_the_partition_faults() {
    let top = lui(T0, (FB_BYTES >> 12) as u32);
    assert_eq!(fault_of(&[top, jalr(ZERO, T0, 0)]), OUT_OF_PARTITION);
    assert_eq!(fault_of(&[jal(ZERO, -0x2000)]), OUT_OF_PARTITION);
    for entry in [FB_BYTES, u64::MAX - 1, 1 << 63] {
        let launch = Launch { entry, ..launch(1, 1) };
        assert_eq!(run(&mut partition_with(&[]), &launch), (0, OUT_OF_PARTITION));
    }
    for entry in [ENTRY + 1, u64::MAX] {
        let launch = Launch { entry, ..launch(1, 1) };
        assert_eq!(run(&mut partition_with(&EXIT), &launch), (0, ILLEGAL));
    }
}

#[test]
fn the_last_halfword_holds_a_short_instruction_but_no_long_one() {
    let entry = FB_BYTES - 2;
    let launch = Launch { entry, ..launch(1, 1) };
    let mut partition = partition_with(&[]);
    partition.store(entry, 0x0001u16).unwrap(); // c.nop
    assert_eq!(run(&mut partition, &launch), (1, OUT_OF_PARTITION));
    partition.store(entry, 0x0013u16).unwrap(); // the first half of a nop
    assert_eq!(run(&mut partition, &launch), (0, OUT_OF_PARTITION));
}

#[test]
fn what_the_engine_does_not_have_faults() {
    for word in [
        0,           // illegal by definition
        0xc000_1073, // unimp
        EBREAK,
        0x0000_9002, // c.ebreak
        0x3420_2573, // csrr a0, mcause
        0x0000_3507, // fld fa0, 0(zero)
        0x3020_0073, // mret
        0xffff_ffff,
    ] {
        assert_eq!(fault_of(&program(&[&[word], &EXIT])), ILLEGAL, "{word:#x}");
    }
    for number in [0, 92, 94, 999, 1001, -1] {
        let words = program(&[&[li(A7, number), ECALL], &EXIT]);
        assert_eq!(fault_of(&words), ILLEGAL, "{number}");
    }
}

#[test]
fn a_fault_of_one_thread_ends_the_launch_and_stays() {
    // Thread 2 of 4 stores to nowhere, which is two turns after the others began.
    let words = program(&[&[li(T0, 2), bne(A1, T0, 8), sd(T0, -8, ZERO)], &[jal(ZERO, 0)]]);
    let mut partition = partition_with(&words);
    let mut run = start(&launch(1, 4));
    let mut core = Core::new();
    let (ran, outcome) = run.run(&mut core, &mut partition, PLENTY, Until::LaunchEnd);
    assert_eq!(outcome, OUT_OF_PARTITION);
    assert_eq!(ran, 2 * u64::from(TURN_INSTRUCTIONS) + 2);
    let again = run.run(&mut core, &mut partition, PLENTY, Until::LaunchEnd);
    assert_eq!(again, (0, OUT_OF_PARTITION));
}
