//! On a host whose vGPUs do real work.

use super::*;
use godwit_control::{EngineStatus, Histogram};
use godwit_guest::{Bars, Device, Job, JobSpec, JobState, Kernel};
use godwit_hal::Identity;
use godwit_kernels::{DATA_BASE, LAUNCH_BASE};
use godwit_shim::{HostError, Mcu, Mishap, MishapAt};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{Engines, Profile, Scheduling, Share, Switch, SwitchCause, TsgId};

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
const PROFILE: Profile =
    Profile { fb_bytes: 8 << 20, bar_bytes: 8 << 20, channel_count: 8, context_bytes: 32 << 10 };
/// Entries of the ring of switches.
const RING: u64 = godwit_regs::map::SWITCH_ENTRIES as u64;

/// A guest's view of its vGPU.
struct Guest<'a>(&'a mut Host, Gfid);

impl Bars for Guest<'_> {
    type Error = HostError;

    fn read32(&mut self, offset: u32) -> Result<u32, HostError> {
        self.0.settle();
        Ok(self.0.bar0_read(self.1, offset))
    }

    fn write32(&mut self, offset: u32, value: u32) -> Result<(), HostError> {
        self.0.bar0_write(self.1, offset, value);
        self.0.settle();
        Ok(())
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), HostError> {
        self.0.bar2_read(self.1, at, into)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), HostError> {
        self.0.bar2_write(self.1, at, from)
    }
}

fn host() -> Host {
    let identity = Identity {
        fb_bytes: 64 << 20,
        bar_bytes: 64 << 20,
        context_bytes: 4 << 20,
        context_layout: 3,
        engines: Engines::ALL,
    };
    let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
    Host::new(config, &Mcu::Native).unwrap()
}

fn vgpu(host: &mut Host) -> Gfid {
    host.create_running(PROFILE, Share::DEFAULT, None).unwrap()
}

/// The same, of which the server's clients know.
fn served(host: &mut Host, stats: &mut HostStats) -> Gfid {
    let gfid = vgpu(host);
    stats.remember(gfid, MoveRecord::default());
    gfid
}

/// Lets time pass, and looks on as the server does.
fn pass(host: &mut Host, stats: &mut HostStats, ns: u64) {
    let end_ns = host.now_ns() + ns;
    while host.now_ns() < end_ns {
        let step_ns = host.now_ns() + 50_000;
        host.run(end_ns.min(step_ns));
        stats.collect(host);
    }
}

/// Starts a kernel on a vGPU, and waits until it runs.
fn start(host: &mut Host, stats: &mut HostStats, gfid: Gfid, work: godwit_kernels::Job) -> Job {
    let device = Device::probe(&mut Guest(host, gfid)).unwrap();
    let spec = JobSpec {
        kernel: Kernel::parse(work.elf).unwrap(),
        grid: work.grid,
        block: work.block,
        shared_bytes: work.shared_bytes,
        stack_bytes: work.stack_bytes,
        args: work.args,
        inputs: work.inputs.into_iter().map(|(at, bytes)| (at, bytes.into())).collect(),
        output: Some(work.output),
        repeat: 1,
    };
    let mut job = Job::plan(&device, spec, LAUNCH_BASE..DATA_BASE).unwrap();
    job.start(&mut Guest(host, gfid)).unwrap();
    while job.state() == JobState::Creating {
        pass(host, stats, 50_000);
        job.poll(&mut Guest(host, gfid)).unwrap();
    }
    job
}

fn spin(host: &mut Host, stats: &mut HostStats, gfid: Gfid) {
    let job = start(host, stats, gfid, godwit_kernels::Job::spinner(1));
    assert_eq!(job.state(), JobState::Running);
}

fn compute(stats: &HostStats, gfid: Gfid) -> EngineStatus {
    let [compute, copy] = stats.vgpu(gfid).engines.try_into().unwrap();
    assert_eq!((compute.engine.as_str(), copy.engine.as_str()), ("compute", "copy"));
    assert_eq!((copy.busy_ns, copy.switches, copy.share), (0, 0, 0.0), "nobody copies");
    compute
}

fn last(histogram: &Histogram) -> u64 {
    histogram.buckets.last().unwrap().count
}

