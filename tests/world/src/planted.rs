//! Goal: every checker of the world speaks when there is something to say.
//! Method: a small world that is right, and one fault in it, planted past the firmware.

use crate::bars::HostBars;
use crate::events::{Action, ResumeSpec, SuspendSpec};
use crate::host::HostNode;
use crate::vgpu::Home;
use crate::{HostId, HostSpec, JobSource, JobSpec, VgpuId, VgpuSpec, World, WorldConfig};
use godwit_guest::Bars;
use godwit_regs::fifo::USERD_GET;
use godwit_shim::{FileOptions, ResumeOptions};
use godwit_sim_gpu::{Costs, Fault, Stay};
use godwit_types::{Engines, Gfid, Policy, Profile, RunlistId, Scheduling, Share, SlotId};
use godwit_wire::mailbox::StopMode;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

const PROFILE: Profile =
    Profile { fb_bytes: 8 * MIB, bar_bytes: 6 * MIB, channel_count: 4, context_bytes: 32 * 1024 };

/// Two hosts; two vGPUs on the first, at work, and one on the second.
fn world() -> World {
    let mut world = World::new(WorldConfig { seed: 1, costs: Costs::default() });
    let hosts = ["a", "b"].map(|name| {
        let spec = HostSpec {
            name: name.into(),
            fb_bytes: 64 * MIB,
            bar_bytes: 64 * MIB,
            context_bytes: 16 * MIB,
            start_ns: 5,
            context_layout: 1,
            engines: Engines::ALL,
            scheduling: Scheduling::DEFAULT,
        };
        world.add_host(spec).unwrap()
    });
    for (at, host) in [hosts[0], hosts[0], hosts[1]].into_iter().enumerate() {
        let spec =
            VgpuSpec { name: format!("vgpu{at}"), host, profile: PROFILE, share: Share::DEFAULT };
        let vgpu = world.add_vgpu(spec).unwrap();
        let source = JobSource::Kernel(godwit_kernels::Job::sha256_chain(3, 4, 2, 200));
        let name = format!("vgpu{at}.job");
        world.add_job(JobSpec { name, vgpu, source, repeat: 1, endless: false }).unwrap();
    }
    pass(&mut world, 3_000_000);
    world.check_leaks();
    world.check_guests();
    assert_eq!(world.problems(), [] as [String; 0]);
    world
}

fn pass(world: &mut World, ns: u64) {
    let until_ns = world.now_ns() + ns;
    while world.now_ns() < until_ns {
        world.step();
    }
}

fn home(world: &World, vgpu: usize) -> (HostId, Gfid) {
    let Home::Host(host, gfid) = world.vgpus[vgpu].home else { panic!("it is on no host") };
    (host, gfid)
}

fn says(world: &World, what: &str) {
    let found = world.problems().iter().any(|problem| problem.contains(what));
    assert!(found, "{what:?} is not in {:?}", world.problems());
}

#[test]
fn a_first_instruction_before_the_last_is_told_with_both_times_and_the_seed() {
    let mut world = world();
    let vgpu = VgpuId(0);
    assert_eq!(world.blackout_ns(vgpu, Some(500), Some(500)), Some(0));
    assert_eq!(world.blackout_ns(vgpu, Some(500), Some(742)), Some(242));
    assert_eq!(world.blackout_ns(vgpu, Some(500), None), None);
    assert_eq!(world.problems(), [] as [String; 0]);
    assert_eq!(world.blackout_ns(vgpu, Some(500), Some(499)), None);
    says(&world, "vgpu0 ran in two places");
    says(&world, "at 499 ns, before its last where it was, at 500 ns (seed 1)");
}

#[test]
fn a_byte_of_one_vgpu_in_anothers_partition_is_found() {
    // Across the end of a piece that is looked through at once, too, wherever these begin.
    for (other, at) in [(1, 100), (2, 100), (1, 64 * 1024 - 9), (2, 2 * 64 * 1024 - 31)] {
        let mut world = world();
        let (canary, (host, gfid)) = (world.vgpus[0].canary, home(&world, other));
        let shim = &mut world.hosts[host.0].host;
        let mut bars = HostBars { host: shim, gfid };
        // What makes one range of data of it.
        bars.write(5 * MIB, &[1; 192 * 1024]).unwrap();
        bars.write(5 * MIB + at, &canary).unwrap();
        world.check_leaks();
        says(&world, &format!("bytes of vgpu0 in Partition({gfid:?})"));
    }
}

