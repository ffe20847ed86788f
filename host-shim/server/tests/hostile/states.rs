//! A state of a vGPU that somebody has tampered with, written by its migration manager.

use crate::bench::Bench;
use crate::link::{Link, Outcome};
use crate::messages::Chance;
use crate::process::resident_bytes;
use godwit_server::Who;
use godwit_shim::vfio::MigrationState;
use godwit_vfio_proto::{
    DmaFlags, DmaMap, DmaUnmap, FeatureCall, IrqAction, IrqData, RegionAccess, Request, SetIrqs,
    Writes, irq, region,
};

const STATES: u64 = 60;
const PART_BYTES: u32 = 64 << 10;
/// Bytes of garbage that a manager writes, and what may come of it.
const GARBAGE_PARTS: u32 = 1_000;
const GROWTH_MAX_BYTES: u64 = 16 << 20;

fn set(bench: &mut Bench, link: &mut Link, state: MigrationState) -> Outcome {
    let call = FeatureCall::SetState { state: state as u32, data_fd: 0 };
    bench.ask(link, &Request::Feature(call), &[])
}

/// The state of the attacked vGPU, as it is read while it stands still.
fn read(bench: &mut Bench, link: &mut Link) -> Vec<u8> {
    let mut state = Vec::new();
    assert!(matches!(set(bench, link, MigrationState::StopCopy), Outcome::Done(_)));
    let request = Request::MigDataRead(PART_BYTES);
    loop {
        let body = bench.done(link, &request, &[]);
        let size = u32::from_le_bytes(body[4..8].try_into().unwrap()) as usize;
        if size == 0 {
            return state;
        }
        state.extend_from_slice(&body[8..8 + size]);
    }
}

/// Brings the vGPU to where it was made, whatever it is, and lets it take a state. Returns whether
/// it runs with it.
fn write(bench: &mut Bench, link: &mut Link, state: &[u8]) -> bool {
    bench.done(link, &Request::Reset, &[]);
    assert!(matches!(set(bench, link, MigrationState::Resuming), Outcome::Done(_)));
    for part in state.chunks(PART_BYTES as usize) {
        if !matches!(bench.ask(link, &Request::MigDataWrite(part), &[]), Outcome::Done(_)) {
            return false;
        }
    }
    matches!(set(bench, link, MigrationState::Running), Outcome::Done(_))
}

#[test]
fn a_state_that_was_changed_harms_nobody() {
    let mut bench = Bench::new();
    let mut chance = Chance::new(7);
    let mut link = bench.meet(Who::Manager);
    let state = read(&mut bench, &mut link);
    assert!(state.len() > 100, "{} bytes are no state", state.len());
    assert!(write(&mut bench, &mut link, &state), "what was not changed is taken");
    let mut taken = 0;
    for _ in 0..STATES {
        let mut changed = state.clone();
        match chance.below(4) {
            0 => changed.truncate(chance.below(state.len() as u64) as usize),
            1 => changed.extend(chance.bytes(100)),
            2 => {
                let at = chance.below(state.len() as u64) as usize;
                changed[at] ^= 1 << chance.below(8);
            }
            _ => {
                // The first bytes say what follows.
                let at = chance.below(200.min(state.len() as u64 - 8)) as usize;
                changed[at..at + 8].copy_from_slice(&chance.pick(&[[0xff; 8], [0; 8], [0x7f; 8]]));
            }
        }
        let is_same = changed == state;
        let is_taken = write(&mut bench, &mut link, &changed);
        assert!(is_taken || !is_same);
        taken += u32::from(is_taken && !is_same);
        bench.turn();
        bench.check_health(&mut link);
    }
    assert_eq!(taken, 0, "states that were changed are taken");
    bench.done(&mut link, &Request::Reset, &[]);
    assert_eq!(bench.device.state(), MigrationState::Running);
    bench.leave(link);
    bench.finish();
}

#[test]
fn a_state_that_never_ends_takes_no_memory() {
    let mut bench = Bench::new();
    let mut chance = Chance::new(8);
    let mut link = bench.meet(Who::Manager);
    let state = read(&mut bench, &mut link);
    bench.done(&mut link, &Request::Reset, &[]);
    let before = resident_bytes();
    for first in [0, 16, 100, state.len() - 1] {
        assert!(matches!(set(&mut bench, &mut link, MigrationState::Resuming), Outcome::Done(_)));
        bench.ask(&mut link, &Request::MigDataWrite(&state[..first]), &[]);
        let garbage = chance.bytes(PART_BYTES.into());
        for _ in 0..GARBAGE_PARTS {
            let outcome = bench.ask(&mut link, &Request::MigDataWrite(&garbage), &[]);
            if !matches!(outcome, Outcome::Done(_)) {
                break;
            }
        }
        let after = resident_bytes();
        assert!(after < before + GROWTH_MAX_BYTES, "{before} bytes, then {after}");
        bench.done(&mut link, &Request::Reset, &[]);
    }
    bench.leave(link);
    bench.finish();
}

#[test]
fn a_manager_does_nothing_that_is_the_machine_s() {
    let mut bench = Bench::new();
    let mut link = bench.meet(Who::Manager);
    let map = DmaMap { flags: DmaFlags::READ, offset: 0, iova: 0, length: 4096 };
    let (index, action, data) = (irq::MSIX, IrqAction::Trigger, IrqData::Eventfd);
    let bind = SetIrqs { index, start: 0, count: 1, action, data };
    let memory = RegionAccess { region: 2, offset: 0, count: 4 };
    let config = RegionAccess { region: region::CONFIG, offset: 0x3c, count: 4 };
    let mut entries = Vec::new();
    Writes::push(&mut entries, 2, 0, &[1; 4]);
    bench.host.bar2_write(bench.gfid, 0, &[0; 4]).unwrap();
    for request in [
        Request::DmaMap(map),
        Request::DmaUnmap(DmaUnmap::All),
        Request::SetIrqs(bind),
        Request::RegionRead(memory),
        Request::RegionWrite(memory, &[1; 4]),
        Request::RegionWrite(config, &[1; 4]),
        Request::RegionWriteMulti(Writes::over(&entries)),
        Request::RegionInfo { index: 2, room: 4096 },
    ] {
        assert_eq!(bench.ask(&mut link, &request, &[]), Outcome::Failed(1), "{request:?}");
    }
    let mut found = [1; 4];
    bench.host.bar2_read(bench.gfid, 0, &mut found).unwrap();
    assert_eq!(found, [0; 4]);
    assert_eq!(bench.host.dma_windows(bench.gfid).count(), 0);
    bench.done(&mut link, &Request::RegionRead(config), &[]);
    bench.leave(link);
    bench.finish();
}
