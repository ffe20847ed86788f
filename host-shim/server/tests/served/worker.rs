//! A vGPU's work that goes on while no machine has it.

use crate::neighbour::Timed;
use crate::plan::plan;
use crate::serving::{PATIENCE, Serving};
use godwit_guest::{ChannelStatus, Device, Job, JobState};
use godwit_server::Client;
use std::time::Instant;

/// See the module.
pub(crate) struct Worker {
    vgpu: String,
    job: Job,
    expected: Vec<u8>,
}

fn machine(serving: &Serving, vgpu: &str) -> Timed {
    Timed::new(Client::connect(&serving.device(vgpu)).unwrap())
}

impl Worker {
    /// Begins a job as a machine does, and goes in the middle of it.
    pub(crate) fn start(serving: &Serving, vgpu: &str, seed: u64) -> Self {
        let mut bars = machine(serving, vgpu);
        let driver = Device::probe(&mut bars).unwrap();
        let (mut job, expected) = plan(&driver, seed);
        job.start(&mut bars).unwrap();
        while job.state() != JobState::Running {
            job.poll(&mut bars).unwrap();
        }
        Self { vgpu: vgpu.into(), job, expected }
    }

    /// Whether the job has come to its end, as a machine sees that comes back for a moment.
    pub(crate) fn is_done(&mut self, serving: &Serving) -> bool {
        self.job.poll(&mut machine(serving, &self.vgpu)).unwrap() == JobState::Done
    }

    /// Comes back and waits for the job, whose bytes must be right.
    pub(crate) fn finish(mut self, serving: &Serving) {
        let (mut bars, end) = (machine(serving, &self.vgpu), Instant::now() + PATIENCE);
        while self.job.state() != JobState::Done {
            assert!(Instant::now() < end, "the job does not end: {:?}", self.job.state());
            self.job.poll(&mut bars).unwrap();
        }
        let found = self.job.read_output(&mut bars).unwrap();
        assert_eq!(found, self.expected, "bytes of the job of `{}`", self.vgpu);
        self.job.close(&mut bars).unwrap();
        let channel = self.job.channel().unwrap();
        while channel.poll_ready(&mut bars).unwrap() != ChannelStatus::Free {
            assert!(Instant::now() < end, "the channel is not closed");
        }
    }
}
