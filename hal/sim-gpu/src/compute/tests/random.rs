//! Programs that nobody wrote.

use super::{ENTRY, FB_BYTES, bytes_of, launch, partition_with, start};
use crate::compute::{Core, LaunchRun, Outcome, Until};
use crate::partition::Partition;

/// xorshift64*: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

/// Major opcodes of RV64IMA.
const OPCODES: [u32; 13] =
    [0x03, 0x0f, 0x13, 0x17, 0x1b, 0x23, 0x2f, 0x33, 0x37, 0x3b, 0x63, 0x67, 0x6f];

/// A word that is often an instruction.
fn random_word(random: &mut Random) -> u32 {
    let word = random.next() as u32;
    match random.below(4) {
        0 => word,
        1 => word & 0x3fff_ffff, // plain funct7 more often
        _ => {
            let opcode = OPCODES[random.below(OPCODES.len() as u64) as usize];
            let funct7 = [0, 1, 0x20][random.below(3) as usize] << 25;
            let keep =
                if random.below(2) == 0 { word & 0x01ff_ff80 | funct7 } else { word & !0x7f };
            keep | opcode
        }
    }
}

/// Two threads at random code, with registers that are mostly addresses.
fn random_state(random: &mut Random) -> (Partition, LaunchRun) {
    let words: Vec<u32> = (0..256).map(|_| random_word(random)).collect();
    let mut partition = partition_with(&words);
    let mut run = start(&launch(2, 2));
    run.run(&mut Core::new(), &mut partition, 1, Until::Budget);
    run.break_reservations();
    for thread in &mut run.threads {
        for x in &mut thread.x[1..] {
            *x = match random.below(8) {
                0 => random.next(),
                1 => random.below(40),
                2 => ENTRY + random.below(0x400),
                _ => random.below(FB_BYTES),
            };
        }
        thread.pc = ENTRY + 2 * random.below(0x200);
    }
    (partition, run)
}

/// Runs `budget` instructions in pieces of a few each.
fn run_in_pieces(
    run: &mut LaunchRun,
    core: &mut Core,
    partition: &mut Partition,
    budget: u64,
    random: &mut Random,
) -> (u64, Outcome) {
    let mut ran = 0;
    loop {
        let piece = (1 + random.below(9)).min(budget - ran);
        let (count, outcome) = run.run(core, partition, piece, Until::Budget);
        assert!(count <= piece);
        ran += count;
        if outcome != Outcome::Budget || ran == budget {
            return (ran, outcome);
        }
    }
}

#[test]
fn no_program_makes_the_core_panic_or_depend_on_how_it_is_stopped() {
    let mut survived = 0;
    for seed in 1..=2_000 {
        println!("GODWIT_SEED={seed}"); // shown only when the test fails
        let mut random = Random(seed << 32 | 0x9e37_79b9);
        let (mut partition, mut whole) = random_state(&mut random);
        let mut other = Partition::new(FB_BYTES).unwrap();
        other.write(0, &bytes_of(&partition)).unwrap();
        let mut pieces = LaunchRun::decode(&whole.encode(), 2).unwrap();
        let (mut core, mut other_core) = (Core::new(), Core::new());
        let mut left = 200;
        // Most such programs fault soon: then they go on somewhere else.
        for _ in 0..100 {
            let (ran, outcome) = whole.run(&mut core, &mut partition, left, Until::Budget);
            let same = run_in_pieces(&mut pieces, &mut other_core, &mut other, left, &mut random);
            assert_eq!(same, (ran, outcome));
            assert_eq!(pieces.encode(), whole.encode());
            survived += ran;
            left -= ran;
            if !matches!(outcome, Outcome::Fault(_)) {
                break;
            }
            let pc = ENTRY + 2 * random.below(0x200);
            for run in [&mut whole, &mut pieces] {
                run.threads[run.current as usize].pc = pc;
            }
        }
        assert!(bytes_of(&partition) == bytes_of(&other));
    }
    assert!(survived > 2_000 * 100, "{survived} are too few to mean much");
}
