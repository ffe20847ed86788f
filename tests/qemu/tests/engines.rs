//! Goal: when an image ends by itself, the engines go on or let go as the host was told, on every
//! board.
//! Method: one kernel that never ends, alone on a card whose firmware ends in each way and then
//! refuses to start again; what the kernel runs from then on is what the engine does by itself.

use godwit_mmio::Words as _;
use godwit_pump::PROTOCOL_VERSION;
use godwit_qemu::{Rig, mcu};
use godwit_regs::bits::OnCrash;
use godwit_regs::map::mailbox;
use godwit_shim::{Mishap, MishapAt, QemuBoard};

/// How long it is looked at, and it runs an instruction a nanosecond.
const WHILE_NS: u64 = 200_000;

/// Instructions of the kernel without firmware.
fn alone(board: &str, mishap: Mishap, on_crash: OnCrash) -> u64 {
    let mut rig = Rig::new(&mcu(board)).unwrap();
    rig.host.card_mut().set_on_crash(on_crash);
    let mut work = rig.endless_work().unwrap();
    work.submit(&mut rig.host).unwrap();
    rig.pass(100_000);
    // No other firmware starts after it, since each refuses a host of another version.
    rig.host.card().words().publish(mailbox::host_version(), PROTOCOL_VERSION + 1);
    rig.host.card_mut().arrange(MishapAt { mishap, call: 0, instructions: 100 });
    // A doorbell is a call.
    work.submit(&mut rig.host).unwrap();
    rig.pass(10_000);
    let losses = rig.host.card().losses();
    assert!(rig.host.card().is_lost(), "{board}, {mishap:?}: {losses:?}");
    let (_, first) = &rig.host.card().losses()[0];
    assert_eq!(first.cause.name(), mishap.name(), "{board}");
    let ran = |rig: &Rig| rig.host.card().gpu().stats(work.gfid).instructions;
    let before = ran(&rig);
    assert!(before > 50_000, "{board}, {mishap:?}: {before}");
    rig.pass(WHILE_NS);
    ran(&rig) - before
}

#[test]
fn engines_go_on_or_stop_as_configured_however_the_image_ends() {
    for board in QemuBoard::ALL.map(|board| board.board().name) {
        for mishap in [Mishap::Trap, Mishap::Hang, Mishap::StackOverflow] {
            let goes_on = alone(board, mishap, OnCrash::empty());
            assert!(goes_on > WHILE_NS * 3 / 4, "{board}, {mishap:?}: {goes_on}");
            assert_eq!(alone(board, mishap, OnCrash::STOP), 0, "{board}, {mishap:?}");
        }
    }
}
