//! Goal: a reset in the middle of a takeover loses no vGPU.
//! Method: what is retained is written when all vGPUs are taken over, and not before: two tables
//! of some of them would be all that is left.

use godwit_engine::{
    Action, Command, Engine, Input, Registers, Request, RetainedPhase, RetainedVgpu,
};
use godwit_types::{
    ChannelConfig, ChannelFault, ChannelId, Engines, Epoch, Gfid, Identity, Placement, Profile,
    RunlistId, RunlistState, Share,
};

const MIB: u64 = 1 << 20;
const DEVICE: Identity = Identity {
    fb_bytes: 64 * MIB,
    bar_bytes: 64 * MIB,
    context_bytes: MIB,
    context_layout: 1,
    engines: Engines::ALL,
};

/// A device without channels, on which vGPU 3 may not reach its peers.
struct Quiet;

impl Registers for Quiet {
    fn channel(&self, _: ChannelId) -> Option<ChannelConfig> {
        None
    }

    fn fault(&self, _: ChannelId) -> Option<ChannelFault> {
        None
    }

    fn are_peers_open(&self, gfid: Gfid) -> bool {
        gfid.raw() != 3
    }

    fn runlist(&self, _: RunlistId) -> (RunlistState, (u32, u32, u32)) {
        (RunlistState::Empty, (0, 0, 0))
    }
}

fn retained(raw: u8, phase: RetainedPhase) -> RetainedVgpu {
    let at = u64::from(raw) * 8 * MIB;
    let profile =
        Profile { fb_bytes: 8 * MIB, bar_bytes: MIB, channel_count: 2, context_bytes: 4096 };
    let placement = Placement {
        fb_base: at,
        bar_base: at,
        channel_base: u16::from(raw) * 2,
        context_base: u64::from(raw) * 8192,
    };
    let gfid = Gfid::new(raw).expect("1 to 32");
    RetainedVgpu { gfid, phase, profile, placement, epoch: Epoch(7), share: Share::DEFAULT }
}

#[test]
fn nothing_is_retained_before_all_are_taken_over() {
    let stopped = RetainedPhase::Stopped { guest_time_ns: 5, vectors: 1, pristine: false };
    let running = RetainedPhase::Running { time_offset_ns: 9 };
    let phases = [stopped, stopped, running, RetainedPhase::Broken, stopped];
    let mut engine = Engine::new(DEVICE);
    for (raw, phase) in (1..).zip(phases) {
        engine.recover_vgpu(&retained(raw, phase), &Quiet);
        while let Some(action) = engine.poll_action() {
            assert_ne!(action, Action::Retain, "after vGPU {raw}");
        }
    }
    engine.recover(DEVICE, &Quiet, 100);
    let actions: Vec<Action> = core::iter::from_fn(|| engine.poll_action()).collect();
    assert_eq!(actions.iter().filter(|action| **action == Action::Retain).count(), 1);
    let kept: Vec<RetainedPhase> = engine.retained().map(|vgpu| vgpu.phase).collect();
    assert_eq!(kept, phases);
}

#[test]
fn the_way_to_peers_is_as_the_registers_have_it() {
    let mut engine = Engine::new(DEVICE);
    for raw in 2..=3 {
        engine.recover_vgpu(&retained(raw, RetainedPhase::Running { time_offset_ns: 0 }), &Quiet);
    }
    engine.recover(DEVICE, &Quiet, 100);
    for raw in 2..=3 {
        let gfid = Gfid::new(raw).unwrap();
        engine.handle(&Input::ApertureSet(gfid), 100).unwrap();
    }
    while engine.poll_action().is_some() {}
    // A release opens what is closed.
    let mut opened = Vec::new();
    for raw in 2..=3 {
        let gfid = Gfid::new(raw).unwrap();
        let release = Request { id: raw.into(), gfid, command: Command::Release };
        engine.request(&release, 100).unwrap();
        for _ in 0..100 {
            let _ = engine.proceed(100);
            while let Some(action) = engine.poll_action() {
                match action {
                    Action::BindAperture(gfid, _) => {
                        engine.handle(&Input::ApertureSet(gfid), 100).unwrap();
                    }
                    Action::SetPeers(gfid, open) => opened.push((gfid.raw(), open)),
                    Action::Copy => drop(engine.poll_copy()),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(opened, [(3, true)]);
}
