//! Memory files that outlive what is in them.

use crate::harness::{Rig, gfid};
use godwit_hal::Partitions;

#[test]
fn memory_is_kept_for_the_next_of_the_same_id_and_comes_back_empty() {
    let mut rig = Rig::with_vgpu();
    let inode = |rig: &Rig| rig.gpu.partition(gfid(1)).unwrap().file().inode().unwrap();
    let again = |rig: &mut Rig| {
        rig.firmware.clear_partition(gfid(1));
        rig.gpu.service();
        rig.add_vgpu(gfid(1), 1);
    };
    let first = inode(&rig);
    again(&mut rig);
    let second = inode(&rig);
    assert_ne!(second, first, "a partition has a file of its own");
    rig.gpu.keep_memory(gfid(1), true);
    rig.poke(gfid(1), 5, &[7]);
    again(&mut rig);
    assert_eq!((inode(&rig), rig.peek::<1>(gfid(1), 5)), (second, [0]));
    rig.poke(gfid(1), 5, &[7]);
    rig.poke(gfid(1), 3 << 20, &[8]);
    rig.gpu.renew_memory(gfid(1)).unwrap();
    let third = inode(&rig);
    assert_ne!(third, second, "whoever has mapped the one before sees no more of it");
    assert_eq!((rig.peek::<1>(gfid(1), 5), rig.peek::<1>(gfid(1), 3 << 20)), ([7], [8]));
    rig.gpu.keep_memory(gfid(1), false);
    again(&mut rig);
    assert_ne!(inode(&rig), third);
}