#[test]
fn the_time_of_one_that_is_alone_counts_as_it_goes() {
    let mut host = host();
    let mut stats = HostStats::new(&mut host);
    let (one, idle) = (served(&mut host, &mut stats), served(&mut host, &mut stats));
    spin(&mut host, &mut stats, one);
    pass(&mut host, &mut stats, 20 * MS);
    let (began_ns, before) = (host.now_ns(), compute(&stats, one));
    assert!(before.share > 0.9, "{before:?}");
    pass(&mut host, &mut stats, 200 * MS);
    let now = compute(&stats, one);
    assert_eq!(now.busy_ns - before.busy_ns, host.now_ns() - began_ns);
    assert!(now.share > 0.99, "{now:?}");
    assert_eq!((now.switches, now.debt_ns), (0, 0));
    assert_eq!(stats.vgpu(one).slices.count, 0, "it has never left");
    let of_idle = compute(&stats, idle);
    assert_eq!((of_idle.busy_ns, of_idle.share), (0, 0.0));
}

#[test]
fn two_that_take_turns_have_a_half_each() {
    let mut host = host();
    let mut stats = HostStats::new(&mut host);
    let both = [served(&mut host, &mut stats), served(&mut host, &mut stats)];
    for gfid in both {
        spin(&mut host, &mut stats, gfid);
    }
    pass(&mut host, &mut stats, 300 * MS);
    let mut sum = 0.0;
    for gfid in both {
        let engine = compute(&stats, gfid);
        assert!((0.47..=0.52).contains(&engine.share), "{engine:?}");
        sum += engine.share;
        let of_it = stats.vgpu(gfid);
        // A turn has 2 ms, and each ends with a preemption.
        assert!((70..=76).contains(&engine.switches), "{engine:?}");
        assert_eq!(of_it.slices.count, engine.switches);
        assert_eq!(last(&of_it.slices), engine.switches, "no turn is longer than any may be");
        assert_eq!(of_it.preemptions.count, engine.switches);
        let mean_ns = of_it.slices.sum_ns / of_it.slices.count;
        assert!((1_900_000..=2_100_000).contains(&mean_ns), "{mean_ns}");
        assert!(of_it.slices.sum_ns <= engine.busy_ns);
        assert!(of_it.preemptions.sum_ns > 0);
    }
    assert!((0.98..=1.0).contains(&sum), "{sum}");
    assert_eq!(stats.firmware(&host), Firmware::default());
}

#[test]
fn a_share_ends_with_the_work_and_what_was_had_stays() {
    let mut host = host();
    let mut stats = HostStats::new(&mut host);
    let gfid = served(&mut host, &mut stats);
    let work = godwit_kernels::Job::sha256_chain(1, 4, 2, 500);
    let mut job = start(&mut host, &mut stats, gfid, work);
    while job.state() == JobState::Running {
        pass(&mut host, &mut stats, MS);
        job.poll(&mut Guest(&mut host, gfid)).unwrap();
    }
    assert_eq!(job.state(), JobState::Done);
    pass(&mut host, &mut stats, MS);
    let done = compute(&stats, gfid);
    assert!(done.share > 0.1 && done.busy_ns > MS, "{done:?}");
    let of_it = stats.vgpu(gfid);
    assert_eq!((of_it.slices.count, of_it.preemptions.count), (done.switches, 0));
    assert!(done.switches > 0, "it has left without being asked to");
    // Nothing is running, so time flies.
    pass(&mut host, &mut stats, 600 * MS);
    let later = compute(&stats, gfid);
    assert!(later.share < done.share && later.share > 0.0, "{later:?}");
    pass(&mut host, &mut stats, 600 * MS);
    let latest = compute(&stats, gfid);
    assert_eq!((latest.share, latest.busy_ns), (0.0, done.busy_ns));
}

#[test]
fn no_count_goes_back_when_the_gpu_s_do() {
    let mut record = Record::new();
    record.had(0, [0, 0]);
    record.had(S, [S / 2, 10]);
    // A new partition.
    record.had(2 * S, [S / 4, 0]);
    record.had(2 * S + 1, [S / 4, 5]);
    let names = [Some("compute"), Some("copy")];
    let [compute, copy] = record.status(names).engines.try_into().unwrap();
    assert_eq!((compute.busy_ns, copy.busy_ns), (3 * S / 4, 15));
    assert_eq!(compute.share, (S / 4) as f64 / (S + 1) as f64);
    let only = record.status([None, Some("copy")]).engines;
    assert_eq!(only, [copy], "an engine that is not there is not told of");
}