#[test]
fn a_byte_of_a_vgpu_in_the_context_memory_is_found() {
    let mut world = world();
    let canary = world.vgpus[0].canary;
    world.hosts[0].host.card_mut().gpu_mut().overwrite_context(15 * MIB, &canary);
    world.check_leaks();
    says(&world, "bytes of vgpu0 in Context");
}

#[test]
fn a_byte_of_a_vgpu_in_a_slot_that_is_free_is_found() {
    let mut world = world();
    let (canary, slot) = (world.vgpus[0].canary, SlotId::new(7).unwrap());
    world.hosts[0].host.card().gpu().staging().write(slot, 0, &canary).unwrap();
    world.check_leaks();
    says(&world, "bytes of vgpu0 in Slot");
}

#[test]
fn a_byte_of_a_vgpu_in_anothers_guest_is_found() {
    let mut world = world();
    let canary = world.vgpus[0].canary;
    world.vgpus[1].ram.memory.write(70_000, &canary).unwrap();
    world.check_leaks();
    says(&world, "vgpu1's guest: bytes of vgpu0 at 0x11170");
}

#[test]
fn a_byte_in_a_file_that_was_released_is_found() {
    let mut world = world();
    let (host, gfid) = home(&world, 0);
    let file = world.hosts[host.0].host.card().gpu().partition(gfid).unwrap().file();
    let file = file.try_clone().unwrap();
    suspend(&mut world, 0, &tempfile::tempdir().unwrap());
    world.check_leaks();
    assert_eq!(world.problems(), [] as [String; 0]);
    file.write(3 * MIB, &[0, 1]).unwrap();
    world.check_leaks();
    says(&world, "a: the file that vgpu0 had holds data at 0x300001");
}

#[test]
fn a_file_that_two_have_had_is_found() {
    let mut world = world();
    let (host, gfid) = home(&world, 0);
    world.keep_file(VgpuId(0), host, gfid);
    assert_eq!(world.problems(), [] as [String; 0]);
    world.keep_file(VgpuId(1), host, gfid);
    says(&world, "a: vgpu1 has the file that vgpu0 had");
}

#[test]
fn a_leak_is_found_when_the_next_transfer_ends() {
    let mut world = world();
    let (canary, (host, gfid)) = (world.vgpus[0].canary, home(&world, 2));
    let shim = &mut world.hosts[host.0].host;
    HostBars { host: shim, gfid }.write(5 * MIB, &canary).unwrap();
    let folder = tempfile::tempdir().unwrap();
    suspend(&mut world, 1, &folder);
    says(&world, "bytes of vgpu0 in Partition");
}

fn resume(vgpu: VgpuId, path: PathBuf) -> Action {
    Action::Resume(ResumeSpec { vgpu, path, to: HostId(1), options: ResumeOptions::default() })
}

fn suspend(world: &mut World, vgpu: usize, folder: &tempfile::TempDir) -> SuspendSpec {
    let (path, stop) = (folder.path().join("one.state"), StopMode::Instruction);
    let spec = SuspendSpec {
        vgpu: VgpuId(vgpu),
        path,
        stop,
        stop_timeout_ns: 10_000_000,
        options: FileOptions::default(),
    };
    world.act(Action::Suspend(spec.clone()));
    while world.is_transferring() {
        world.step();
    }
    assert_eq!(world.move_reports()[0].outcome, Ok(()));
    spec
}

#[test]
fn a_vgpu_that_is_nobodys_and_runs_is_found() {
    let mut world = world();
    world.hosts[1].host.create_running(PROFILE, Share::DEFAULT, None).unwrap();
    world.step();
    says(&world, "which is nobody's");
}

#[test]
fn a_vgpu_that_is_in_a_file_and_runs_is_found() {
    let mut world = world();
    world.vgpus[0].home = Home::File("a".into());
    world.step();
    says(&world, "which is nobody's");
}

#[test]
fn a_card_that_works_for_a_vgpu_that_stands_still_is_found() {
    let mut world = world();
    let (host, gfid) = home(&world, 0);
    suspend(&mut world, 0, &tempfile::tempdir().unwrap());
    // Its counts are kept until somebody else has its id.
    world.hosts[host.0].work.insert(gfid, (1, false));
    world.check_still();
    says(&world, "stands still and works");
}

