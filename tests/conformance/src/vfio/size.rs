//! How much there is to be read once the device is stopped (`VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`).

use super::rig::Rig;
use super::verdict::{Verdict, done, fails, holds};
use super::{Bench, Device, Side, Work, rules, state};
use state::{ASKED, ERROR, PRE_COPY, RESUMING, RUNNING, STOP, STOP_COPY};
use std::format;

rules!("size":
    it_is_told_in_every_state,
    it_is_no_less_than_what_is_read_then,
    it_counts_what_precopy_has_left,
    it_falls_as_data_is_read,
);

const FIRST: Side = Side::First;

fn size<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict<u64> {
    let what = format!("the size in {}", state::name(rig.state(FIRST)));
    done(what, rig.device(FIRST).data_size())
}

fn it_is_told_in_every_state<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED {
        rig.power_on();
        rig.go(FIRST, at)?;
        holds(format!("the size in {} is above 0", state::name(at)), size(rig)? > 0)?;
    }
    rig.power_on();
    rig.go(FIRST, RESUMING)?;
    fails("a state of no bytes", rig.device(FIRST).set_state(STOP))?;
    holds("the state is ERROR, or RESUMING still", [ERROR, RESUMING].contains(&rig.state(FIRST)))?;
    size(rig).map(drop)
}

/// Stops the device, and holds what is read to what was said before.
fn bounds<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let told = size(rig)?;
    let at = state::name(rig.state(FIRST));
    rig.go(FIRST, STOP_COPY)?;
    let stopped = size(rig)?;
    let read = rig.read_out(FIRST)?.len() as u64;
    holds(format!("{told} bytes told in {at} are enough for {read}"), told >= read)?;
    holds(format!("{stopped} bytes told in STOP_COPY are enough for {read}"), stopped >= read)
}

fn it_is_no_less_than_what_is_read_then<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED.into_iter().filter(|at| *at != RESUMING) {
        rig.power_on();
        rig.start(FIRST, Work::Writer)?;
        rig.goes_on(FIRST, Work::Writer)?;
        rig.go(FIRST, at)?;
        bounds(rig)?;
    }
    Ok(())
}

/// What pre-copy has begun and nobody has read is read in STOP_COPY. The worst is a memory without
/// a page of zeros, all of which is written once more.
fn it_counts_what_precopy_has_left<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for bytes_max in [0, 5_000, 1 << 20, 1 << 24] {
        rig.power_on();
        let len = rig.bench.memory(FIRST).len();
        for byte in [1, 2] {
            rig.write_memory(FIRST, 0, &std::vec![byte; len])?;
            if byte == 1 {
                rig.go(FIRST, PRE_COPY)?;
                done("precopy info in PRE_COPY", rig.device(FIRST).precopy_info())?;
                rig.read(FIRST, 1 << 16, bytes_max)?;
            }
        }
        bounds(rig)?;
    }
    Ok(())
}

fn it_falls_as_data_is_read<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(FIRST, Work::Writer)?;
    rig.goes_on(FIRST, Work::Writer)?;
    rig.go_by(FIRST, &[STOP, STOP_COPY])?;
    let (mut told, mut readable) = (size(rig)?, true);
    let mut first = true;
    let mut all = std::vec![told];
    let mut parts = std::vec::Vec::new();
    while readable {
        let bytes = rig.read(FIRST, 10_000, 10_000)?.len();
        readable = bytes == 10_000;
        parts.push(bytes as u64);
        let now = size(rig)?;
        holds("the size never grows", now <= told)?;
        holds("the size falls", now < told || first || !readable)?;
        (told, first) = (now, false);
        all.push(now);
    }
    let mut left = 0;
    for (told, part) in all.iter().rev().skip(1).zip(parts.iter().rev()) {
        left += part;
        holds(format!("{told} bytes told are enough for {left}"), *told >= left)?;
    }
    rig.go(FIRST, RUNNING)
}
