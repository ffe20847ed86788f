//! A world with one host of a scenario, for moves between processes.

use super::build::{CONTEXT_LAYOUT, job_spec};
use crate::scenario::{Expected, HostRef, JobRef, Scenario, VgpuRef};
use godwit_regs::bits::OnCrash;
use godwit_shim::Mcu;
use godwit_world::{HostId, HostSpec, JobId, VgpuId, VgpuSpec, World, WorldConfig, WorldError};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One host, its vGPUs and their jobs, and vGPUs that may come to it.
pub(crate) struct HostWorld {
    pub(crate) world: World,
    pub(crate) host: HostId,
    vgpus: BTreeMap<VgpuRef, VgpuId>,
    jobs: BTreeMap<JobRef, JobId>,
}

impl HostWorld {
    /// A host with what the scenario puts there; of one vGPU, if named, with that which is in a
    /// state file, of the transfer with that number.
    pub(crate) fn new(
        scenario: &Scenario,
        host: HostRef,
        file: Option<(VgpuRef, PathBuf, u64)>,
        mcu: &Mcu,
    ) -> Result<Self, WorldError> {
        let costs = scenario.costs.costs;
        let mut world = World::new(WorldConfig { seed: scenario.seed, costs });
        world.set_mcu(mcu.clone());
        let spec = host.of(scenario);
        let id = world.add_host(HostSpec {
            name: spec.name.clone(),
            fb_bytes: spec.fb_bytes,
            bar_bytes: spec.bar_bytes,
            context_bytes: spec.context_bytes,
            start_ns: spec.timer_start_ns,
            context_layout: CONTEXT_LAYOUT,
            engines: spec.engines,
            scheduling: spec.scheduling,
        })?;
        if spec.stops_on_crash {
            world.set_on_crash(id, OnCrash::STOP);
        }
        let (vgpus, jobs) = (BTreeMap::new(), BTreeMap::new());
        let mut this = Self { world, host: id, vgpus, jobs };
        for vgpu in scenario.vgpu_refs().filter(|vgpu| vgpu.of(scenario).host == host) {
            if file.as_ref().is_none_or(|(other, ..)| *other != vgpu) {
                let number = vgpu.index();
                let vgpu_id = this.world.add_vgpu_as(this.spec(scenario, vgpu), number)?;
                this.add_jobs(scenario, vgpu, vgpu_id)?;
            }
        }
        if let Some((vgpu, path, number)) = file {
            this.add_away(scenario, vgpu, Some((path, number)))?;
        }
        Ok(this)
    }

    /// Adds a vGPU that is not here yet.
    pub(crate) fn add_away(
        &mut self,
        scenario: &Scenario,
        vgpu: VgpuRef,
        file: Option<(PathBuf, u64)>,
    ) -> Result<(), WorldError> {
        let id = self.world.add_vgpu_away(self.spec(scenario, vgpu), vgpu.index(), file)?;
        self.add_jobs(scenario, vgpu, id)
    }

    fn spec(&self, scenario: &Scenario, vgpu: VgpuRef) -> VgpuSpec {
        let spec = vgpu.of(scenario);
        let (name, profile, share) = (spec.name.clone(), spec.profile, spec.share);
        VgpuSpec { name, host: self.host, profile, share }
    }

    fn add_jobs(
        &mut self,
        scenario: &Scenario,
        vgpu: VgpuRef,
        id: VgpuId,
    ) -> Result<(), WorldError> {
        self.vgpus.insert(vgpu, id);
        for job in scenario.job_refs().filter(|job| job.of(scenario).vgpu == vgpu) {
            let job_id = self.world.add_job(job_spec(job.of(scenario), id))?;
            self.jobs.insert(job, job_id);
        }
        Ok(())
    }

    /// What the world calls a vGPU that was added.
    ///
    /// # Panics
    ///
    /// When it was not.
    pub(crate) fn vgpu(&self, vgpu: VgpuRef) -> VgpuId {
        self.vgpus[&vgpu]
    }

    /// What the world calls a job whose vGPU was added.
    ///
    /// # Panics
    ///
    /// When it was not.
    pub(crate) fn job(&self, job: JobRef) -> JobId {
        self.jobs[&job]
    }
}

/// The one job of a vGPU, whose result is known: a guest of another process finds it on the device
/// by its place in the scenario, and it is judged there.
pub(crate) fn one_job(scenario: &Scenario, vgpu: VgpuRef) -> Result<JobRef, String> {
    let mut jobs = scenario.job_refs().filter(|job| job.of(scenario).vgpu == vgpu);
    let name = &vgpu.of(scenario).name;
    match (jobs.next(), jobs.next()) {
        (Some(job), None) if matches!(job.of(scenario).expected, Expected::Sha256(_)) => Ok(job),
        _ => Err(format!("vGPU `{name}` must have one job, which ends with an expected output")),
    }
}