#[test]
fn a_share_is_of_the_last_second_or_so() {
    let mut record = Record::new();
    // Half of each of 3 s, then all of 1.1 s.
    let mut had_ns = 0;
    for ms in 0..3_000 {
        record.had(ms * MS, [had_ns, 0]);
        had_ns += MS / 2;
    }
    let share = |record: &Record| record.status([Some("compute"), None]).engines[0].share;
    assert!((share(&record) - 0.5).abs() < 1e-9);
    for ms in 3_000..4_200 {
        record.had(ms * MS, [had_ns, 0]);
        had_ns += MS;
    }
    assert!((share(&record) - 1.0).abs() < 1e-9);
    // It was not looked at for long.
    record.had(10 * S, [had_ns, 0]);
    assert!(share(&record) < 0.2);
    record.had(11 * S, [had_ns, 0]);
    assert_eq!(share(&record), 0.0);
}

#[test]
fn a_switch_counts_for_its_engine_and_as_a_preemption_where_it_was_one() {
    let mut record = Record::new();
    let switch = Switch {
        at_ns: 5,
        runlist: RunlistId::COPY,
        gfid: Gfid::new(1).unwrap(),
        tsg: TsgId::new(1).unwrap(),
        cause: SwitchCause::Idle,
        mode: None,
        run_ns: 70_000,
        slice_ns: 2_000_000,
        preempt_ns: 7,
        debt_ns: 9,
    };
    record.switched(&switch);
    let mode = Some(godwit_types::PreemptMode::Cta);
    record.switched(&Switch { mode, debt_ns: 3, ..switch });
    let status = record.status([Some("compute"), Some("copy")]);
    let engines: Vec<_> = status.engines.iter().map(|it| (it.switches, it.debt_ns)).collect();
    assert_eq!(engines, [(0, 0), (2, 3)]);
    assert_eq!((status.slices.count, status.slices.sum_ns), (2, 140_000));
    assert_eq!((status.preemptions.count, status.preemptions.sum_ns), (1, 7));
}

#[test]
fn switches_that_were_not_read_in_time_are_counted_as_lost() {
    let mut host = host();
    let mut stats = HostStats::new(&mut host);
    let slice_ns = Some(MS);
    host.set_scheduling(Scheduling { slice_ns, ..Scheduling::DEFAULT }).unwrap();
    let both = [served(&mut host, &mut stats), served(&mut host, &mut stats)];
    for gfid in both {
        spin(&mut host, &mut stats, gfid);
    }
    pass(&mut host, &mut stats, 10 * MS);
    let counted =
        |stats: &HostStats| -> u64 { both.iter().map(|gfid| compute(stats, *gfid).switches).sum() };
    let before = counted(&stats);
    assert_eq!(stats.firmware(&host).switches_lost, 0);
    let end_ns = host.now_ns() + 400 * MS;
    while host.now_ns() < end_ns {
        host.run(end_ns);
    }
    stats.collect(&mut host);
    let lost = stats.firmware(&host).switches_lost;
    let read = counted(&stats) - before;
    assert!(lost > 0 && read > 0 && read < RING, "{lost} lost, {read} read");
    assert!((370..=400).contains(&(lost + read)), "{lost} lost, {read} read");
    // What they had is not: the GPU counts it.
    let had_ns: u64 = both.iter().map(|gfid| compute(&stats, *gfid).busy_ns).sum();
    assert!(had_ns > 395 * MS, "{had_ns}");
}

