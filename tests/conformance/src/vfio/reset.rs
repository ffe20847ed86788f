//! A reset leads to RUNNING from everywhere, and leaves nothing behind (`VFIO_DEVICE_RESET`).

use super::rig::Rig;
use super::verdict::{Verdict, done, fails, refused, same};
use super::{Bench, Device, Side, Work, errno, rules, state};
use state::{ASKED, PRE_COPY, RESUMING, RUNNING, STOP, STOP_COPY};
use std::format;

rules!("reset":
    it_leads_to_running_from_every_state,
    it_ends_every_session,
    it_leads_out_of_a_state_that_was_not_taken,
    it_may_be_done_again,
    a_device_that_was_reset_can_be_moved,
    it_leaves_the_guests_memory_within_reach,
    it_leaves_a_peer_within_reach,
    it_leaves_the_other_device_alone,
);

const FIRST: Side = Side::First;
const SECOND: Side = Side::Second;

fn at_work<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(FIRST, Work::Writer)?;
    rig.goes_on(FIRST, Work::Writer)
}

fn it_leads_to_running_from_every_state<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED {
        rig.power_on();
        at_work(rig)?;
        rig.go(FIRST, at)?;
        rig.reset(FIRST)?;
        at_work(rig)?;
        rig.is_in(FIRST, RUNNING)?;
    }
    Ok(())
}

fn it_ends_every_session<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in ASKED {
        for bytes_max in [0, 5_000, 1 << 24] {
            rig.power_on();
            at_work(rig)?;
            rig.go(FIRST, at)?;
            if state::saves(at) {
                rig.read(FIRST, 4096, bytes_max)?;
            }
            rig.reset(FIRST)?;
            let name = state::name(at);
            let read = rig.device(FIRST).read(&mut [0; 16]);
            refused(format!("a read after a reset in {name}"), read, errno::EINVAL)?;
            let write = rig.device(FIRST).write(&[0]);
            refused(format!("a write after a reset in {name}"), write, errno::EINVAL)?;
            rig.works(FIRST)?;
        }
    }
    Ok(())
}

fn it_leads_out_of_a_state_that_was_not_taken<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    at_work(rig)?;
    let bytes = rig.save(FIRST, &[STOP_COPY])?;
    rig.go_by(FIRST, &[STOP, RESUMING])?;
    done("a write in RESUMING", rig.write(FIRST, &bytes[..bytes.len() / 2], 4096))?;
    fails("half a state", rig.device(FIRST).set_state(STOP))?;
    rig.reset(FIRST)?;
    rig.works(FIRST)
}

fn it_may_be_done_again<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for _ in 0..3 {
        at_work(rig)?;
        rig.go(FIRST, PRE_COPY)?;
        rig.reset(FIRST)?;
        rig.reset(FIRST)?;
        rig.works(FIRST)?;
    }
    Ok(())
}

fn a_device_that_was_reset_can_be_moved<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    at_work(rig)?;
    rig.go(FIRST, STOP_COPY)?;
    rig.reset(FIRST)?;
    rig.reset(SECOND)?;
    at_work(rig)?;
    let bytes = rig.save(FIRST, &[PRE_COPY, STOP_COPY])?;
    rig.move_on(&bytes, Work::Writer)
}

fn it_leaves_the_guests_memory_within_reach<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for at in [RUNNING, STOP_COPY, RESUMING] {
        rig.power_on();
        rig.go(FIRST, at)?;
        rig.reset(FIRST)?;
        rig.start(FIRST, Work::GuestMemory)?;
        rig.goes_on(FIRST, Work::GuestMemory)?;
    }
    Ok(())
}

/// Either end of the way was reset, or was given another state.
fn it_leaves_a_peer_within_reach<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    for side in Side::BOTH {
        rig.power_on();
        rig.reset(side)?;
        rig.start_peer()?;
        rig.power_on();
        let bytes = rig.save(side, &[STOP_COPY])?;
        rig.load(side, &bytes)?;
        rig.go(side, RUNNING)?;
        rig.start_peer()?;
        rig.power_on();
        rig.is_not_taken(side, "half a state", &bytes[..bytes.len() / 2])?;
        rig.start_peer()?;
    }
    Ok(())
}

fn it_leaves_the_other_device_alone<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start(SECOND, Work::Job)?;
    while rig.bench.result(SECOND).is_none() {
        rig.run(100_000);
        rig.reset(FIRST)?;
    }
    same("its result is right", rig.bench.result(SECOND), Some(true))
}
