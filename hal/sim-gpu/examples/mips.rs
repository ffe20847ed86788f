//! Prints how many instructions a second the compute core runs.
//!
//! `cargo run --release -p godwit-sim-gpu --example mips`

#[allow(dead_code, reason = "the example needs a part of it")]
#[path = "../src/compute/mod.rs"]
mod compute;
#[allow(dead_code, unreachable_pub, reason = "the example needs a part of it")]
#[path = "../src/partition.rs"]
mod partition;
#[allow(dead_code, reason = "the example needs a part of it")]
#[path = "../src/compute/program.rs"]
mod program;

use ckb_vm::registers::{A0, A1, A3, A4, T0, T1, T2, T3, T4, ZERO};
use compute::{Core, LaunchRun, Outcome, Until};
use godwit_regs::fifo::Launch;
use partition::Partition;
use program::{add, addi, and, bne, jal, ld, lui, mul, sd, slli, srli, xor};
use std::error::Error;
use std::time::Instant;

const ENTRY: u64 = 0x1_0000;
const BUDGET: u64 = 400_000_000;

/// Each thread works through 32 KiB of its own, again and again, without end.
const LOOP: [u32; 15] = [
    slli(T0, A1, 15),
    add(A0, A0, T0),
    lui(T4, 0x8),
    addi(T4, T4, -1),
    add(T2, A0, T1), // the loop begins
    ld(T3, 0, T2),
    add(A3, A3, T3),
    mul(T3, A3, A1),
    srli(A4, A3, 7),
    xor(A3, A3, A4),
    sd(A3, 0, T2),
    addi(T1, T1, 8),
    and(T1, T1, T4),
    bne(T1, ZERO, -36),
    jal(ZERO, -40),
];

fn main() -> Result<(), Box<dyn Error>> {
    for (threads, logging) in [(1, false), (32, false), (32, true)] {
        let mut partition = Partition::new(16 << 20)?;
        if logging {
            partition.start_log()?;
        }
        let bytes: Vec<u8> = LOOP.iter().flat_map(|word| word.to_le_bytes()).collect();
        partition.write(ENTRY, &bytes)?;
        let launch = Launch {
            entry: ENTRY,
            grid: 1,
            block: threads,
            args: 1 << 20,
            stacks: 0,
            stack_bytes: 0,
            shared_bytes: 0,
            shared: 0,
        };
        let mut run =
            LaunchRun::new(&launch, threads).map_err(|fault| format!("not launched: {fault:?}"))?;
        let mut core = Core::new();
        let started = Instant::now();
        let (ran, outcome) = run.run(&mut core, &mut partition, BUDGET, Until::LaunchEnd);
        let rate = ran as f64 / started.elapsed().as_secs_f64() / 1e6;
        assert_eq!(outcome, Outcome::Budget);
        println!("{threads:3} threads, log {logging:5}: {rate:6.1} million instructions a second");
    }
    Ok(())
}
