//! From a scenario to a world.

use crate::scenario::{Expected, Job, Program, Scenario, Work};
use godwit_regs::bits::OnCrash;
use godwit_shim::Mcu;
use godwit_world::{
    HostId, HostSpec, JobId, JobSource, JobSpec, VgpuId, VgpuSpec, World, WorldConfig, WorldError,
};

/// Version of the contexts that the simulated GPU writes.
pub(crate) const CONTEXT_LAYOUT: u32 = 1;

/// What the world calls the parts of the scenario, by their places in its lists.
pub(super) struct Ids {
    pub(super) hosts: Vec<HostId>,
    pub(super) vgpus: Vec<VgpuId>,
    pub(super) jobs: Vec<JobId>,
}

/// A world with the scenario's hosts, vGPUs and jobs.
pub(super) fn world(scenario: &Scenario, mcu: &Mcu) -> Result<(World, Ids), WorldError> {
    let mut world = World::new(WorldConfig { seed: scenario.seed, costs: scenario.costs.costs });
    world.set_mcu(mcu.clone());
    let mut ids = Ids { hosts: Vec::new(), vgpus: Vec::new(), jobs: Vec::new() };
    for host in &scenario.hosts {
        let id = world.add_host(HostSpec {
            name: host.name.clone(),
            fb_bytes: host.fb_bytes,
            bar_bytes: host.bar_bytes,
            context_bytes: host.context_bytes,
            start_ns: host.timer_start_ns,
            context_layout: CONTEXT_LAYOUT,
            engines: host.engines,
            scheduling: host.scheduling,
        })?;
        if host.stops_on_crash {
            world.set_on_crash(id, OnCrash::STOP);
        }
        ids.hosts.push(id);
    }
    for vgpu in &scenario.vgpus {
        ids.vgpus.push(world.add_vgpu(VgpuSpec {
            name: vgpu.name.clone(),
            host: ids.hosts[vgpu.host.index()],
            profile: vgpu.profile,
            share: vgpu.share,
        })?);
    }
    for job in &scenario.jobs {
        ids.jobs.push(world.add_job(job_spec(job, ids.vgpus[job.vgpu.index()]))?);
    }
    Ok((world, ids))
}

/// What the world is told of a job.
pub(super) fn job_spec(job: &Job, vgpu: VgpuId) -> JobSpec {
    let (source, repeat) = match &job.work {
        Work::Program(program) => (source(program), 1),
        Work::Copies(list, rounds) => (JobSource::Copies(list.clone()), *rounds),
    };
    let endless = job.expected == Expected::Endless;
    JobSpec { name: job.name.clone(), vgpu, source, repeat, endless }
}

/// The output is judged here, by its digest, so the world is told of no expected bytes.
fn source(program: &Program) -> JobSource {
    JobSource::Program {
        elf: program.elf.to_vec(),
        grid: program.grid,
        block: program.block,
        shared_bytes: program.shared_bytes,
        stack_bytes: program.stack_bytes,
        args: program.args.clone(),
        inputs: program.inputs.clone(),
        output: Some(program.output.clone()),
        arena: program.arena.clone(),
        expected: None,
    }
}
