//! Work for the copy engine.

use crate::plan::{Arena, Placed, check_apart, within};
use crate::work::{ChannelPlan, Script, Work};
use crate::{Bars, Channel, Device, GuestError, JobError, JobState, Region};
use godwit_regs::fifo::Entry;
use godwit_types::{GuestChannelId, GuestTsgId, RunlistId, Vector};
use std::ops::Range;

/// A list of copies, fills and semaphores, through a copy channel of its own. It goes through
/// the same states as a [`crate::Job`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyJob {
    work: Work,
}

impl CopyJob {
    /// Places the ring in `arena` and checks that the copy engine can do `entries`, which it
    /// will do `repeat` times in a row. Copies and fills may be anywhere in the partition.
    ///
    /// The channel and its group are number 1, or 0 when the vGPU has one alone, and the
    /// vector that tells of the end is number 1; see [`Self::on_channel`] and
    /// [`Self::with_vector`].
    pub fn plan(
        device: &Device,
        entries: Vec<Entry>,
        repeat: u32,
        arena: Range<u64>,
    ) -> Result<Self, JobError> {
        if entries.is_empty() || repeat == 0 {
            return Err(JobError::Nothing);
        }
        let number = u16::from(device.channel_count() > 1);
        let script = Script {
            body: entries,
            repeat,
            vector: Vector::new(1).expect("every vGPU has a vector 1"),
        };
        let mut arena = Arena::new(device, arena)?;
        let (ring_base, ring_log2) = arena.place_ring(script.entry_count())?;
        for (index, entry) in script.body.iter().enumerate() {
            let places = places_of(device, index, entry)?;
            check_apart(arena.placed(), &places)?;
        }
        let channel = ChannelPlan {
            id: GuestChannelId::new(number).expect("0 and 1 are channels"),
            tsg: GuestTsgId::new(number).expect("0 and 1 are groups"),
            engine: RunlistId::COPY,
            ring_base,
            ring_log2,
        };
        Ok(Self { work: Work::new(*device, channel, script) })
    }

    /// The same job on another channel, in another group.
    pub fn on_channel(mut self, id: GuestChannelId, tsg: GuestTsgId) -> Result<Self, JobError> {
        self.work.move_to(id, tsg)?;
        Ok(self)
    }

    /// The same job, whose end another vector tells of.
    #[must_use]
    pub fn with_vector(mut self, vector: Vector) -> Self {
        self.work.script.vector = vector;
        self
    }

    /// Asks for the channel.
    pub fn start(&mut self, bars: &mut impl Bars) -> Result<(), GuestError> {
        self.work.start(bars)
    }

    /// Looks how far the job is, and submits what the ring has room for.
    pub fn poll(&mut self, bars: &mut impl Bars) -> Result<JobState, GuestError> {
        self.work.poll(bars)
    }

    /// How far the job was at the last look.
    pub fn state(&self) -> JobState {
        self.work.state()
    }

    /// The job's channel, once it is asked for.
    pub fn channel(&self) -> Option<&Channel> {
        self.work.channel()
    }

    /// Notes interrupts, a bit for each vector that arrived. Nothing waits for them.
    pub fn interrupted(&mut self, vectors: u32) {
        self.work.interrupted(vectors);
    }

    /// How often the vector that tells of the end has arrived.
    pub fn interrupts(&self) -> u32 {
        self.work.interrupts()
    }

    /// Asks that the channel be destroyed, so that another job can have it. It is free a while
    /// later.
    pub fn close(&self, bars: &mut impl Bars) -> Result<(), GuestError> {
        self.work.close(bars)
    }
}

/// What an entry reads and writes.
fn places_of(device: &Device, index: usize, entry: &Entry) -> Result<Vec<Placed>, JobError> {
    let place = |at, byte_count| within(Region::Entry(index), at, byte_count, device.fb_bytes());
    Ok(match *entry {
        Entry::Launch(_) => return Err(JobError::NotForCopy { index }),
        Entry::Copy { from, to, byte_count } => {
            if from.abs_diff(to) < byte_count {
                return Err(JobError::CopyOverlaps { index, from, to, byte_count });
            }
            vec![place(from, byte_count)?, place(to, byte_count)?]
        }
        Entry::Fill { at, byte_count, .. } => vec![place(at, byte_count)?],
        Entry::Acquire { at, .. } | Entry::Release { at, .. } => {
            if !at.is_multiple_of(4) {
                return Err(JobError::Semaphore { index, at });
            }
            vec![place(at, 4)?]
        }
        Entry::Notify(_) => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FB_BYTES, Fake};
    use crate::{load_word, store_word};

    const ARENA: Range<u64> = 0..4096;

    fn plan(entries: Vec<Entry>) -> Result<CopyJob, JobError> {
        let device = Device::probe(&mut Fake::new()).unwrap();
        CopyJob::plan(&device, entries, 1, ARENA)
    }

    fn copy(from: u64, to: u64, byte_count: u64) -> Entry {
        Entry::Copy { from, to, byte_count }
    }

    fn fill(at: u64, byte_count: u64) -> Entry {
        Entry::Fill { at, byte_count, value: 0x5a }
    }

    #[test]
    fn entries_wait_for_a_semaphore_that_the_guest_releases() {
        let mut fake = Fake::new();
        let acquire = Entry::Acquire { at: 8192, value: 3 };
        let release = Entry::Release { at: 8196, value: 9 };
        let end = FB_BYTES - 100;
        let entries = vec![fill(end, 100), acquire, copy(end, 16384, 100), release];
        let mut job = plan(entries).unwrap();
        job.start(&mut fake).unwrap();
        fake.take_requests();
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Running);
        fake.run();
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Running);
        assert_eq!(job.channel().unwrap().completed(&mut fake).unwrap(), 1);
        assert_eq!(fake.memory[16384], 0);
        store_word(&mut fake, 8192, 3).unwrap();
        fake.run();
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Done);
        assert_eq!(fake.memory[16384..16384 + 100], [0x5a; 100]);
        assert_eq!(load_word(&mut fake, 8196).unwrap(), 9);
        assert_eq!(fake.vectors, [1 << 1]);
    }

    #[test]
    fn what_the_copy_engine_cannot_do_is_refused() {
        assert!(matches!(plan(vec![]), Err(JobError::Nothing)));
        let onto_itself = plan(vec![copy(8192, 8200, 9)]);
        assert!(matches!(onto_itself, Err(JobError::CopyOverlaps { .. })));
        let beyond = plan(vec![fill(4096, 1), fill(FB_BYTES - 8, 9)]);
        assert!(matches!(beyond, Err(JobError::Outside { region: Region::Entry(1), .. })));
        let onto_the_ring = plan(vec![copy(8192, 512, 64)]);
        assert!(matches!(onto_the_ring, Err(JobError::Overlap { .. })));
        let odd = plan(vec![Entry::Release { at: 8194, value: 0 }]);
        assert!(matches!(odd, Err(JobError::Semaphore { .. })));
    }
}
