//! One host of a scenario in a world of its own, and its link to another process.

use super::{Failure, Shown};
use crate::progress::{Plain, Progress as _};
use crate::run::{HostWorld, RunError, judged};
use crate::scenario::{JobRef, Scenario};
use godwit_shim::{LinkMessage, LinkPort, TransportError};
use godwit_world::{JobId, JobReport, RemoteState, World};
use std::time::{Duration, Instant};

/// Bytes that may wait to be restored before no more are received.
const BUFFERED_MAX: usize = 1024 * 1024;
/// How long to wait for something to happen at most.
const NAP: Duration = Duration::from_millis(20);

/// See the module. While a move goes on, virtual time is never ahead of time, so that whoever
/// waits for the peer does not make years of it.
pub(super) struct Session<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) world: World,
    pub(super) port: Option<LinkPort>,
    begin: Instant,
    /// Virtual time when time began to matter.
    begin_ns: u64,
    /// What is not as it must be.
    pub(super) problems: Vec<String>,
    /// How much of what the world found wrong was told.
    told: usize,
}

impl<'a> Session<'a> {
    pub(super) fn new(scenario: &'a Scenario, host: HostWorld) -> Self {
        let (begin, port, problems) = (Instant::now(), None, Vec::new());
        let (begin_ns, told) = (host.world.now_ns(), 0);
        Self { scenario, world: host.world, port, begin, begin_ns, problems, told }
    }

    /// From now on virtual time is held back.
    pub(super) fn begin(&mut self) {
        self.begin = Instant::now();
        self.begin_ns = self.world.now_ns();
    }

    /// The clock of the link.
    pub(super) fn now_ns(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Goes on with this side of the move, for a step.
    pub(super) fn step(&mut self) -> Result<Option<RemoteState>, Failure> {
        let now_ns = self.now_ns();
        if self.world.now_ns() - self.begin_ns <= now_ns {
            self.step_world()?;
        } else {
            self.wait()?;
        }
        let now_ns = self.now_ns();
        let state = self.world.step_remote(now_ns);
        // An operator may have to do something before this ends.
        for problem in &self.world.problems()[self.told..] {
            anstream::eprintln!("problem: {problem}");
        }
        self.told = self.world.problems().len();
        Ok(state)
    }

    /// Lets time pass, and tells what the firmware logs.
    pub(super) fn step_world(&mut self) -> Result<(), Failure> {
        self.world.step();
        for (host, line) in self.world.take_log() {
            Plain.log(self.world.host_name(host), &line);
        }
        match self.world.lost_host() {
            Some((host, loss)) => {
                let host = self.world.host_name(host).to_owned();
                let error = RunError::Firmware { host, loss: loss.to_string() };
                Err(Failure::Refused(error.to_string()))
            }
            None => Ok(()),
        }
    }

    /// Waits for the peer, for a moment.
    pub(super) fn wait(&self) -> Result<(), Failure> {
        let held_back = self.is_held_back();
        let ahead_ns = (self.world.now_ns() - self.begin_ns).saturating_sub(self.now_ns());
        let nap = NAP.min(Duration::from_nanos(ahead_ns).max(Duration::from_micros(50)));
        match &self.port {
            Some(port) => Ok(port.wait(held_back, nap)?),
            None => {
                std::thread::sleep(nap);
                Ok(())
            }
        }
    }

    fn is_held_back(&self) -> bool {
        self.world.remote_buffered() > BUFFERED_MAX
    }

    /// Carries messages both ways. What the peer says is given to `take` with the answer of
    /// whoever it is for.
    pub(super) fn carry(
        &mut self,
        mut take: impl FnMut(&mut Self, LinkMessage) -> Option<LinkMessage>,
    ) -> Result<(), TransportError> {
        let Some(mut port) = self.port.take() else { return Ok(()) };
        while let Some(message) = port.poll(self.is_held_back())? {
            if let Some(answer) = take(self, message) {
                port.send(&answer);
            }
        }
        while port.takes()
            && let Some(message) = self.world.remote_message()
        {
            port.send(&message);
        }
        port.flush()?;
        self.port = Some(port);
        Ok(())
    }

    /// Gives a message to the move that it is of.
    pub(super) fn hand_over(&mut self, message: LinkMessage) {
        let now_ns = self.now_ns();
        self.world.handle_remote(message, now_ns);
    }

    /// How the job stands.
    pub(super) fn job(&self, job: JobId) -> JobReport {
        let mut reports = self.world.job_reports().into_iter();
        reports.find(|report| report.job == job).expect("the world has every job it was given")
    }

    /// Lets the job come to its end here, and judges it.
    pub(super) fn finish(mut self, job: (JobRef, JobId), told: String, good: bool) -> Shown {
        let limit_ns = self.world.now_ns() + self.scenario.time_limit_ns;
        while self.world.now_ns() < limit_ns && !self.world.has_ended(job.1) {
            if let Err(Failure::Mistake(why) | Failure::Refused(why)) = self.step_world() {
                self.problems.push(why);
                break;
            }
            self.world.step_remote(self.begin.elapsed().as_nanos() as u64);
        }
        self.world.check_leaks();
        self.world.check_guests();
        let report = self.job(job.1);
        let (line, problem) = judged(self.scenario, job.0.of(self.scenario), &report, false);
        self.problems.extend(problem);
        self.problems.extend(self.world.problems().iter().cloned());
        let mut text = format!("{told}\n");
        let digest = line.digest.unwrap_or_else(|| "-".to_owned());
        text += &format!(
            "job {}: {} instructions in this process, sha256 {digest}\n",
            line.name, line.instructions
        );
        for problem in &self.problems {
            text += &format!("problem: {problem}\n");
        }
        let verified = good && self.problems.is_empty();
        text += if verified { "verified\n" } else { "not verified\n" };
        (text, verified)
    }
}
