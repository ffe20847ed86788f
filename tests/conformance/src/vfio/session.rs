//! Data sessions: how long they last, and how they are read.

use super::rig::Rig;
use super::verdict::{Verdict, done, holds, refused, same};
use super::{Bench, Device, Side, Work, errno, rules, state};
use state::{
    ASKED, ERROR, PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, RUNNING_P2P, STOP, STOP_COPY,
};
use std::format;

rules!("session":
    the_saving_group_shares_one,
    precopy_that_is_left_begins_afresh,
    stop_copy_that_is_left_begins_afresh,
    it_may_be_read_in_any_parts,
    a_short_read_is_an_end,
    the_end_for_now_is_enomsg,
    more_may_come_after_the_end_for_now,
    the_end_for_good_is_0_bytes_again_and_again,
    a_read_is_refused_outside_of_the_saving_group,
    a_write_is_refused_outside_of_resuming,
    a_state_can_be_read_without_precopy,
);

const FIRST: Side = Side::First;

fn at_work<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(FIRST, Work::Writer)?;
    rig.goes_on(FIRST, Work::Writer)
}

fn the_saving_group_shares_one<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    at_work(rig)?;
    let mut bytes = std::vec::Vec::new();
    for (to, bytes_max) in [
        (PRE_COPY, 10),
        (PRE_COPY_P2P, 5000),
        (PRE_COPY, 0),
        (PRE_COPY_P2P, 70_000),
        (PRE_COPY, 1 << 20),
        (PRE_COPY_P2P, 100),
    ] {
        rig.go(FIRST, to)?;
        bytes.extend(rig.read(FIRST, 4096, bytes_max)?);
        rig.run(20_000);
    }
    rig.go(FIRST, STOP_COPY)?;
    bytes.extend(rig.read_out(FIRST)?);
    rig.move_on(&bytes, Work::Writer)
}

fn precopy_that_is_left_begins_afresh<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for left in [RUNNING, RUNNING_P2P, STOP] {
        for (to, bytes_max) in [(PRE_COPY, 0), (PRE_COPY_P2P, 5000), (PRE_COPY, 1 << 24)] {
            rig.power_on();
            at_work(rig)?;
            rig.go(FIRST, to)?;
            rig.read(FIRST, 4096, bytes_max)?;
            rig.go(FIRST, left)?;
            let bytes = rig.save(FIRST, &[PRE_COPY, STOP_COPY])?;
            rig.move_on(&bytes, Work::Writer)?;
        }
    }
    Ok(())
}

fn stop_copy_that_is_left_begins_afresh<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for left in [STOP, RUNNING] {
        for bytes_max in [0, 5000, 1 << 24] {
            rig.power_on();
            at_work(rig)?;
            rig.go(FIRST, STOP_COPY)?;
            rig.read(FIRST, 4096, bytes_max)?;
            rig.go(FIRST, left)?;
            let bytes = rig.save(FIRST, &[STOP_COPY])?;
            rig.move_on(&bytes, Work::Writer)?;
        }
    }
    Ok(())
}

fn it_may_be_read_in_any_parts<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    at_work(rig)?;
    rig.go(FIRST, PRE_COPY)?;
    let mut bytes = rig.read(FIRST, 1, 3000)?;
    bytes.extend(rig.read(FIRST, 777, 100_000)?);
    bytes.extend(rig.read(FIRST, 1 << 20, 1 << 22)?);
    rig.go(FIRST, STOP_COPY)?;
    bytes.extend(rig.read(FIRST, 1, 3000)?);
    bytes.extend(rig.read(FIRST, 4099, 1 << 26)?);
    rig.move_on(&bytes, Work::Writer)
}

