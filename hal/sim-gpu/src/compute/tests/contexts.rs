//! Contexts that are wrong.

use super::{launch, partition_with, program, start};
use crate::compute::launch::TURN_INSTRUCTIONS;
use crate::compute::program::{BARRIER, jal};
use crate::compute::{Core, LaunchRun, Outcome, Until};
use crate::partition::Partition;
use ckb_vm::registers::ZERO;
use godwit_types::ChannelFault;

/// A state with two threads in flight, one of them behind the other, at the barrier.
fn midway() -> (Partition, LaunchRun) {
    let words = program(&[&BARRIER, &[jal(ZERO, 0)]]);
    let mut partition = partition_with(&words);
    let mut run = start(&launch(2, 3));
    let outcome = run.run(&mut Core::new(), &mut partition, 3, Until::Budget);
    assert_eq!(outcome, (3, Outcome::Budget));
    (partition, run)
}

#[test]
fn a_context_of_another_length_is_refused() {
    let (_, run) = midway();
    let bytes = run.encode();
    for len in 0..bytes.len() {
        assert!(LaunchRun::decode(&bytes[..len], 3).is_err(), "{len}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(LaunchRun::decode(&longer, 3).is_err());
    longer.resize(bytes.len() + 272, 0);
    assert!(LaunchRun::decode(&longer, 3).is_err());
    assert!(LaunchRun::decode(&bytes, 3).is_ok());
}

#[test]
fn a_context_that_no_launch_can_be_in_is_refused() {
    let (_, run) = midway();
    let good = run.encode();
    const STATE: usize = 80 + 32 * 8;
    let turn = TURN_INSTRUCTIONS;
    for (at, value, what) in [
        (0, 2, "not a launch"),
        (4, 0, "no blocks"),
        (8, 0, "no threads"),
        (8, 2, "fewer threads than are in flight"),
        (12, 8, "stacks that are not aligned"),
        (64, 0, "threads of no block"),
        (64, 3, "more blocks than the grid has"),
        (68, 2, "fewer threads than the block"),
        (68, 4, "more threads than the block"),
        (68, 0, "no threads, but their bytes"),
        (72, 0, "the turn of a thread that waits"),
        (72, 3, "the turn of a thread that is not there"),
        (76, 0, "a turn that is over"),
        (76, turn + 1, "a turn that is too long"),
        (STATE, 3, "an unknown state"),
        (STATE + 4, 1, "an unknown state"),
        (STATE + 8, 1, "a number that must be zero"),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let refused = LaunchRun::decode(&bytes, 3).unwrap_err();
        assert_eq!(refused, ChannelFault::BadContext, "{what}");
    }
    assert!(LaunchRun::decode(&good, 2).is_err(), "more than the cap");
    let mut between = start(&launch(2, 3)).encode();
    assert!(LaunchRun::decode(&between, 3).is_ok());
    between[76] = 1;
    assert!(LaunchRun::decode(&between, 3).is_err(), "nobody's turn");
}

#[test]
fn a_context_with_any_byte_changed_is_refused_or_runs() {
    let (mut partition, run) = midway();
    let good = run.encode();
    let mut core = Core::new();
    for at in 0..good.len() {
        for value in 0..=255 {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(mut run) = LaunchRun::decode(&bytes, 3) {
                assert_eq!(run.encode(), bytes);
                let (ran, _) = run.run(&mut core, &mut partition, 20, Until::Budget);
                assert!(ran <= 20);
            }
        }
    }
}
