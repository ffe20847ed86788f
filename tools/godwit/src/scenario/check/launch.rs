//! Whether a program can be launched on a vGPU, asked of the guest's own driver.

use super::{Checker, Span, raw};
use crate::scenario::model::{Program, Vgpu};
use crate::scenario::value::Count;
use crate::units;
use godwit_guest::{Bars, Device, ElfError, GuestError, Job, JobError, JobSpec, Kernel, Region};
use godwit_regs::guest;
use godwit_types::Profile;
use std::convert::Infallible;
use toml::Spanned;

/// A vGPU that exists on paper only: it says how large it is, and does nothing.
pub(super) struct OnPaper(pub(super) Profile);

impl Bars for OnPaper {
    type Error = Infallible;

    fn read32(&mut self, offset: u32) -> Result<u32, Infallible> {
        let low = |value: u64| value as u32;
        let high = |value: u64| (value >> 32) as u32;
        Ok(match offset {
            guest::ID => guest::ID_VALUE,
            guest::VERSION => guest::VERSION_VALUE,
            guest::CHANNELS => self.0.channel_count.into(),
            guest::FB_LO => low(self.0.fb_bytes),
            guest::FB_HI => high(self.0.fb_bytes),
            guest::APERTURE_LO => low(self.0.bar_bytes),
            guest::APERTURE_HI => high(self.0.bar_bytes),
            guest::THREADS_MAX => self.0.resident_threads(),
            _ => 0,
        })
    }

    fn write32(&mut self, _: u32, _: u32) -> Result<(), Infallible> {
        Ok(())
    }

    fn read(&mut self, _: u64, into: &mut [u8]) -> Result<(), Infallible> {
        into.fill(0);
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Why a program cannot be launched.
enum LaunchError {
    Elf(ElfError),
    Device(GuestError),
    Job(JobError),
}

fn plan(program: &Program, profile: &Profile) -> Result<(), LaunchError> {
    let kernel = Kernel::parse(&program.elf).map_err(LaunchError::Elf)?;
    let device = Device::probe(&mut OnPaper(*profile)).map_err(LaunchError::Device)?;
    let spec = JobSpec {
        kernel,
        grid: program.grid,
        block: program.block,
        shared_bytes: program.shared_bytes,
        stack_bytes: program.stack_bytes,
        args: program.args.clone(),
        inputs: program.inputs.clone(),
        output: Some(program.output.clone()),
        repeat: 1,
    };
    Job::plan(&device, spec, program.arena.clone()).map_err(LaunchError::Job)?;
    Ok(())
}

/// Checks that the program is one and fits the vGPU; `at` is the job's table.
pub(super) fn check(
    at: &Span,
    job: &raw::Job,
    program: &Program,
    vgpu: &Vgpu,
    checker: &mut Checker<'_>,
) -> Option<()> {
    match plan(program, &vgpu.profile) {
        Ok(()) => Some(()),
        Err(LaunchError::Elf(error)) => {
            let (span, name) = match &job.elf {
                Some(elf) => (elf.span(), elf.get_ref().as_str()),
                None => (at.clone(), "the kernel"),
            };
            let error = error.to_string();
            let (what, allowed) =
                error.split_once("; ").unwrap_or((&error, "a static RV64IMAC executable"));
            let allowed = allowed.strip_prefix("a kernel must be ").unwrap_or(allowed);
            checker.wrong(span, format!("`{name}`: {what}"), allowed)
        }
        Err(LaunchError::Device(error)) => {
            checker.wrong(at.clone(), error.to_string(), "another profile")
        }
        Err(LaunchError::Job(error)) => refuse(at, &error, job, vgpu, checker),
    }
}

/// Notes why a job does not fit its vGPU, where the part is that does not.
pub(super) fn refuse<T>(
    at: &Span,
    error: &JobError,
    job: &raw::Job,
    vgpu: &Vgpu,
    checker: &mut Checker<'_>,
) -> Option<T> {
    let place = place(error, job).unwrap_or(at.clone());
    checker.wrong(place, error.to_string(), allowed(error, vgpu))
}

fn allowed(error: &JobError, vgpu: &Vgpu) -> String {
    match error {
        JobError::Block { threads_max, .. } => {
            format!("blocks of up to {threads_max} threads, by the profile of `{}`", vgpu.name)
        }
        JobError::Overlap { .. } => "parts that lie apart".to_owned(),
        JobError::ArenaFull { .. } => "smaller parts, or a larger `arena`".to_owned(),
        _ => {
            let aperture = units::exact_size(vgpu.profile.bar_bytes);
            format!("what fits the aperture of `{}`, {aperture}", vgpu.name)
        }
    }
}

/// Where in the text the part is that does not fit.
fn place(error: &JobError, job: &raw::Job) -> Option<Span> {
    let count = |field: &raw::Field<Count>| field.as_ref().map(Spanned::span);
    match error {
        JobError::Kernel(_) => job.elf.as_ref().map(Spanned::span),
        JobError::Block { .. } | JobError::Grid { .. } => {
            count(&job.block).or(count(&job.tile)).or(count(&job.threads))
        }
        JobError::Arena { .. } | JobError::ArenaFull { .. } => {
            job.arena.as_ref().map(Spanned::span)
        }
        JobError::Outside { region, .. } | JobError::Reversed { region, .. } => part(*region, job),
        JobError::Overlap { first, second, .. } => part(*first, job).or(part(*second, job)),
        _ => None,
    }
}

fn part(region: Region, job: &raw::Job) -> Option<Span> {
    match region {
        Region::Ring | Region::Arguments | Region::SharedMemory | Region::Stacks => {
            job.arena.as_ref().map(Spanned::span)
        }
        Region::Input(index) => Some(job.inputs.as_ref()?.get_ref().get(index)?.span()),
        Region::Output => job.output.as_ref().map(Spanned::span),
        Region::Segment(_) => job.elf.as_ref().map(Spanned::span),
        Region::Entry(_) => None,
    }
}
