//! A state that is written: taken in any parts, and only if it is one.

use super::rig::Rig;
use super::verdict::{Verdict, done, needs};
use super::{Bench, Device, Side, Work, rules, state};
use state::{PRE_COPY, RESUMING, STOP_COPY};
use std::format;
use std::vec::Vec;

rules!("restore":
    a_state_is_taken_byte_by_byte,
    a_state_is_taken_in_odd_parts,
    a_state_is_taken_as_a_whole,
    nothing_is_no_state,
    a_state_that_was_cut_is_not_taken,
    a_state_with_a_bit_flipped_is_not_taken,
    a_state_of_another_kind_of_device_is_not_taken,
    a_state_with_bytes_behind_it_is_not_taken,
    a_state_in_another_order_is_not_taken,
    a_state_with_bytes_missing_is_not_taken,
    a_session_is_given_up_by_a_reset,
    after_a_state_that_is_none_a_whole_one_is_taken,
);

const FIRST: Side = Side::First;
const SECOND: Side = Side::Second;

/// The state of a device that is at work.
fn a_state<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict<Vec<u8>> {
    rig.start(FIRST, Work::Writer)?;
    rig.goes_on(FIRST, Work::Writer)?;
    rig.save(FIRST, &[PRE_COPY, STOP_COPY])
}

fn is_taken_in<B: Bench>(rig: &mut Rig<'_, B>, chunk: usize) -> Verdict {
    let bytes = a_state(rig)?;
    rig.load_in(SECOND, &bytes, chunk.min(bytes.len()))?;
    rig.same_memory()?;
    rig.bench.hand_over(SECOND);
    rig.go(SECOND, state::RUNNING)?;
    rig.goes_on(SECOND, Work::Writer)
}

fn a_state_is_taken_byte_by_byte<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    is_taken_in(rig, 1)
}

fn a_state_is_taken_in_odd_parts<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for chunk in [7, 4093, 262_145] {
        rig.power_on();
        is_taken_in(rig, chunk)?;
    }
    Ok(())
}

fn a_state_is_taken_as_a_whole<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    is_taken_in(rig, usize::MAX)
}

fn nothing_is_no_state<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.write_memory(SECOND, 0x5000, &[5; 100])?;
    rig.is_not_taken(SECOND, "a state of no bytes", &[])?;
    rig.works(SECOND)
}

fn a_state_that_was_cut_is_not_taken<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let bytes = a_state(rig)?;
    let len = bytes.len();
    for end in [1, 23, 100, len / 7, len / 3, len / 2, len - len / 9, len - 100, len - 1] {
        rig.is_not_taken(SECOND, &format!("{end} bytes of {len}"), &bytes[..end])?;
    }
    rig.works(SECOND)
}

fn a_state_with_a_bit_flipped_is_not_taken<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let bytes = a_state(rig)?;
    let (len, parts) = (bytes.len(), 12);
    let spread = (0..=parts).map(|part| (len - 1) * part / parts);
    for (turn, at) in spread.chain([3, 8, 30, len - 20]).enumerate() {
        let mut other = bytes.clone();
        other[at] ^= 1 << (turn % 8);
        rig.is_not_taken(SECOND, &format!("a bit of byte {at} of {len} flipped"), &other)?;
    }
    rig.works(SECOND)
}

fn a_state_of_another_kind_of_device_is_not_taken<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let other = rig.bench.other_state();
    needs(other.is_some(), "there is no device of another kind")?;
    let other = other.unwrap_or_default();
    rig.is_not_taken(SECOND, "the state of another kind of device", &other)?;
    rig.works(SECOND)
}

fn a_state_with_bytes_behind_it_is_not_taken<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let bytes = a_state(rig)?;
    for behind in [&[0][..], &[1; 5000], &bytes] {
        let more = [&bytes, behind].concat();
        rig.is_not_taken(SECOND, &format!("{} bytes behind the end", behind.len()), &more)?;
    }
    // Nor when they come alone, after a state that was whole.
    rig.go(SECOND, RESUMING)?;
    done("a write in RESUMING", rig.write(SECOND, &bytes, bytes.len()))?;
    let behind = rig.write(SECOND, &[0], 1);
    let result = behind.and_then(|()| rig.device(SECOND).set_state(state::STOP));
    super::verdict::fails("a byte behind the end, by itself", result)?;
    rig.reset(SECOND)?;
    rig.works(SECOND)
}

fn a_state_in_another_order_is_not_taken<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let bytes = a_state(rig)?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let turned = [second, first].concat();
    rig.is_not_taken(SECOND, "a state whose halves have changed places", &turned)?;
    rig.works(SECOND)
}

fn a_state_with_bytes_missing_is_not_taken<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let bytes = a_state(rig)?;
    let len = bytes.len();
    for (from, count) in [(0, 1), (len / 4, 1), (len / 3, 4096), (len / 2, len / 4)] {
        let less = [&bytes[..from], &bytes[from + count..]].concat();
        rig.is_not_taken(SECOND, &format!("{count} bytes missing at {from} of {len}"), &less)?;
    }
    rig.works(SECOND)
}

fn a_session_is_given_up_by_a_reset<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let bytes = a_state(rig)?;
    for end in [0, 10, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
        rig.go(SECOND, RESUMING)?;
        done("a write in RESUMING", rig.write(SECOND, &bytes[..end], 4096))?;
        rig.reset(SECOND)?;
        rig.works(SECOND)?;
    }
    rig.move_on(&bytes, Work::Writer)
}

fn after_a_state_that_is_none_a_whole_one_is_taken<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let bytes = a_state(rig)?;
    for end in [0, 5000, bytes.len() / 2, bytes.len() - 1] {
        rig.is_not_taken(SECOND, "a state that was cut", &bytes[..end])?;
    }
    rig.move_on(&bytes, Work::Writer)
}
