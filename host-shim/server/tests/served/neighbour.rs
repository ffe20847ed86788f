//! The neighbour's machine and its migration manager, which must not notice anything.

use crate::plan::plan;
use crate::serving::{NEIGHBOUR, PATIENCE, Serving};
use godwit_guest::{Bars, ChannelStatus, Device, Job, JobState};
use godwit_server::{Client, ClientError};
use godwit_shim::vfio::MigrationState;
use godwit_sys::MemFile;
use godwit_vfio_proto::{DmaFlags, DmaMap, RegionAccess, Request, region};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an answer may take, on a machine that is busy with other things, too.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const BAR2: u32 = 2;
/// Where its guest memory is, which no job of it uses.
const MEMORY_AT: u64 = 1 << 32;
const MEMORY_BYTES: u64 = 64 << 10;
/// Bytes of the framebuffer that no job uses, and what they hold; behind them are others that are
/// written and read all the time.
const KEPT: std::ops::Range<u64> = 7 << 20..(7 << 20) + 4096;
const KEPT_BYTE: u8 = 0xa7;
const SCRATCH: u64 = KEPT.end;
const SCRATCH_BYTES: u64 = 10_000;
/// Reads of its state, of which each has up to 1 MiB.
const READS_MAX: u32 = 64;

/// A client whose answers come in time.
pub(crate) struct Timed {
    client: Client,
    slowest: Duration,
}

impl Timed {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, slowest: Duration::ZERO }
    }

    fn ask<T>(&mut self, what: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> T {
        let began = Instant::now();
        let answer = what(&mut self.client);
        let took = began.elapsed();
        assert!(took < ANSWER_MAX, "an answer takes {took:?}");
        self.slowest = self.slowest.max(took);
        answer.unwrap()
    }

    fn read(&mut self, region: u32, offset: u64, count: u32) -> Vec<u8> {
        self.ask(|client| client.read_region(RegionAccess { region, offset, count }))
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) {
        self.ask(|client| client.write_region(region, offset, data));
    }
}

impl Bars for Timed {
    type Error = std::convert::Infallible;

    fn read32(&mut self, offset: u32) -> Result<u32, Self::Error> {
        let bytes = Timed::read(self, region::BAR0, offset.into(), 4);
        Ok(u32::from_le_bytes(bytes.try_into().unwrap()))
    }

    fn write32(&mut self, offset: u32, value: u32) -> Result<(), Self::Error> {
        Timed::write(self, region::BAR0, offset.into(), &value.to_le_bytes());
        Ok(())
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Self::Error> {
        into.copy_from_slice(&Timed::read(self, BAR2, at, into.len() as u32));
        Ok(())
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), Self::Error> {
        Timed::write(self, BAR2, at, from);
        Ok(())
    }
}

/// See the module.
pub(crate) struct Neighbour {
    machine: Timed,
    manager: Timed,
    driver: Device,
    job: Job,
    expected: Vec<u8>,
    seed: u64,
    memory: MemFile,
    config: Vec<u8>,
    /// Jobs that came to the right bytes, and moves of the vGPU to where it was.
    pub(crate) rounds: u32,
    pub(crate) moves: u32,
}

impl Neighbour {
    pub(crate) fn new(serving: &Serving) -> Self {
        let connect = |path: &Path| Timed::new(Client::connect(path).unwrap());
        let mut machine = connect(&serving.device(NEIGHBOUR));
        let manager = connect(&serving.migration(NEIGHBOUR));
        let memory = MemFile::new("neighbour", MEMORY_BYTES).unwrap();
        memory.write(0, &vec![KEPT_BYTE; MEMORY_BYTES as usize]).unwrap();
        let flags = DmaFlags::READ | DmaFlags::WRITE;
        let map = DmaMap { flags, offset: 0, iova: MEMORY_AT, length: MEMORY_BYTES };
        let fds = [memory.file().as_fd()];
        machine.ask(|client| client.ask(&Request::DmaMap(map), &fds, |_, _| ()));
        machine.write(BAR2, KEPT.start, &vec![KEPT_BYTE; (KEPT.end - KEPT.start) as usize]);
        let config = machine.read(region::CONFIG, 0, 256);
        let driver = Device::probe(&mut machine).unwrap();
        let (job, expected) = plan(&driver, 1);
        let (seed, rounds, moves) = (1, 0, 0);
        let mut this =
            Self { machine, manager, driver, job, expected, seed, memory, config, rounds, moves };
        this.job.start(&mut this.machine).unwrap();
        this
    }

