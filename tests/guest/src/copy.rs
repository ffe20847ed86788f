//! Work for the copy engine.

use crate::plan::{Arena, Placed, check_apart, place_data, within};
use crate::work::{ChannelPlan, Script, Work};
use crate::{Device, Job, JobError, Region};
use godwit_regs::fifo::{Address, Entry};
use godwit_types::{GuestChannelId, GuestTsgId, RunlistId, Vector};
use std::ops::Range;
use std::sync::Arc;

/// A list of copies, fills and semaphores, and all that goes with it. Addresses are relative to
/// the partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopySpec {
    /// What the copy engine does, in order.
    pub entries: Vec<Entry>,
    /// How often it does all of that.
    pub repeat: u32,
    /// What to put where before the start.
    pub inputs: Vec<(u64, Arc<[u8]>)>,
    /// Where the result lies.
    pub output: Option<Range<u64>>,
}

impl Job {
    /// Places the ring in `arena` and checks that the copy engine can do the entries. Copies and
    /// fills may be anywhere in the partition.
    ///
    /// The channel and its group are number 1, or 0 when the vGPU has one alone, and the
    /// vector that tells of the end is number 1; see [`Self::on_channel`] and
    /// [`Self::with_vector`].
    pub fn plan_copies(
        device: &Device,
        spec: CopySpec,
        arena: Range<u64>,
    ) -> Result<Self, JobError> {
        if spec.entries.is_empty() || spec.repeat == 0 {
            return Err(JobError::Nothing);
        }
        let number = u16::from(device.channel_count() > 1);
        let script = Script {
            body: spec.entries,
            repeat: spec.repeat,
            vector: Vector::new(1).expect("every vGPU has a vector 1"),
        };
        let mut arena = Arena::new(device, arena)?;
        let (ring_base, ring_log2) = arena.place_ring(script.entry_count())?;
        for (index, entry) in script.body.iter().enumerate() {
            let places = places_of(device, index, entry)?;
            check_apart(arena.placed(), &places)?;
        }
        let (inputs, outputs) = place_data(device, &spec.inputs, spec.output.as_ref())?;
        check_apart(arena.placed(), &inputs)?;
        check_apart(arena.placed(), &outputs)?;
        let channel = ChannelPlan {
            id: GuestChannelId::new(number).expect("0 and 1 are channels"),
            group: GuestTsgId::new(number).expect("0 and 1 are groups").into(),
            engine: RunlistId::COPY,
            ring_base,
            ring_log2,
        };
        let work = Work::new(*device, channel, script);
        Ok(Self { kernel: None, inputs: spec.inputs, output: spec.output, work })
    }
}

/// What an entry reads and writes in the partition; what is beyond it is the guest's own to place.
fn places_of(device: &Device, index: usize, entry: &Entry) -> Result<Vec<Placed>, JobError> {
    let mut places = Vec::new();
    let mut place = |address: Address, byte_count| {
        if !address.is_bus() {
            let limit_bytes = device.fb_bytes();
            places.push(within(Region::Entry(index), address.at, byte_count, limit_bytes)?);
        }
        Ok::<(), JobError>(())
    };
    match *entry {
        Entry::Launch(_) => return Err(JobError::NotForCopy { index }),
        Entry::Copy { from, to, byte_count } => {
            if from.target == to.target && from.at.abs_diff(to.at) < byte_count {
                let (from, to) = (from.at, to.at);
                return Err(JobError::CopyOverlaps { index, from, to, byte_count });
            }
            place(from, byte_count)?;
            place(to, byte_count)?;
        }
        Entry::Fill { at, byte_count, .. } => place(Address::fb(at), byte_count)?,
        Entry::Acquire { at, .. } | Entry::Release { at, .. } => {
            if !at.at.is_multiple_of(4) {
                return Err(JobError::Semaphore { index, at: at.at });
            }
            place(at, 4)?;
        }
        Entry::Notify(_) => {}
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FB_BYTES, Fake, RAM_AT};
    use crate::{JobState, load_word, store_word};

    const ARENA: Range<u64> = 0..4096;

    fn plan_spec(spec: CopySpec) -> Result<Job, JobError> {
        let device = Device::probe(&mut Fake::new()).unwrap();
        Job::plan_copies(&device, spec, ARENA)
    }

    fn plan(entries: Vec<Entry>) -> Result<Job, JobError> {
        plan_spec(CopySpec { entries, repeat: 1, ..CopySpec::default() })
    }

    fn copy(from: u64, to: u64, byte_count: u64) -> Entry {
        Entry::Copy { from: Address::fb(from), to: Address::fb(to), byte_count }
    }

    fn fill(at: u64, byte_count: u64) -> Entry {
        Entry::Fill { at, byte_count, value: 0x5a }
    }

    #[test]
    fn entries_wait_for_a_semaphore_that_the_guest_releases() {
        let mut fake = Fake::new();
        let acquire = Entry::Acquire { at: Address::fb(8192), value: 3 };
        let release = Entry::Release { at: Address::fb(8196), value: 9 };
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
    fn inputs_are_in_place_before_and_the_output_is_read_after() {
        let mut fake = Fake::new();
        let spec = CopySpec {
            entries: vec![copy(8192, 16384, 3), copy(16384, 8195, 3)],
            repeat: 2,
            inputs: vec![(8192, [1, 2, 3].into())],
            output: Some(8192..8198),
        };
        let mut job = plan_spec(spec).unwrap();
        job.start(&mut fake).unwrap();
        fake.take_requests();
        job.poll(&mut fake).unwrap();
        fake.run();
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Done);
        assert_eq!(job.read_output(&mut fake).unwrap(), [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn bytes_go_through_guest_memory_with_a_semaphore_there() {
        let mut fake = Fake::new();
        let (fb, bus) = (Address::fb, |at| Address::bus(RAM_AT + at));
        let spec = CopySpec {
            entries: vec![
                Entry::Copy { from: fb(8192), to: bus(64), byte_count: 3 },
                Entry::Release { at: bus(0), value: 1 },
                Entry::Acquire { at: bus(4), value: 2 },
                Entry::Copy { from: bus(64), to: fb(8195), byte_count: 3 },
            ],
            repeat: 1,
            inputs: vec![(8192, [1, 2, 3].into())],
            output: Some(8192..8198),
        };
        let mut job = plan_spec(spec).unwrap();
        job.start(&mut fake).unwrap();
        fake.take_requests();
        job.poll(&mut fake).unwrap();
        fake.run();
        assert_eq!(fake.ram[..4], 1u32.to_le_bytes());
        assert_eq!(fake.ram[64..67], [1, 2, 3]);
        // The guest changes what came, and lets it go back.
        fake.ram[65] = 9;
        fake.ram[4..8].copy_from_slice(&2u32.to_le_bytes());
        fake.run();
        assert_eq!(job.poll(&mut fake).unwrap(), JobState::Done);
        assert_eq!(job.read_output(&mut fake).unwrap(), [1, 2, 3, 1, 9, 3]);
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
        let odd = plan(vec![Entry::Release { at: Address::fb(8194), value: 0 }]);
        assert!(matches!(odd, Err(JobError::Semaphore { .. })));
        let entries = vec![fill(8192, 1)];
        let inputs = vec![(512, [0; 8].into())];
        let under = CopySpec { entries, repeat: 1, inputs, output: None };
        assert!(matches!(plan_spec(under), Err(JobError::Overlap { .. })));
    }
}
