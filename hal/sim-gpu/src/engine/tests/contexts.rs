//! What a context buffer may hold and keeps.

use super::{COMPUTE, compute_rig};
use crate::Region;
use crate::harness::{CODE, Rig, channel, endless_kernel, gfid, launch, sum_kernel};
use godwit_hal::Channels;
use godwit_types::{ChannelFault, PreemptMode, RunlistEvent};

#[test]
fn a_context_keeps_nothing_of_a_kernel_that_has_ended() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &sum_kernel(2000));
    rig.push(gfid(1), 0, &launch(CODE, 1, 20));
    let held = |rig: &Rig| {
        let mut count = 0;
        let mut visit = |region, _, bytes: &[u8]| {
            if region == Region::Context {
                count += bytes.iter().filter(|byte| **byte != 0).count();
            }
        };
        rig.gpu.for_each_data(&mut visit).unwrap();
        count
    };
    rig.start(COMPUTE, 0);
    rig.pass(20_000);
    let seq = rig.preempt(COMPUTE, PreemptMode::Instruction);
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Preempted { seq });
    assert!(held(&rig) > 20 * 8);
    rig.run_idle(COMPUTE, 0);
    assert!(held(&rig) <= 12, "{}", held(&rig)); // magic, layout, GP_GET
}

#[test]
fn a_channel_whose_slot_is_bound_anew_on_the_engine_writes_no_context() {
    let mut rig = compute_rig();
    rig.load_code(gfid(1), CODE, &endless_kernel());
    rig.push(gfid(1), 0, &launch(CODE, 1, 1));
    let start = rig.start(COMPUTE, 0);
    rig.pass(10_000);
    rig.firmware.unbind_channel(channel(0));
    assert_eq!(rig.answer(COMPUTE), RunlistEvent::Idle { seq: start });
    // Its buffer still says that nothing was done: the kernel begins again.
    rig.bind_plain(0, COMPUTE);
    rig.start(COMPUTE, 0);
    rig.pass(10_000);
    assert_eq!(rig.get(0), 0);
    assert!(rig.gpu.stats(gfid(1)).instructions > 15_000);
}

#[test]
fn a_context_that_the_device_did_not_write_faults_its_channel() {
    use godwit_types::{CopyOp, SlotId, SlotRange};
    let mut rig = compute_rig();
    let slot = SlotId::new(0).unwrap();
    let from = SlotRange { slot, byte_count: 64 };
    rig.gpu.staging().write(slot, 0, &[0x5a; 64]).unwrap();
    let crc = crc_fast::crc32_iscsi(&[0x5a; 64]);
    rig.copy(CopyOp::SlotToContext { from, at: 0, crc });
    rig.run_idle(COMPUTE, 0);
    assert_eq!(rig.firmware.poll_fault(), Some((channel(0), ChannelFault::BadContext)));
}
