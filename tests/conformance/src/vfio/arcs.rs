//! States, and the ways between them (rules of `enum vfio_device_mig_state`).

use super::rig::Rig;
use super::verdict::{Verdict, done, fails, holds, needs, refused, same};
use super::{Bench, Device, Side, Work, errno, rules, state};
use state::{
    ASKED, ERROR, PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, RUNNING_P2P, STOP, STOP_COPY,
};
use std::format;
use std::vec::Vec;

rules!("arcs":
    it_runs_at_first,
    every_state_leads_to_every_other,
    a_way_leads_on_from_the_middle_of_a_session,
    a_way_leads_on_from_the_end_of_a_session,
    the_same_state_again_keeps_its_session,
    error_cannot_be_asked_for,
    states_that_there_are_not_are_refused,
    stop_copy_does_not_lead_back_to_precopy,
    nothing_but_a_reset_leads_out_of_error,
);

const FIRST: Side = Side::First;

/// Whether there is a way: all but those back into pre-copy.
fn leads(from: u32, to: u32) -> bool {
    from != STOP_COPY || to == STOP_COPY || !state::saves(to)
}

/// Every way but those from a state to itself.
fn ways() -> impl Iterator<Item = (u32, u32)> {
    let all = ASKED.into_iter().flat_map(|from| ASKED.map(|to| (from, to)));
    all.filter(|(from, to)| from != to && leads(*from, *to))
}

/// Brings the first device to a state, with work on it. What is written to it is what it was.
fn bring<B: Bench>(rig: &mut Rig<'_, B>, to: u32) -> Verdict {
    rig.power_on();
    rig.start(FIRST, Work::Writer)?;
    rig.goes_on(FIRST, Work::Writer)?;
    if to == RESUMING {
        let bytes = rig.save(FIRST, &[STOP_COPY])?;
        rig.go(FIRST, RESUMING)?;
        done("a write in RESUMING", rig.write(FIRST, &bytes, bytes.len()))
    } else {
        rig.go(FIRST, to)
    }
}

fn it_runs_at_first<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(FIRST, Work::Writer)?;
    rig.is_in(FIRST, RUNNING)
}

fn every_state_leads_to_every_other<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for (from, to) in ways() {
        bring(rig, from)?;
        rig.go(FIRST, to)?;
        rig.is_in(FIRST, to)?;
    }
    Ok(())
}

fn a_way_leads_on_from_the_middle_of_a_session<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for (from, to) in ways().filter(|(from, _)| state::saves(*from)) {
        bring(rig, from)?;
        rig.read(FIRST, 1000, 5000)?;
        rig.go(FIRST, to)?;
        rig.is_in(FIRST, to)?;
    }
    Ok(())
}

fn a_way_leads_on_from_the_end_of_a_session<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for (from, to) in ways().filter(|(from, _)| state::saves(*from)) {
        bring(rig, from)?;
        rig.read_out(FIRST)?;
        rig.go(FIRST, to)?;
        rig.is_in(FIRST, to)?;
    }
    Ok(())
}

/// What a call that is refused or does nothing must leave as it is: the state, and the session.
fn changes_nothing<B: Bench>(
    rig: &mut Rig<'_, B>,
    at: u32,
    mut call: impl FnMut(&mut Rig<'_, B>) -> Verdict,
) -> Verdict {
    bring(rig, at)?;
    let mut bytes = Vec::new();
    if state::saves(at) {
        bytes = rig.read(FIRST, 1000, 5000)?;
    }
    call(rig)?;
    same("the state", state::name(rig.state(FIRST)), state::name(at))?;
    if state::saves(at) {
        // The rest of the stream is still there.
        bytes.extend(rig.read_out(FIRST)?);
        if at != STOP_COPY {
            bytes.extend(rig.save(FIRST, &[STOP_COPY])?);
        }
        return rig.move_on(&bytes, Work::Writer);
    }
    if at == RESUMING {
        // And what was written is what the device is then.
        rig.go(FIRST, RUNNING)?;
        return rig.goes_on(FIRST, Work::Writer);
    }
    rig.is_in(FIRST, at)
}

fn the_same_state_again_keeps_its_session<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED {
        changes_nothing(rig, at, |rig| rig.go(FIRST, at))?;
    }
    Ok(())
}

fn error_cannot_be_asked_for<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED {
        changes_nothing(rig, at, |rig| {
            let result = rig.device(FIRST).set_state(ERROR);
            refused(format!("{} to ERROR", state::name(at)), result, errno::EINVAL)
        })?;
    }
    Ok(())
}

fn states_that_there_are_not_are_refused<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED {
        changes_nothing(rig, at, |rig| {
            for to in [8, 9, 255, 256 + STOP, u32::MAX] {
                let result = rig.device(FIRST).set_state(to);
                refused(format!("{} to {to:#x}", state::name(at)), result, errno::EINVAL)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn stop_copy_does_not_lead_back_to_precopy<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    changes_nothing(rig, STOP_COPY, |rig| {
        for to in [PRE_COPY, PRE_COPY_P2P] {
            let result = rig.device(FIRST).set_state(to);
            refused(format!("STOP_COPY to {}", state::name(to)), result, errno::EINVAL)?;
        }
        Ok(())
    })
}

fn nothing_but_a_reset_leads_out_of_error<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.go(FIRST, RESUMING)?;
    fails("RESUMING to STOP with nothing written", rig.device(FIRST).set_state(STOP))?;
    needs(rig.state(FIRST) == ERROR, "the device has no ERROR after a state that is none")?;
    for to in [ERROR, STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P] {
        let result = rig.device(FIRST).set_state(to);
        refused(format!("ERROR to {}", state::name(to)), result, errno::EINVAL)?;
        holds("the state is ERROR still", rig.state(FIRST) == ERROR)?;
    }
    rig.reset(FIRST)?;
    rig.works(FIRST)
}
