//! That each executor is the one of its instruction.

use super::{ARGS, ENTRY, launch, load, partition_with, run};
use crate::compute::Outcome;
use crate::compute::program::{
    EXIT, add, addi, amoadd_d, amoswap_w, and, andi, auipc, jal, lbu, ld, li, lui, mul, sd, slli,
    srli, sw, xor,
};
use ckb_vm::registers::{A0, T0, T1, T2, ZERO};

#[test]
fn instructions_do_what_the_architecture_says() {
    // With 20 in T1, -5 in T2 and 7 in the word at `args`: T0 and that word afterwards.
    let minus = |value: u64| value.wrapping_neg();
    for (word, result, memory) in [
        (addi(T0, T1, -3), 17, 7),
        (andi(T0, T1, 6), 4, 7),
        (slli(T0, T2, 60), 0xb << 60, 7),
        (srli(T0, T2, 4), u64::MAX >> 4, 7),
        (lui(T0, 0x80000), minus(0x8000_0000), 7),
        (auipc(T0, 1), ENTRY + 8 + 0x1000, 7),
        (add(T0, T1, T2), 15, 7),
        (xor(T0, T1, T2), minus(17), 7),
        (and(T0, T1, T2), 16, 7),
        (mul(T0, T1, T2), minus(100), 7),
        (0x0273_42b3, minus(4), 7), // div t0, t1, t2
        (0x0263_e2b3, minus(5), 7), // rem t0, t2, t1
        (0x0001_52fd, minus(1), 7), // c.li t0, -1; c.nop
        (ld(T0, 0, A0), 7, 7),
        (lbu(T0, 0, A0), 7, 7),
        (sw(T2, 0, A0), 0, 0xffff_fffb),
        (sd(T2, 0, A0), 0, minus(5)),
        (amoadd_d(T0, T1, A0), 7, 27),
        (amoswap_w(T0, T2, A0), 7, 0xffff_fffb),
        (jal(T0, 4), ENTRY + 12, 7),
        (add(ZERO, T1, T2), 0, 7),
    ] {
        let mut partition = partition_with(&[li(T1, 20), li(T2, -5), word, sd(T0, 8, A0)]);
        load(&mut partition, ENTRY + 16, &EXIT);
        partition.store(ARGS, 7u64).unwrap();
        assert_eq!(run(&mut partition, &launch(1, 1)).1, Outcome::Done);
        let found = [ARGS, ARGS + 8].map(|at| partition.load::<u64>(at).unwrap());
        assert_eq!(found, [memory, result], "{word:#x}");
    }
}
