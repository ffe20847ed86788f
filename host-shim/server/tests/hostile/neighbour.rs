//! The other vGPU's guest, which must not notice anything.

use crate::bench::{HostBars, pass};
use crate::plan::plan;
use godwit_guest::{ChannelStatus, Device, Job, JobState};
use godwit_shim::Host;
use godwit_sim_gpu::{DmaTarget, DmaWindow};
use godwit_sys::MemFile;
use godwit_types::Gfid;
use std::sync::Arc;

/// Where the bus has guest memory, for both vGPUs.
pub(crate) const MEMORY_AT: u64 = 1 << 32;
/// Bytes of it.
pub(crate) const MEMORY_BYTES: u64 = 64 << 10;

/// Bytes of the framebuffer that no job of the neighbour's uses, and what they hold.
const KEPT: std::ops::Range<u64> = 7 << 20..(7 << 20) + 4096;
const KEPT_BYTE: u8 = 0xa7;
const STEP_NS: u64 = 100_000;
const STEPS_MAX: u32 = 100_000;

/// See the module.
pub(crate) struct Neighbour {
    gfid: Gfid,
    driver: Device,
    job: Job,
    expected: Vec<u8>,
    seed: u64,
    memory: Arc<MemFile>,
    /// Jobs that came to the right bytes.
    rounds: u32,
}

impl Neighbour {
    pub(crate) fn new(host: &mut Host, gfid: Gfid) -> Self {
        let memory = Arc::new(MemFile::new("neighbour", MEMORY_BYTES).unwrap());
        memory.write(0, &vec![KEPT_BYTE; MEMORY_BYTES as usize]).unwrap();
        let target = DmaTarget::Memory { memory: Arc::clone(&memory), offset: 0 };
        let (iova, byte_count) = (MEMORY_AT, MEMORY_BYTES);
        let window = DmaWindow { iova, byte_count, read: true, write: true, target };
        host.dma_map(gfid, window).unwrap();
        let kept = vec![KEPT_BYTE; (KEPT.end - KEPT.start) as usize];
        host.bar2_write(gfid, KEPT.start, &kept).unwrap();
        let driver = Device::probe(&mut HostBars { host, gfid }).unwrap();
        let (job, expected) = plan(&driver, 1);
        let mut this = Self { gfid, driver, job, expected, seed: 1, memory, rounds: 0 };
        this.start(host);
        this
    }

    fn start(&mut self, host: &mut Host) {
        self.job.start(&mut HostBars { host, gfid: self.gfid }).unwrap();
    }

    /// Looks how far its job is; after one comes another.
    pub(crate) fn step(&mut self, host: &mut Host) {
        let mut bars = HostBars { host, gfid: self.gfid };
        match self.job.state() {
            JobState::Done => {
                let channel = self.job.channel().unwrap();
                if channel.poll_ready(&mut bars).unwrap() == ChannelStatus::Free {
                    self.seed += 1;
                    (self.job, self.expected) = plan(&self.driver, self.seed);
                    self.start(host);
                }
            }
            _ => match self.job.poll(&mut bars).unwrap() {
                JobState::Done => {
                    let found = self.job.read_output(&mut bars).unwrap();
                    assert_eq!(found, self.expected, "bytes of the neighbour's job");
                    self.rounds += 1;
                    self.job.close(&mut bars).unwrap();
                }
                JobState::Creating | JobState::Running => {}
                state => panic!("the neighbour's job is {state:?}"),
            },
        }
    }

    /// Lets the job that runs come to its end.
    pub(crate) fn finish(&mut self, host: &mut Host) {
        let rounds = self.rounds;
        for _ in 0..STEPS_MAX {
            if self.rounds > rounds {
                break;
            }
            pass(host, STEP_NS);
            self.step(host);
        }
        assert!(self.rounds > rounds, "the neighbour's job does not end");
        let mut kept = vec![0; (KEPT.end - KEPT.start) as usize];
        host.bar2_read(self.gfid, KEPT.start, &mut kept).unwrap();
        assert!(kept.iter().all(|byte| *byte == KEPT_BYTE), "its framebuffer was written");
        let mut memory = vec![0; MEMORY_BYTES as usize];
        self.memory.read(0, &mut memory).unwrap();
        assert!(memory.iter().all(|byte| *byte == KEPT_BYTE), "its guest memory was written");
        assert_eq!(host.dma_windows(self.gfid).count(), 1, "its window is gone");
    }
}