    /// Does something of everything. After a job comes another, and every other is moved.
    pub(crate) fn step(&mut self) {
        let bars = &mut self.machine;
        match self.job.state() {
            JobState::Done => {
                let channel = self.job.channel().unwrap();
                if channel.poll_ready(bars).unwrap() == ChannelStatus::Free {
                    self.seed += 1;
                    (self.job, self.expected) = plan(&self.driver, self.seed);
                    self.job.start(&mut self.machine).unwrap();
                    if self.seed.is_multiple_of(2) {
                        self.save_and_restore();
                    }
                }
            }
            _ => match self.job.poll(bars).unwrap() {
                JobState::Done => {
                    let found = self.job.read_output(bars).unwrap();
                    assert_eq!(found, self.expected, "bytes of the neighbour's job");
                    self.rounds += 1;
                    self.job.close(bars).unwrap();
                }
                JobState::Creating | JobState::Running => {}
                state => panic!("the neighbour's job is {state:?}"),
            },
        }
        self.use_regions();
    }

    fn use_regions(&mut self) {
        let bytes = (0..SCRATCH_BYTES).map(|at| (at * self.seed % 251) as u8);
        let bytes: Vec<u8> = bytes.collect();
        self.machine.write(BAR2, SCRATCH, &bytes);
        assert_eq!(self.machine.read(BAR2, SCRATCH, bytes.len() as u32), bytes);
        assert_eq!(self.machine.read(region::CONFIG, 0, 256), self.config, "its configuration");
        let state = self.manager.ask(Client::state);
        assert_eq!(state, MigrationState::Running as u32, "its state");
    }

    /// Reads its state, while it runs and when it stands still, and has it go on from there.
    fn save_and_restore(&mut self) {
        self.set_state(MigrationState::PreCopy);
        let initial = self.manager.ask(Client::precopy_info).initial_bytes;
        let mut state = self.read_state(initial);
        self.set_state(MigrationState::StopCopy);
        let size = self.manager.ask(Client::data_size);
        let rest = self.read_state(u64::MAX);
        assert!(rest.len() as u64 <= size, "{size} bytes were announced, {} come", rest.len());
        state.extend(rest);
        self.set_state(MigrationState::Resuming);
        for part in state.chunks(self.manager.client.data_bytes() as usize) {
            self.manager.ask(|client| client.write_state(part));
        }
        self.set_state(MigrationState::Running);
        self.check_kept();
        self.moves += 1;
    }

    fn set_state(&mut self, state: MigrationState) {
        self.manager.ask(|client| client.set_state(state as u32));
    }

    /// So many bytes of its state, or as many as there are now.
    fn read_state(&mut self, wanted: u64) -> Vec<u8> {
        let mut state = Vec::new();
        for _ in 0..READS_MAX {
            let part = self.manager.ask(|client| client.read_state(u32::MAX));
            if part.is_empty() {
                return state;
            }
            state.extend(part);
            if state.len() as u64 >= wanted {
                return state;
            }
        }
        panic!("its state has no end");
    }

    /// Lets the job that runs come to its end.
    pub(crate) fn finish(&mut self) {
        let (rounds, end) = (self.rounds, Instant::now() + PATIENCE);
        while self.rounds == rounds {
            assert!(Instant::now() < end, "the neighbour's job does not end");
            self.step();
        }
        self.check_kept();
        let answers = (self.machine.slowest, self.manager.slowest);
        println!("{} jobs, {} moves, slowest answers {answers:?}", self.rounds, self.moves);
    }

    fn check_kept(&mut self) {
        let kept = self.machine.read(BAR2, KEPT.start, (KEPT.end - KEPT.start) as u32);
        assert!(kept.iter().all(|byte| *byte == KEPT_BYTE), "its framebuffer was written");
        let mut memory = vec![0; MEMORY_BYTES as usize];
        self.memory.read(0, &mut memory).unwrap();
        assert!(memory.iter().all(|byte| *byte == KEPT_BYTE), "its guest memory was written");
    }
}