#[test]
fn memory_that_is_released_with_data_in_it_is_found() {
    let mut world = world();
    let (host, gfid) = home(&world, 0);
    let folder = tempfile::tempdir().unwrap();
    let spec = SuspendSpec {
        vgpu: VgpuId(0),
        path: folder.path().join("one.state"),
        stop: StopMode::Instruction,
        stop_timeout_ns: 10_000_000,
        options: FileOptions::default(),
    };
    world.act(Action::Suspend(spec));
    while world.is_transferring() {
        // Behind the last job's bytes, and again after each fill.
        if let Some(partition) = world.hosts[host.0].host.card().gpu().partition(gfid) {
            partition.file().write(7 * MIB, &[1]).unwrap();
        }
        world.step();
    }
    says(&world, "was released with data left in Partition");
}

#[test]
fn an_entry_of_which_the_firmware_knows_nothing_is_found() {
    let mut world = world();
    let (host, gfid) = home(&world, 0);
    // When the device has done all and the guest has not looked yet, the guest's own count of
    // what is done is set back: as if another entry had been put in, and its bell were lost.
    for _ in 0..2 {
        world.step();
    }
    let userd_get = loop {
        assert_eq!(world.problems(), [] as [String; 0]);
        let channel = world.jobs[0].channel().unwrap();
        // Only the card goes on: a guest that looked would find its job done.
        let shim = &mut world.hosts[host.0].host;
        let soon_ns = shim.now_ns() + 1_000;
        shim.run(soon_ns);
        let knows = shim.card().pump().unwrap().engine().holds_work(gfid, channel.id());
        let mut bars = HostBars { host: shim, gfid };
        if channel.pending(&mut bars).unwrap() == 0 && knows == Some(false) {
            break channel.ring().base() + USERD_GET;
        }
    };
    let shim = &mut world.hosts[host.0].host;
    HostBars { host: shim, gfid }.write(userd_get, &[0; 4]).unwrap();
    world.check_doorbells(host.0);
    says(&world, "has lost a doorbell: channel 0 of vgpu0 has 2 entries to do");
}

/// A kernel without end for a vGPU.
fn keep_busy(world: &mut World, vgpu: usize) {
    let source = JobSource::Kernel(godwit_kernels::Job::spinner(2));
    let name = format!("vgpu{vgpu}.endless");
    world.add_job(JobSpec { name, vgpu: VgpuId(vgpu), source, repeat: 1, endless: true }).unwrap();
}

#[test]
fn a_vgpu_that_starves_is_found() {
    let mut world = world();
    (0..2).for_each(|vgpu| keep_busy(&mut world, vgpu));
    // The firmware is told otherwise than the world knows.
    for (vgpu, part) in [(0, 1), (1, 9_000)] {
        let (host, gfid) = home(&world, vgpu);
        let share = Share { part, ..Share::DEFAULT };
        world.hosts[host.0].host.set_share(gfid, share).unwrap();
    }
    let how = Scheduling { policy: Policy::FixedShare, ..Scheduling::DEFAULT };
    world.hosts[0].host.set_scheduling(how).unwrap();
    pass(&mut world, 150_000_000);
    says(&world, "a: vgpu0 starves: it has waited ");
}

#[test]
fn a_job_that_loses_its_channel_for_another_is_found() {
    let mut world = world();
    (0..2).for_each(|vgpu| keep_busy(&mut world, vgpu));
    pass(&mut world, 30_000_000); // to the jobs without end
    world.inject(HostId(0), Fault::EngineHang(RunlistId::COMPUTE));
    // Only the card goes on, so that nobody takes note of who does not let go.
    let node = &mut world.hosts[0];
    let was_reset = |node: &HostNode| {
        let gpu = node.host.card().gpu();
        (1..=2).any(|raw| gpu.stats(Gfid::new(raw).unwrap()).resets != 0)
    };
    for _ in 0..10_000 {
        if !was_reset(node) {
            let soon_ns = node.host.now_ns() + 1_000;
            node.host.run(soon_ns);
        }
    }
    assert_eq!(node.host.card_mut().gpu_mut().take_unwilling().len(), 1);
    pass(&mut world, 3_000_000);
    says(&world, ": lost to a reset for which others are guilty");
}