/// A read gives less than it was asked for only where there is an end, which the next one finds.
fn a_short_read_is_an_end<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let mut buffer = std::vec![0; 1 << 16];
    for to in [PRE_COPY, STOP_COPY] {
        rig.power_on();
        at_work(rig)?;
        rig.go(FIRST, to)?;
        let mut count = buffer.len();
        while count == buffer.len() {
            count = match rig.device(FIRST).read(&mut buffer) {
                Err(errno::ENOMSG) if to == PRE_COPY => return Ok(()),
                found => done(format!("a read in {}", state::name(to)), found)?,
            };
        }
        if count == 0 {
            continue;
        }
        let next = rig.device(FIRST).read(&mut buffer);
        if to == STOP_COPY {
            same("the read after a short one in STOP_COPY", next, Ok(0))?;
        } else {
            refused("the read after a short one in PRE_COPY", next, errno::ENOMSG)?;
        }
    }
    Ok(())
}

fn the_end_for_now_is_enomsg<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for to in [PRE_COPY, PRE_COPY_P2P] {
        rig.power_on();
        rig.write_memory(FIRST, 0x1234, &[7; 5000])?;
        rig.go(FIRST, to)?;
        holds("there is something to read", !rig.read_out(FIRST)?.is_empty())?;
        // Nothing is written meanwhile.
        for _ in 0..3 {
            let result = rig.device(FIRST).read(&mut [0; 4096]);
            refused(format!("a read at the end in {}", state::name(to)), result, errno::ENOMSG)?;
            rig.run(100_000);
        }
    }
    Ok(())
}

fn more_may_come_after_the_end_for_now<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.go(FIRST, PRE_COPY)?;
    let mut bytes = rig.read_out(FIRST)?;
    for round in 1..4 {
        rig.write_memory(FIRST, 0x2000 * round, &[round as u8; 9000])?;
        let more = rig.read_out(FIRST)?;
        holds("what was written since can be read", more.len() >= 9000)?;
        bytes.extend(more);
    }
    bytes.extend(rig.save(FIRST, &[STOP_COPY])?);
    rig.load(Side::Second, &bytes)?;
    rig.same_memory()
}

fn the_end_for_good_is_0_bytes_again_and_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for ways in [&[STOP_COPY][..], &[PRE_COPY, STOP_COPY]] {
        rig.power_on();
        at_work(rig)?;
        rig.save(FIRST, ways)?;
        for _ in 0..4 {
            same("a read at the end in STOP_COPY", rig.device(FIRST).read(&mut [0; 99]), Ok(0))?;
            rig.run(100_000);
        }
    }
    Ok(())
}

fn a_read_is_refused_outside_of_the_saving_group<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED.into_iter().filter(|at| !state::saves(*at)) {
        rig.power_on();
        // Where there was a session, there is none any more.
        rig.save(FIRST, &[PRE_COPY, STOP_COPY])?;
        rig.go(FIRST, at)?;
        let result = rig.device(FIRST).read(&mut [0; 4096]);
        refused(format!("a read in {}", state::name(at)), result, errno::EINVAL)?;
    }
    Ok(())
}

fn a_write_is_refused_outside_of_resuming<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let bytes = rig.save(FIRST, &[STOP_COPY])?;
    for at in ASKED.into_iter().filter(|at| *at != RESUMING) {
        rig.power_on();
        rig.go(FIRST, at)?;
        let result = rig.device(FIRST).write(&bytes);
        refused(format!("a write in {}", state::name(at)), result, errno::EINVAL)?;
        holds("the state is what it was", rig.state(FIRST) == at && at != ERROR)?;
    }
    // Nor after a session has come to its end.
    rig.power_on();
    rig.load(FIRST, &bytes)?;
    refused("a write in STOP", rig.device(FIRST).write(&bytes), errno::EINVAL)
}

fn a_state_can_be_read_without_precopy<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for ways in [&[STOP_COPY][..], &[STOP, STOP_COPY], &[RUNNING_P2P, STOP, STOP_COPY]] {
        rig.power_on();
        at_work(rig)?;
        let bytes = rig.save(FIRST, ways)?;
        rig.move_on(&bytes, Work::Writer)?;
    }
    Ok(())
}
