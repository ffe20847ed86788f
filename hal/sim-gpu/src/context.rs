//! What lies in a channel's context buffer.
//!
//! Little-endian, in this order: magic, layout version, GP_GET, what is in flight, bytes of the
//! launch, a zero (u32 each); bytes of the transfer that are done (u64); the transfer or
//! acquire as its ring entry (64 bytes); the launch. A buffer that begins with zeros is a
//! channel that has done nothing. No value in it names a place on one device.
//!
//! A buffer may have been written by a restore, so nothing in it is believed.

use crate::compute::LaunchRun;
use godwit_regs::fifo::{Address, Entry, EntryWords};
use godwit_sys::MemFile;
use godwit_types::{ChannelFault, Profile, RunlistId};

const MAGIC: u32 = u32::from_le_bytes(*b"GCTX");
/// Bytes in front of the launch.
const HEADER_BYTES: usize = 96;
/// What a launch may put in front of its threads, so that as many threads fit a buffer as the
/// profile promises.
const LAUNCH_HEADER_BYTES: usize = 160;

const _: () = assert!(HEADER_BYTES + LAUNCH_HEADER_BYTES == Profile::CONTEXT_HEADER_BYTES as usize);

/// A copy or fill of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Copy { from: Address, to: Address, byte_count: u64 },
    Fill { at: u64, byte_count: u64, value: u8 },
}

impl Transfer {
    pub(crate) const fn byte_count(self) -> u64 {
        match self {
            Self::Copy { byte_count, .. } | Self::Fill { byte_count, .. } => byte_count,
        }
    }

    /// Whether its bytes go over the bus.
    pub(crate) const fn is_over_bus(self) -> bool {
        match self {
            Self::Copy { from, to, .. } => from.is_bus() || to.is_bus(),
            Self::Fill { .. } => false,
        }
    }

    const fn entry(self) -> Entry {
        match self {
            Self::Copy { from, to, byte_count } => Entry::Copy { from, to, byte_count },
            Self::Fill { at, byte_count, value } => Entry::Fill { at, byte_count, value },
        }
    }
}

/// The entry that a channel has begun and not finished.
#[derive(Debug)]
pub(crate) enum Flight {
    /// None.
    Clear,
    /// A kernel.
    Launch(Box<LaunchRun>),
    /// A copy or fill, and how many of its bytes are done.
    Transfer { transfer: Transfer, done: u64 },
    /// A semaphore that has not had its value yet.
    Acquire { at: Address, value: u32 },
}

impl Flight {
    /// Whether the engine works at it, rather than waits or has nothing to do.
    pub(crate) const fn is_work(&self) -> bool {
        matches!(self, Self::Launch(_) | Self::Transfer { .. })
    }

    /// Whether its bytes go over the bus.
    pub(crate) const fn is_over_bus(&self) -> bool {
        match self {
            Self::Transfer { transfer, .. } => transfer.is_over_bus(),
            Self::Clear | Self::Launch(_) | Self::Acquire { .. } => false,
        }
    }

    const fn kind(&self) -> u32 {
        match self {
            Self::Clear => 0,
            Self::Launch(_) => 1,
            Self::Transfer { .. } => 2,
            Self::Acquire { .. } => 3,
        }
    }
}

/// A channel's state: how far in its ring it has come, and the entry it is at.
#[derive(Debug)]
pub(crate) struct Context {
    /// Entries that are finished, wrapping. What USERD shows is a copy.
    pub(crate) get: u32,
    pub(crate) flight: Flight,
}

/// Threads that a context buffer of this length has room for.
pub(crate) const fn resident_threads(context_bytes: u32) -> u32 {
    context_bytes.saturating_sub(Profile::CONTEXT_HEADER_BYTES) / Profile::CONTEXT_THREAD_BYTES
}

/// A context buffer in the device's context memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    pub(crate) at: u64,
    pub(crate) byte_count: u32,
}

impl Buffer {
    fn word(self, memory: &MemFile, at: u64) -> u32 {
        memory.load(self.at + at).map_or(0, u32::from_le)
    }