#[test]
fn faults_are_counted_for_the_vgpu_that_has_the_id_now() {
    let mut host = host();
    let mut stats = HostStats::new(&mut host);
    let gfid = served(&mut host, &mut stats);
    stats.collect(&mut host);
    let fault = |host: &mut Host, stats: &mut HostStats, gfid| {
        let mut work = godwit_kernels::Job::spinner(1);
        // Beyond the partition.
        work.args = vec![1 << 40];
        let mut job = start(host, stats, gfid, work);
        while job.state() == JobState::Running {
            pass(host, stats, MS);
            job.poll(&mut Guest(host, gfid)).unwrap();
        }
        assert!(!matches!(job.state(), JobState::Done | JobState::Running), "{:?}", job.state());
    };
    fault(&mut host, &mut stats, gfid);
    assert_eq!(stats.vgpu(gfid).faults, 1);
    host.release(gfid).unwrap();
    stats.collect(&mut host);
    assert_eq!(stats.vgpu(gfid).faults, 1, "nobody has said that it is gone");
    stats.forget(&mut host, gfid);
    assert_eq!(stats.vgpu(gfid).faults, 0);
    assert_eq!(served(&mut host, &mut stats), gfid, "the next one has its id");
    stats.collect(&mut host);
    let fresh = stats.vgpu(gfid);
    assert_eq!((fresh.faults, fresh.slices.count, fresh.engines[0].busy_ns), (0, 0, 0));
    fault(&mut host, &mut stats, gfid);
    assert_eq!(stats.vgpu(gfid).faults, 1);
}

#[test]
fn one_that_came_to_nothing_leaves_nothing_to_the_next() {
    let mut host = host();
    let mut stats = HostStats::new(&mut host);
    let gfid = vgpu(&mut host);
    spin(&mut host, &mut stats, gfid);
    pass(&mut host, &mut stats, 20 * MS);
    assert_eq!(compute(&stats, gfid).busy_ns, 0);
    host.release(gfid).unwrap();
    assert_eq!(served(&mut host, &mut stats), gfid);
    pass(&mut host, &mut stats, MS);
    assert_eq!(compute(&stats, gfid).busy_ns, 0);
}

#[test]
fn abuses_are_counted_for_those_that_are_there() {
    let mut host = host();
    let mut stats = HostStats::new(&mut host);
    let (gfid, nobody) = (served(&mut host, &mut stats), Gfid::new(32).unwrap());
    stats.collect(&mut host);
    stats.abused(gfid);
    stats.abused(gfid);
    stats.abused(nobody);
    assert_eq!((stats.vgpu(gfid).abuses, stats.vgpu(nobody).abuses), (2, 0));
}

#[test]
fn losses_are_told_while_they_are_survived_and_when_the_firmware_is_given_up() {
    let mut host = host();
    let stats = HostStats::new(&mut host);
    let crash = MishapAt { mishap: Mishap::Trap, call: 0, instructions: 0 };
    host.card_mut().arrange(crash);
    host.settle();
    let once = Firmware { losses: 1, ..Firmware::default() };
    assert_eq!(stats.firmware(&host), once);
    for _ in 0..4 {
        host.card_mut().arrange(crash);
    }
    let given_up = stats.firmware(&host);
    assert!(given_up.lost && given_up.losses > 3, "{given_up:?}");
}

#[test]
fn moves_are_noted_and_go_with_the_vgpu() {
    let mut hosts = [host(), host()];
    let mut stats = hosts.each_mut().map(HostStats::new);
    let gfids = hosts.each_mut().map(vgpu);
    let [from, to] = &mut stats;
    from.moved(gfids[0], Some(3 * MS), Some(1_000));
    from.moved(gfids[0], Some(200 * S), None);
    from.moved(gfids[0], None, None);
    from.failed(gfids[0]);
    let told = from.vgpu(gfids[0]);
    assert_eq!((told.moves, told.moves_failed, told.dirty_bytes_per_second), (3, 1, None));
    assert_eq!((told.blackouts.count, told.blackouts.sum_ns), (2, 3 * MS + 200 * S));
    assert_eq!(last(&told.blackouts), 1);
    from.gone();
    to.came();
    let record = from.forget(&mut hosts[0], gfids[0]);
    to.remember(gfids[1], record);
    to.moved(gfids[1], Some(MS), Some(7));
    let told = to.vgpu(gfids[1]);
    assert_eq!((told.moves, told.moves_failed, told.dirty_bytes_per_second), (4, 1, Some(7)));
    let moves = |came, gone, failed| HostMoves { came, gone, failed };
    assert_eq!((from.moves(), to.moves()), (moves(0, 1, 1), moves(1, 0, 0)));
    // What is to be noted of one that was never looked at begins at zero, and so does what is told.
    let told = stats[0].vgpu(gfids[0]);
    assert_eq!((told.moves, told.blackouts.count), (0, 0));
    assert!(!told.slices.buckets.is_empty());
}
