//! P2P states: a device reaches no other one, and goes on with all else.

use super::rig::{LOOK_NS, Rig};
use super::verdict::{Verdict, holds, same};
use super::{Bench, Side, Work, rules, state};
use state::{PRE_COPY, PRE_COPY_P2P, RUNNING, RUNNING_P2P, STOP, STOP_COPY};
use std::format;

rules!("peers":
    a_peer_is_reached_in_running_and_precopy,
    a_peer_is_not_reached_in_p2p,
    nothing_is_under_way_when_the_call_returns,
    own_work_goes_on_in_p2p,
    work_for_a_peer_goes_on_afterwards,
    a_peer_may_be_stopped_then,
    a_stopped_device_leads_to_p2p_first,
    a_restart_of_the_firmware_opens_no_way,
);

const FIRST: Side = Side::First;
const SECOND: Side = Side::Second;

/// The running states with a way to peers, and those without.
const OPEN: [u32; 2] = [RUNNING, PRE_COPY];
const CLOSED: [u32; 2] = [RUNNING_P2P, PRE_COPY_P2P];

/// Nothing of the first device comes to the second.
fn rests<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let (before, memory) = (rig.bench.progress(FIRST, Work::Peer), rig.bench.memory(SECOND));
    rig.run(LOOK_NS);
    let name = state::name(rig.state(FIRST));
    same(format!("progress at the peer in {name}"), rig.bench.progress(FIRST, Work::Peer), before)?;
    holds(format!("the peer's memory stays as it is in {name}"), rig.bench.memory(SECOND) == memory)
}

fn a_peer_is_reached_in_running_and_precopy<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    for at in OPEN {
        rig.go(FIRST, at)?;
        rig.goes_on(FIRST, Work::Peer)?;
    }
    Ok(())
}

fn a_peer_is_not_reached_in_p2p<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    for at in CLOSED {
        rig.go(FIRST, at)?;
        rests(rig)?;
    }
    Ok(())
}

/// At whatever time in the middle of an access the call comes.
fn nothing_is_under_way_when_the_call_returns<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    for at in CLOSED {
        for step in 0..8 {
            rig.go(FIRST, RUNNING)?;
            rig.goes_on(FIRST, Work::Peer)?;
            rig.bench.pass(1_300 * step);
            rig.go(FIRST, at)?;
            rests(rig)?;
        }
    }
    Ok(())
}

fn own_work_goes_on_in_p2p<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    rig.start(FIRST, Work::Writer)?;
    for at in CLOSED {
        rig.go(FIRST, at)?;
        for _ in 0..3 {
            rig.goes_on(FIRST, Work::Writer)?;
        }
        rig.works(FIRST)?;
        rests(rig)?;
    }
    Ok(())
}

fn work_for_a_peer_goes_on_afterwards<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    for ways in [[RUNNING_P2P, RUNNING], [PRE_COPY_P2P, PRE_COPY], [STOP, RUNNING]] {
        rig.go_by(FIRST, &ways)?;
        for _ in 0..3 {
            rig.goes_on(FIRST, Work::Peer)?;
        }
    }
    Ok(())
}

/// What P2P is for: all devices come to it before any is stopped.
fn a_peer_may_be_stopped_then<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    for (p2p, stopped, back) in [(RUNNING_P2P, STOP, RUNNING), (PRE_COPY_P2P, STOP_COPY, RUNNING)] {
        rig.go(FIRST, p2p)?;
        rig.go(SECOND, p2p)?;
        rig.go(SECOND, stopped)?;
        rests(rig)?;
        rig.go(FIRST, stopped)?;
        rests(rig)?;
        rig.go(SECOND, RUNNING_P2P)?;
        rig.go(FIRST, RUNNING_P2P)?;
        rests(rig)?;
        rig.go(SECOND, back)?;
        rig.go(FIRST, back)?;
        rig.goes_on(FIRST, Work::Peer)?;
    }
    Ok(())
}

/// One that was stopped runs without reaching a peer, until it is in RUNNING.
fn a_stopped_device_leads_to_p2p_first<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    rig.start(FIRST, Work::Writer)?;
    for stopped in [STOP, STOP_COPY] {
        rig.go(FIRST, stopped)?;
        rig.go(FIRST, RUNNING_P2P)?;
        rig.goes_on(FIRST, Work::Writer)?;
        rests(rig)?;
        rig.go(FIRST, RUNNING)?;
        rig.goes_on(FIRST, Work::Peer)?;
    }
    Ok(())
}

fn a_restart_of_the_firmware_opens_no_way<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.start_peer()?;
    for at in CLOSED {
        rig.go(FIRST, at)?;
        rig.bench.restart_firmware(FIRST);
        rests(rig)?;
        rig.go(FIRST, RUNNING)?;
        rig.goes_on(FIRST, Work::Peer)?;
    }
    Ok(())
}
