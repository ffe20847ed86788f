//! Channel slots, doorbells, faults.

use super::rig::{DATA_AT, PROFILE, Rig, STEP_NS, channel, config, gfid};
use super::verdict::{Verdict, holds, nothing, same};
use super::{Bench, Work, rules};
use godwit_hal::{Channels, Interrupts};
use godwit_regs::guest::DOORBELL_URGENT;
use godwit_types::{ChannelConfig, ChannelFault, ChannelId, Gfid, Index, RunlistId};

rules!("channels":
    a_slot_reads_back_as_it_was_bound,
    a_slot_that_is_unbound_reads_as_nothing,
    slots_are_apart,
    a_doorbell_is_handed_out_once,
    a_channel_that_rings_often_rings_at_least_once_more,
    no_doorbell_is_lost_between_others,
    a_bell_after_the_last_poll_is_not_lost,
    a_plain_doorbell_gives_no_hint,
    an_urgent_doorbell_gives_the_hint_once_and_rings,
    each_vgpu_that_rings_urgently_gives_its_own_hint,
    a_fault_is_handed_out_once_with_its_channel,
    a_bind_forgets_the_fault,
    a_channel_that_is_bound_with_a_fault_does_not_run,
);

const COMPUTE: RunlistId = RunlistId::COMPUTE;

/// A ring, a context and a group that are not those of the suite's other checks.
fn unusual() -> ChannelConfig {
    let mut config = config(1, 5, RunlistId::COPY);
    config.fault = Some(ChannelFault::BadPut);
    config
}

fn a_slot_reads_back_as_it_was_bound<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    nothing("a slot at power-on", rig.hardware().read_channel(channel(0, 0)))?;
    for (id, config) in [
        (channel(0, 0), config(0, 0, COMPUTE)),
        (channel(0, 7), config(0, 7, RunlistId::COPY)),
        (channel(1, 5), unusual()),
    ] {
        rig.hardware().bind_channel(id, &config);
        same("what was just written", rig.hardware().read_channel(id), Some(config))?;
        rig.pass(STEP_NS);
        same("what was written", rig.hardware().read_channel(id), Some(config))?;
    }
    Ok(())
}

fn a_slot_that_is_unbound_reads_as_nothing<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let id = rig.bind(0, 2, COMPUTE);
    rig.hardware().unbind_channel(id);
    rig.pass(STEP_NS);
    nothing("the slot", rig.hardware().read_channel(id))?;
    same("its doorbell", rig.bench.ring(gfid(0), 2), false)
}

fn slots_are_apart<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let last = channel(2, PROFILE.channel_count - 1);
    rig.hardware().bind_channel(channel(0, 3), &config(0, 3, COMPUTE));
    rig.hardware().bind_channel(last, &config(2, PROFILE.channel_count - 1, COMPUTE));
    rig.hardware().unbind_channel(channel(0, 3));
    rig.pass(STEP_NS);
    let expected = config(2, PROFILE.channel_count - 1, COMPUTE);
    same("the other slot", rig.hardware().read_channel(last), Some(expected))
}

fn doorbell<B: Bench>(rig: &mut Rig<'_, B>) -> Option<ChannelId> {
    rig.bench.pass(STEP_NS);
    rig.hardware().collect();
    rig.hardware().poll_doorbell()
}

fn a_doorbell_is_handed_out_once<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let id = rig.bind(0, 3, COMPUTE);
    nothing("a doorbell that did not ring", doorbell(rig))?;
    holds("the guest's token", rig.bench.ring(gfid, 3))?;
    same("the doorbell", doorbell(rig), Some(id))?;
    nothing("the doorbell again", doorbell(rig))
}

fn a_channel_that_rings_often_rings_at_least_once_more<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let id = rig.bind(0, 0, COMPUTE);
    for _ in 0..50 {
        for _ in 0..100 {
            rig.bench.ring(gfid, 0);
        }
        same("a doorbell after a storm", doorbell(rig), Some(id))?;
    }
    Ok(())
}

fn no_doorbell_is_lost_between_others<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for index in 0..3 {
        rig.vgpu(index)?;
        for guest in 0..PROFILE.channel_count {
            rig.bind(index, guest, COMPUTE);
        }
    }
    // Each vGPU rings all its channels; while they are handed out, the first rings again.
    let mut counts = [0u32; 3 * PROFILE.channel_count as usize];
    for index in 0..3 {
        for guest in 0..PROFILE.channel_count {
            rig.bench.ring(gfid(index), u32::from(guest));
        }
    }
    let mut again = 4;
    while let Some(id) = doorbell(rig) {
        let Some(count) = counts.get_mut(usize::from(id.raw())) else {
            return nothing("a doorbell of no channel of these", Some(id));
        };
        *count += 1;
        if again > 0 {
            again -= 1;
            rig.bench.ring(gfid(0), again);
        }
    }
    holds("a doorbell of every channel", counts.iter().all(|count| *count >= 1))?;
    // The three that rang again had been handed out or not; none may ring without end.
    holds("no doorbell twice that rang once", counts[8..].iter().all(|count| *count == 1))
}

