//! Actions to the hardware.

use crate::turn::Pump;
use godwit_engine::{Action, Input, RetainedPhase, RetainedVgpu};
use godwit_hal::{Hardware, RetainedSlot};
use godwit_types::{Limit, Limits, Scheduling};
use godwit_wire::mailbox;
use godwit_wire::retained;

/// Performs one action. Gives the hardware's answer where it comes at once.
pub(crate) fn perform<H: Hardware>(pump: &mut Pump, hal: &mut H, action: Action) -> Option<Input> {
    let engine = &pump.engine;
    match action {
        Action::Retain => retain(pump, hal),
        Action::Start(runlist, tsg, seq) => hal.start(runlist, tsg, seq),
        Action::Preempt(runlist, mode, seq) => hal.request_preempt(runlist, mode, seq),
        Action::PreemptAt(runlist, mode, seq, at_ns) => hal.preempt_at(runlist, mode, seq, at_ns),
        Action::Reset(runlist, seq) => hal.request_reset(runlist, seq),
        Action::Probe(runlist) => {
            return Some(Input::Probed(runlist, hal.runlist_state(runlist)));
        }
        Action::Alarm(at_ns) => hal.set_alarm((at_ns != u64::MAX).then_some(at_ns)),
        Action::Bind(channel, gfid, guest) => {
            if let Some(config) = engine.channel_config(gfid, guest) {
                hal.bind_channel(channel, &config);
            }
        }
        Action::Unbind(channel) => hal.unbind_channel(channel),
        Action::SetPartition(gfid) => {
            let (placement, profile) = engine.home(gfid);
            hal.set_partition(gfid, &placement, &profile);
        }
        Action::ClearPartition(gfid) => hal.clear_partition(gfid),
        Action::BindAperture(gfid, window) => {
            hal.bind_aperture(gfid, &engine.aperture(gfid, window));
        }
        Action::SetRoute(gfid, open) => hal.set_route(gfid, &engine.route(gfid, open)),
        Action::SetPeers(gfid, open) => hal.set_peers(gfid, open),
        Action::Inject(gfid, vectors) => hal.inject_vectors(gfid, vectors),
        Action::Record(runlist) => {
            let switch = engine.switch(runlist)?;
            hal.record(&switch);
            return Some(Input::Interrupts(switch.gfid, hal.interrupts(switch.gfid)));
        }
        Action::CountInterrupts(gfid) => {
            return Some(Input::Interrupts(gfid, hal.interrupts(gfid)));
        }
        Action::ReadVectors(gfid) => {
            return Some(Input::Vectors(gfid, hal.pending_vectors(gfid)));
        }
        Action::Copy => {
            if let Some(request) = pump.engine.poll_copy() {
                pump.submit_copy(hal, &request);
            }
        }
    }
    None
}

/// Writes the retained record to the place that holds the older one.
#[inline(never)]
fn retain<H: Hardware>(pump: &mut Pump, hal: &mut H) {
    pump.retained_number = pump.retained_number.wrapping_add(1);
    let vgpus = pump.engine.retained().map(|vgpu| to_wire(&vgpu));
    let slot = if pump.retained_number & 1 == 0 { RetainedSlot::A } else { RetainedSlot::B };
    let store = |at: usize, bytes: &[u8]| hal.store(slot, at, bytes);
    // There are never more vGPUs than there is room for.
    let rules = rules(&pump.engine.scheduling(), &pump.engine.limits());
    let _ = retained::write(pump.retained_number, &rules, vgpus, store);
}

fn rules(how: &Scheduling, limits: &Limits) -> retained::Rules {
    let limit = |limit: Limit| mailbox::Limit { count: limit.count, measure: limit.measure as u8 };
    retained::Rules {
        scheduling: mailbox::Scheduling {
            policy: how.policy as u8,
            slice_ns: how.slice_ns,
            averaging: how.averaging,
        },
        limits: mailbox::Limits { window_ms: limits.window_ms, of: limits.of.map(limit) },
    }
}

fn to_wire(vgpu: &RetainedVgpu) -> retained::Vgpu {
    let phase = match vgpu.phase {
        RetainedPhase::Running { time_offset_ns } => retained::Phase::Running { time_offset_ns },
        RetainedPhase::Stopped { guest_time_ns, vectors, pristine } => {
            retained::Phase::Stopped { guest_time_ns, vectors, pristine }
        }
        RetainedPhase::Broken => retained::Phase::Broken,
    };
    retained::Vgpu {
        gfid: vgpu.gfid.raw(),
        phase,
        profile: mailbox::Profile {
            fb_bytes: vgpu.profile.fb_bytes,
            bar_bytes: vgpu.profile.bar_bytes,
            channel_count: vgpu.profile.channel_count,
            context_bytes: vgpu.profile.context_bytes,
        },
        placement: mailbox::Placement {
            fb_base: vgpu.placement.fb_base,
            bar_base: vgpu.placement.bar_base,
            channel_base: vgpu.placement.channel_base,
            context_base: vgpu.placement.context_base,
        },
        epoch: vgpu.epoch.0,
        share: mailbox::Share {
            weight: vgpu.share.weight,
            part: vgpu.share.part,
            cap: vgpu.share.cap,
        },
    }
}