#[test]
fn an_engine_that_is_reset_too_early_is_found() {
    let stay = |asked_ns| Stay {
        runlist: RunlistId::COMPUTE,
        gfid: Gfid::new(1).unwrap(),
        start_ns: 0,
        loaded_ns: 0,
        asked_ns,
        saving_ns: 0,
        empty_ns: 5_000_000,
        reset: true,
    };
    for (asked_ns, early) in [(Some(3_010_000), false), (Some(3_010_001), true), (None, true)] {
        let mut world = world();
        world.check_resets(0, &[stay(asked_ns)]);
        assert_eq!(world.problems().len(), usize::from(early), "{:?}", world.problems());
    }
}

#[test]
fn a_job_that_is_stuck_does_not_settle() {
    let mut world = world();
    let source = JobSource::Kernel(godwit_kernels::Job::spinner(2));
    let (name, vgpu) = ("stuck".into(), VgpuId(1));
    world.add_job(JobSpec { name, vgpu, source, repeat: 1, endless: false }).unwrap();
    assert!(!world.run_until_settled(300_000_000));
    assert_eq!(world.problems(), [] as [String; 0]);
}

#[test]
fn a_clock_that_leaps_or_goes_back_is_found() {
    for by_ns in [1, -1, 5_000_000_000] {
        let mut world = world();
        world.vgpus[0].clock.disturb(by_ns);
        pass(&mut world, 200_000);
        says(&world, "vgpu0's clock shows");
    }
}

#[test]
fn a_clock_that_does_not_stand_still_in_a_file_is_found() {
    let mut world = world();
    let folder = tempfile::tempdir().unwrap();
    let SuspendSpec { vgpu, path, .. } = suspend(&mut world, 0, &folder);
    pass(&mut world, 1_000_000);
    // As if it had gone on meanwhile.
    world.vgpus[0].clock.disturb(-1_000_000);
    world.act(resume(vgpu, path));
    pass(&mut world, 3_000_000);
    says(&world, "vgpu0's clock shows");
}

#[test]
fn a_register_that_a_transfer_changes_is_found() {
    let whole = |world: &World| {
        let registers = &world.vgpus[0].registers;
        [registers.probed.clone(), registers.written.clone(), registers.told.clone()]
    };
    for part in 0..3 {
        let mut world = world();
        let folder = tempfile::tempdir().unwrap();
        let SuspendSpec { vgpu, path, .. } = suspend(&mut world, 0, &folder);
        // The guest remembers another value than the one that it read.
        let at = *whole(&world)[part].keys().nth(3).unwrap();
        let registers = &mut world.vgpus[0].registers;
        let values = match part {
            0 => &mut registers.probed,
            1 => &mut registers.written,
            _ => &mut registers.told,
        };
        *values.get_mut(&at).unwrap() ^= 1;
        world.act(resume(vgpu, path));
        pass(&mut world, 3_000_000);
        says(&world, "vgpu0's guest read ");
        says(&world, &format!(" at {at:#x}, and now "));
    }
}

#[test]
fn bytes_that_a_guest_no_longer_finds_are_missed() {
    let mut world = world();
    let (host, gfid) = home(&world, 0);
    let [at, _] = crate::vgpu::canary_places(&PROFILE);
    HostBars { host: &mut world.hosts[host.0].host, gfid }.write(at, &[0; 4]).unwrap();
    world.check_guests();
    says(&world, "vgpu0's guest does not find its bytes");
}

#[test]
fn guest_memory_that_changes_and_is_in_no_log_is_found() {
    let mut world = world();
    world.vgpus[0].ram.memory.write(5 * 4096, &[1]).unwrap();
    world.check_guests();
    says(&world, "vgpu0: it wrote pages [5] that no log has");
    // While it is on no host, too.
    let folder = tempfile::tempdir().unwrap();
    let mut world = self::world();
    let spec = suspend(&mut world, 1, &folder);
    world.vgpus[1].ram.memory.write(9 * 4096, &[1]).unwrap();
    let to = home(&world, 2).0;
    world.act(Action::Resume(ResumeSpec {
        vgpu: VgpuId(1),
        path: spec.path,
        to,
        options: ResumeOptions::default(),
    }));
    pass(&mut world, 20_000_000);
    says(&world, "vgpu1: it wrote pages [9] that no log has");
}