    /// Bytes of it that a load reads.
    pub(crate) fn used_bytes(self, memory: &MemFile) -> u32 {
        let launch = self.word(memory, 16);
        let used = launch.saturating_add(HEADER_BYTES as u32);
        used.min(self.byte_count)
    }

    /// Loads the context of a channel of this runlist.
    pub(crate) fn load(
        self,
        memory: &MemFile,
        layout: u32,
        runlist: RunlistId,
    ) -> Result<Context, ChannelFault> {
        let mut bytes = vec![0; self.used_bytes(memory) as usize];
        memory.read(self.at, &mut bytes).map_err(|_| ChannelFault::BadContext)?;
        Context::parse(&bytes, layout, runlist, resident_threads(self.byte_count))
            .ok_or(ChannelFault::BadContext)
    }
}

impl Context {
    /// The bytes of a context buffer, from its start.
    pub(crate) fn encode(&self, layout: u32) -> Vec<u8> {
        let (launch, done, entry) = match &self.flight {
            Flight::Clear => (Vec::new(), 0, EntryWords::default()),
            Flight::Launch(run) => (run.encode(), 0, EntryWords::default()),
            Flight::Transfer { transfer, done } => (Vec::new(), *done, transfer.entry().encode()),
            Flight::Acquire { at, value } => {
                let entry = Entry::Acquire { at: *at, value: *value };
                (Vec::new(), 0, entry.encode())
            }
        };
        let launch_bytes = launch.len() as u32;
        let head = [MAGIC, layout, self.get, self.flight.kind(), launch_bytes, 0];
        let mut bytes = Vec::with_capacity(HEADER_BYTES + launch.len());
        bytes.extend(head.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(done.to_le_bytes());
        bytes.extend(entry.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(launch);
        bytes
    }

    fn parse(bytes: &[u8], layout: u32, runlist: RunlistId, threads: u32) -> Option<Self> {
        let (header, launch) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        if header.iter().all(|byte| *byte == 0) {
            return Some(Self { get: 0, flight: Flight::Clear });
        }
        let mut words = header.as_chunks::<4>().0.iter().copied().map(u32::from_le_bytes);
        let mut word = || words.next().unwrap_or(0);
        let head = [word(), word(), word(), word(), word(), word()];
        let done = u64::from(word()) | u64::from(word()) << 32;
        let entry: EntryWords = std::array::from_fn(|_| word());
        let [magic, version, get, kind, launch_bytes, zero] = head;
        if magic != MAGIC || version != layout || launch_bytes as usize != launch.len() || zero != 0
        {
            return None;
        }
        let flight = if kind == 1 {
            Flight::parse_launch(launch, threads)?
        } else {
            Flight::parse_entry(kind, done, &entry)?
        };
        let on_its_engine = match flight {
            Flight::Launch(_) => runlist == RunlistId::COMPUTE && done == 0 && entry == [0; 16],
            Flight::Transfer { .. } => runlist == RunlistId::COPY && launch.is_empty(),
            Flight::Clear | Flight::Acquire { .. } => done == 0 && launch.is_empty(),
        };
        on_its_engine.then_some(Self { get, flight })
    }
}

impl Flight {
    fn parse_launch(bytes: &[u8], threads: u32) -> Option<Self> {
        let run = LaunchRun::decode(bytes, threads).ok()?;
        Some(Self::Launch(Box::new(run)))
    }

    fn parse_entry(kind: u32, done: u64, entry: &EntryWords) -> Option<Self> {
        if kind == 0 {
            return (*entry == EntryWords::default()).then_some(Self::Clear);
        }
        let transfer = match (kind, Entry::parse(entry)?) {
            (3, Entry::Acquire { at, value }) => return Some(Self::Acquire { at, value }),
            (2, Entry::Copy { from, to, byte_count }) => Transfer::Copy { from, to, byte_count },
            (2, Entry::Fill { at, byte_count, value }) => Transfer::Fill { at, byte_count, value },
            _ => return None,
        };
        (done <= transfer.byte_count()).then_some(Self::Transfer { transfer, done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_regs::fifo::Launch;

    const LAYOUT: u32 = 7;
    const BUFFER: Buffer = Buffer { at: 4096, byte_count: 4096 };

    fn launch() -> Flight {
        let launch = Launch {
            entry: 0x1000,
            grid: 3,
            block: 14,
            args: 1,
            stacks: 2,
            stack_bytes: 16,
            shared_bytes: 0,
            shared: 0,
        };
        let run = LaunchRun::new(&launch, resident_threads(4096)).unwrap();
        Flight::Launch(Box::new(run))
    }

    fn contexts() -> Vec<(RunlistId, Context)> {
        let transfer = |from, to| {
            let transfer = Transfer::Copy { from, to, byte_count: 1 << 16 };
            Flight::Transfer { transfer, done: 77 }
        };
        let acquire = |at| Flight::Acquire { at, value: 9 };
        let (fb, bus) = (Address::fb(1 << 20), Address::bus(1 << 40));
        [
            (RunlistId::COPY, Flight::Clear),
            (RunlistId::COMPUTE, launch()),
            (RunlistId::COPY, transfer(Address::fb(0), fb)),
            (RunlistId::COMPUTE, acquire(Address::fb(64))),
            (RunlistId::COPY, transfer(fb, bus)),
            (RunlistId::COMPUTE, acquire(bus)),
        ]
        .into_iter()
        .map(|(runlist, flight)| (runlist, Context { get: 5, flight }))
        .collect()
    }

    fn stored(bytes: &[u8]) -> MemFile {
        let memory = MemFile::new("test", 8192).unwrap();
        memory.write(BUFFER.at, bytes).unwrap();
        memory
    }

    #[test]
    fn a_context_reads_back_as_written() {
        for (runlist, context) in contexts() {
            let bytes = context.encode(LAYOUT);
            let memory = stored(&bytes);
            let back = BUFFER.load(&memory, LAYOUT, runlist).unwrap();
            assert_eq!(back.encode(LAYOUT), bytes);
            assert_eq!(back.get, 5);
            assert_eq!(BUFFER.used_bytes(&memory) as usize, bytes.len());
        }
    }

    #[test]
    fn a_buffer_of_zeros_is_a_fresh_channel() {
        let memory = stored(&[]);
        let fresh = BUFFER.load(&memory, LAYOUT, RunlistId::COPY).unwrap();
        assert_eq!(fresh.get, 0);
        assert!(matches!(fresh.flight, Flight::Clear));
    }

    #[test]
    fn what_the_device_did_not_write_is_refused() {
        for (runlist, context) in contexts() {
            let bytes = context.encode(LAYOUT);
            let refused = |bytes: &[u8], layout, runlist| {
                let loaded = BUFFER.load(&stored(bytes), layout, runlist);
                assert_eq!(loaded.err(), Some(ChannelFault::BadContext));
            };
            refused(&bytes, LAYOUT + 1, runlist);
            for at in [0, 12, 16, 17, 18, 19, 20, 32, 95] {
                let mut bad = bytes.clone();
                bad[at] ^= 0x41;
                refused(&bad, LAYOUT, runlist);
            }
        }
    }

    #[test]
    fn work_of_another_engine_is_refused() {
        let other = [RunlistId::COPY, RunlistId::COMPUTE];
        // A launch and a copy; nothing else is for one engine alone.
        for ((_, context), runlist) in contexts().into_iter().skip(1).zip(other) {
            let memory = stored(&context.encode(LAYOUT));
            assert!(BUFFER.load(&memory, LAYOUT, runlist).is_err());
        }
    }

    #[test]
    fn more_is_done_than_there_is_to_do_is_refused() {
        let transfer = Transfer::Fill { at: 0, byte_count: 8, value: 1 };
        let context = Context { get: 0, flight: Flight::Transfer { transfer, done: 9 } };
        let memory = stored(&context.encode(LAYOUT));
        assert!(BUFFER.load(&memory, LAYOUT, RunlistId::COPY).is_err());
    }
}
