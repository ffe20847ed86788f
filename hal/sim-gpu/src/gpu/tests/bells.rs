//! Doorbells that are urgent, and those of channels that stand still.

use super::{COMPUTE, SECOND_NS};
use crate::Stop;
use crate::harness::{Rig, channel, gfid};
use godwit_hal::{Channels, Interrupts};
use godwit_regs::guest::DOORBELL_URGENT;
use godwit_types::{ChannelId, Gfid};

/// What a doorbell has left for the firmware.
fn told(rig: &mut Rig) -> (Option<Gfid>, Option<ChannelId>) {
    rig.firmware.collect();
    (rig.firmware.poll_hint(), rig.firmware.poll_doorbell())
}

#[test]
fn an_urgent_doorbell_rings_and_sets_the_hint_of_its_vgpu() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(3, COMPUTE);
    for urgent in [true, false, true] {
        let token = if urgent { 3 | DOORBELL_URGENT } else { 3 };
        assert!(rig.gpu.ring(gfid(1), token));
        assert_eq!(rig.gpu.advance(SECOND_NS), Stop::Raised);
        let hint = urgent.then_some(gfid(1));
        assert_eq!(told(&mut rig), (hint, Some(channel(3))));
        assert_eq!(told(&mut rig), (None, None));
    }
}

#[test]
fn an_urgent_token_of_no_channel_of_the_vgpu_sets_no_hint() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(3, COMPUTE);
    for token in [2, 8, 0x7fff_ffff] {
        assert!(!rig.gpu.ring(gfid(1), token | DOORBELL_URGENT), "{token}");
    }
    assert!(!rig.gpu.ring(gfid(2), 3 | DOORBELL_URGENT), "it has no route");
    assert_eq!(rig.gpu.advance(0), Stop::Reached);
    assert_eq!(told(&mut rig), (None, None));
}

#[test]
fn a_channel_that_faulted_rings_no_bell_until_it_is_bound_again() {
    let mut rig = Rig::with_vgpu();
    rig.bind_plain(0, COMPUTE);
    rig.push_words(gfid(1), 0, &[0; 16]); // no entry
    rig.run_idle(COMPUTE, 0);
    rig.drain_stops();
    assert_eq!(rig.firmware.poll_fault().map(|(id, _)| id), Some(channel(0)));
    for token in [0, DOORBELL_URGENT] {
        assert!(rig.gpu.ring(gfid(1), token), "the token is still the guest's own");
        assert_eq!(rig.gpu.advance(rig.gpu.now_ns()), Stop::Reached);
        assert_eq!(told(&mut rig), (None, None));
    }
    rig.bind_plain(0, COMPUTE);
    assert!(rig.gpu.ring(gfid(1), DOORBELL_URGENT));
    assert_eq!(told(&mut rig), (Some(gfid(1)), Some(channel(0))));
}