fn a_bell_after_the_last_poll_is_not_lost<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let (one, other) = (rig.bind(0, 0, COMPUTE), rig.bind(0, 1, COMPUTE));
    rig.bench.ring(gfid, 0);
    same("the first doorbell", doorbell(rig), Some(one))?;
    // Between a poll that found something and the one that would find nothing more.
    rig.bench.ring(gfid, 1);
    rig.bench.ring(gfid, 0);
    let mut found = [false; 2];
    while let Some(id) = rig.until(Channels::poll_doorbell) {
        found[usize::from(id == other)] = true;
        if found == [true; 2] {
            break;
        }
    }
    holds("both bells", found == [true; 2])
}

fn hint<B: Bench>(rig: &mut Rig<'_, B>) -> Option<Gfid> {
    rig.pass(STEP_NS);
    rig.hardware().poll_hint()
}

fn a_plain_doorbell_gives_no_hint<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let id = rig.bind(0, 3, COMPUTE);
    rig.bench.ring(gfid, 3);
    nothing("a hint of a plain doorbell", hint(rig))?;
    same("the doorbell", doorbell(rig), Some(id))?;
    nothing("a hint of a plain doorbell that was handed out", hint(rig))
}

fn an_urgent_doorbell_gives_the_hint_once_and_rings<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let gfid = rig.vgpu(0)?;
    let id = rig.bind(0, 3, COMPUTE);
    let past = u32::from(PROFILE.channel_count) | DOORBELL_URGENT;
    same("an urgent token past the route", rig.bench.ring(gfid, past), false)?;
    nothing("a hint of a token past the route", hint(rig))?;
    for _ in 0..3 {
        holds("the guest's urgent token", rig.bench.ring(gfid, 3 | DOORBELL_URGENT))?;
        same("the hint", hint(rig), Some(gfid))?;
        same("the doorbell", doorbell(rig), Some(id))?;
        nothing("the hint again", hint(rig))?;
        nothing("the doorbell again", doorbell(rig))?;
    }
    Ok(())
}

fn each_vgpu_that_rings_urgently_gives_its_own_hint<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for index in 0..3 {
        rig.vgpu(index)?;
        rig.bind(index, 0, COMPUTE);
        rig.bind(index, 1, COMPUTE);
    }
    // The one in the middle does not; the others do with each of their channels.
    rig.bench.ring(gfid(1), 0);
    for (index, token) in [(0, 0), (2, 0), (0, 1), (2, 1)] {
        rig.bench.ring(gfid(index), token | DOORBELL_URGENT);
    }
    let mut found = [0u32; 3];
    while let Some(hinted) = hint(rig) {
        let Some(count) = found.get_mut(hinted.index()) else {
            return nothing("a hint of no vGPU of these", Some(hinted));
        };
        *count += 1;
    }
    for (count, expected) in found.into_iter().zip([1, 0, 1]) {
        same("hints of a vGPU", count, expected)?;
    }
    Ok(())
}

fn a_fault_is_handed_out_once_with_its_channel<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let id = rig.bind(0, 4, COMPUTE);
    nothing("a fault of a channel that is well", rig.hardware().channel_fault(id))?;
    rig.push(4, Work::Faulty);
    rig.start(COMPUTE, 4);
    let Some((faulted, fault)) = rig.until(Channels::poll_fault) else {
        return holds("a fault", false);
    };
    same("the channel", faulted, id)?;
    same("why it stands still", rig.hardware().channel_fault(id), Some(fault))?;
    rig.pass(STEP_NS);
    let again = rig.hardware().poll_fault().map(|(id, _)| id);
    nothing("the fault again", again)?;
    same("why it still stands still", rig.hardware().channel_fault(id), Some(fault))
}

fn a_bind_forgets_the_fault<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let id = rig.bind(0, 4, COMPUTE);
    rig.push(4, Work::Faulty);
    rig.start(COMPUTE, 4);
    holds("an end of the work", rig.answer(COMPUTE).is_some())?;
    // Not polled: a fault that a bind has made to be forgotten is none.
    rig.bind(0, 4, COMPUTE);
    nothing("the fault of a new binding", rig.hardware().channel_fault(id))?;
    let told = rig.hardware().poll_fault().map(|(id, _)| id);
    nothing("a fault of before the bind", told)
}

fn a_channel_that_is_bound_with_a_fault_does_not_run<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.vgpu(0)?;
    let mut config = config(0, 1, COMPUTE);
    config.fault = Some(ChannelFault::TooLarge);
    rig.hardware().bind_channel(channel(0, 1), &config);
    rig.pass(STEP_NS);
    rig.push(1, Work::Mark { at: DATA_AT, value: 1 });
    rig.run_idle(COMPUTE, 1)?;
    same("what its work would have written", rig.peek(DATA_AT), 0)?;
    // Bound without the fault it does.
    rig.bind(0, 1, COMPUTE);
    rig.run_idle(COMPUTE, 1)?;
    same("what its work writes", rig.peek(DATA_AT), 1)
}
