//! Telling someone who waits how far a run is.

use crate::scenario::{Action, Scenario};
use godwit_log::LogLine;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It runs or waits for its turn.
    Running,
    /// Its vGPU is in a file.
    Suspended,
    /// It has ended.
    Done,
    /// Its channel was stopped by a fault.
    Faulted,
}

impl JobState {
    const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Done => "done",
            Self::Faulted => "faulted",
        }
    }
}

/// Who is told. Nothing that is told changes the run.
pub trait Progress {
    /// A job, by its place in the scenario, has run so many instructions.
    fn job(&mut self, job: usize, instructions: u64, state: JobState);

    /// An event, by its place in the scenario, is in this phase, or has ended so.
    fn event(&mut self, event: usize, phase: &str);

    /// The firmware of a host has logged this.
    fn log(&mut self, host: &str, line: &LogLine);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn job(&mut self, _: usize, _: u64, _: JobState) {}

    fn event(&mut self, _: usize, _: &str) {}

    fn log(&mut self, _: &str, _: &LogLine) {}
}

/// Writes the firmware's log to standard error, a line each, and tells nobody of the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Progress for Plain {
    fn job(&mut self, _: usize, _: u64, _: JobState) {}

    fn event(&mut self, _: usize, _: &str) {}

    fn log(&mut self, host: &str, line: &LogLine) {
        anstream::eprintln!("{host} {line}");
    }
}

/// Bars on the terminal, one for each job and one for events; nothing where standard error is
/// no terminal. They are gone when this is dropped.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    jobs: Vec<ProgressBar>,
    events: ProgressBar,
    titles: Vec<String>,
}

impl Bars {
    /// Bars for the jobs and events of this scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let all = MultiProgress::new();
        let width = scenario.jobs.iter().map(|job| job.name.len()).max().unwrap_or(0);
        let jobs = scenario
            .jobs
            .iter()
            .map(|job| {
                let bar = match job.instructions_about {
                    Some(about) => ProgressBar::new(about).with_style(style(
                        "{prefix} [{bar:40}] {percent:>3} % of {human_len} instructions, {msg}",
                    )),
                    None => ProgressBar::no_length()
                        .with_style(style("{prefix} {spinner} {human_pos} instructions, {msg}")),
                };
                all.add(bar.with_prefix(format!("{:width$}", job.name)))
            })
            .collect();
        let events = all.add(ProgressBar::no_length().with_style(style("{spinner} {msg}")));
        let titles = scenario.events.iter().map(|event| title(scenario, &event.action)).collect();
        Self { all, jobs, events, titles }
    }
}

impl Progress for Bars {
    fn job(&mut self, job: usize, instructions: u64, state: JobState) {
        let Some(bar) = self.jobs.get(job).filter(|bar| !bar.is_finished()) else { return };
        bar.set_message(state.name());
        bar.set_position(instructions);
        if state == JobState::Done {
            // How long it was is known now.
            bar.set_length(instructions);
            bar.finish();
        }
    }

    fn event(&mut self, event: usize, phase: &str) {
        let title = self.titles.get(event).map_or("", String::as_str);
        self.events.set_message(format!("{title}: {phase}"));
        self.events.tick();
    }

    /// Above the bars.
    fn log(&mut self, host: &str, line: &LogLine) {
        // Only the drawing can fail, and the run goes on without it.
        let _ = self.all.println(format!("{host} {line}"));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // Only the drawing can fail, and nobody is left to be told.
        let _ = self.all.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is constant and tested")
}

/// What an event does, in a few words.
pub(crate) fn title(scenario: &Scenario, action: &Action) -> String {
    match action {
        Action::Move { vgpu, to, .. } => {
            format!("move of `{}` to `{}`", vgpu.of(scenario).name, to.of(scenario).name)
        }
        Action::Evacuate(how) => format!("evacuation of `{}`", how.host.of(scenario).name),
        Action::Suspend { vgpu, file, .. } => {
            format!("suspend of `{}` to `{}`", vgpu.of(scenario).name, file.shown)
        }
        Action::Resume { vgpu, host, .. } => {
            format!("resume of `{}` on `{}`", vgpu.of(scenario).name, host.of(scenario).name)
        }
        Action::Fault { host, fault } => {
            format!("fault on `{}`: {fault:?}", host.of(scenario).name)
        }
        Action::RestartFirmware { host } => {
            format!("restart of the firmware of `{}`", host.of(scenario).name)
        }
        Action::CrashFirmware { host, mishap, .. } => {
            format!("end of the firmware of `{}`: {}", host.of(scenario).name, mishap.name())
        }
        Action::UpdateFirmware { host, shown, .. } => {
            format!("update of the firmware of `{}` to `{shown}`", host.of(scenario).name)
        }
        Action::Schedule { host, .. } => {
            format!("change of how vGPUs of `{}` take turns", host.of(scenario).name)
        }
        Action::Share { vgpu, .. } => {
            format!("change of the share of `{}`", vgpu.of(scenario).name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_made_and_moved_without_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let scenario = Scenario::demo(folder.path(), None).unwrap();
        let mut bars = Bars::new(&scenario);
        for job in 0..=scenario.jobs.len() {
            bars.job(job, 5, JobState::Running);
            bars.job(job, u64::MAX, JobState::Done);
        }
        for event in 0..=scenario.events.len() {
            bars.event(event, "pre-copy");
        }
    }
}
