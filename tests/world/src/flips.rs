//! Flips single bits of state files, plain and sealed, and sees whether what reads them notices.
//!
//! A file is *accepted* when its head says that its vGPU is in it and its stream is read to its
//! end. No flipped bit may leave a file that is. What has been read before the flipped bit is as it
//! was, so reading goes on from a copy of the reader as it stood at the record or chunk with that
//! bit.

use crate::{Action, HostSpec, JobSource, JobSpec, SuspendSpec, VgpuSpec, World, WorldConfig};
use godwit_kernels::Job;
use godwit_shim::stream::{Opener, PROLOGUE_BYTES, Reader, SALT_BYTES, Sealer};
use godwit_shim::{FileOptions, HEAD_BYTES, KEY_BYTES, Mark, SealKey, read_head};
use godwit_sim_gpu::Costs;
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::mailbox::StopMode;
use godwit_wire::record::{HEADER_BYTES, Header};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;
use std::fmt;
use std::fs;

const MIB: u64 = 1 << 20;
/// Bytes that a reader is given at once.
const PIECE_BYTES: usize = 64 * 1024;
/// What the small file has at most.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// What the large file has at least.
const LARGE_BYTES_MIN: usize = 4 << 20;
const KEY: SealKey = SealKey::new([0x4b; KEY_BYTES]);

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Some MiB, and not up to 64 KiB.
    pub large: bool,
    /// Sealed, and not plain.
    pub sealed: bool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self { large: false, sealed: false },
        Self { large: false, sealed: true },
        Self { large: true, sealed: false },
        Self { large: true, sealed: true },
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = if self.large { "large" } else { "small" };
        let how = if self.sealed { "sealed" } else { "plain" };
        write!(f, "{size}-{how}")
    }
}

/// What reads a stream.
#[derive(Clone, Debug)]
struct Intake {
    opener: Option<Opener>,
    reader: Reader,
}

impl Intake {
    fn new(sealed: bool) -> Self {
        Self { opener: sealed.then(|| Opener::new(&KEY)), reader: Reader::new() }
    }

    /// Takes bytes; the error is why the stream is refused.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        match &mut self.opener {
            None => self.reader.feed(bytes),
            Some(opener) => {
                opener.feed(bytes);
                while let Some(record) = opener.next_record()? {
                    self.reader.feed_owned(record);
                    while self.reader.next_record()?.is_some() {}
                }
            }
        }
        while self.reader.next_record()?.is_some() {}
        Ok(())
    }

    fn finish(&self) -> Result<(), Box<dyn Error>> {
        if let Some(opener) = &self.opener {
            opener.finish()?;
        }
        Ok(self.reader.finish()?)
    }
}

/// A state file whose bits are flipped.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Which one.
    pub kind: Kind,
    bytes: Vec<u8>,
    /// Where each record or chunk begins, and what has read all before it.
    starts: Vec<(usize, Intake)>,
}

impl Subject {
    /// The file of a vGPU that was suspended in the middle of a job.
    ///
    /// # Errors
    ///
    /// When its world cannot be made, or the file is not accepted as it is.
    pub fn new(kind: Kind) -> Result<Self, Box<dyn Error>> {
        let mut bytes = suspended(kind.large)?;
        if kind.sealed {
            // With a salt that is the same each time, so that a failure can be repeated.
            let mut sealer = Sealer::with_salt(&KEY, &[0x5a; SALT_BYTES]);
            sealer.feed(&bytes[HEAD_BYTES..]);
            bytes.truncate(HEAD_BYTES);
            bytes.extend(sealer.take());
        }
        let sized = if kind.large {
            bytes.len() >= LARGE_BYTES_MIN
        } else {
            (SMALL_BYTES_MAX / 2..=SMALL_BYTES_MAX).contains(&bytes.len())
        };
        if !sized {
            return Err(format!("the {kind} file has {} bytes", bytes.len()).into());
        }
        let mut subject = Self { kind, bytes, starts: Vec::new() };
        subject.note_starts()?;
        match subject.refusal(None) {
            None => Ok(subject),
            Some(why) => Err(format!("the {kind} file is refused as it is: {why}").into()),
        }
    }

    /// Bits of the file.
    pub fn bit_count(&self) -> usize {
        8 * self.bytes.len()
    }

    fn note_starts(&mut self) -> Result<(), Box<dyn Error>> {
        let mut intake = Intake::new(self.kind.sealed);
        let mut at = HEAD_BYTES;
        while at < self.bytes.len() {
            self.starts.push((at, intake.clone()));
            let rest = &self.bytes[at..];
            let length = match self.kind.sealed {
                true if at == HEAD_BYTES => PROLOGUE_BYTES,
                true => {
                    let word = u32::from_le_bytes(*rest.first_chunk().ok_or("a chunk is cut")?);
                    4 + (word & !(1 << 31)) as usize + 16
                }
                false => {
                    let header = Header::parse(rest.first_chunk().ok_or("a record is cut")?)
                        .map_err(|_| "a header is malformed")?;
                    HEADER_BYTES + header.body_bytes as usize + header.payload_bytes as usize
                }
            };
            intake.take(&rest[..length])?;
            at += length;
        }
        Ok(())
    }

    /// Why the file is refused with this bit flipped, or as it is; `None`: it is accepted.
    pub fn refusal(&self, bit: Option<usize>) -> Option<String> {
        let head = self.piece(0, HEAD_BYTES, bit);
        match read_head(&head) {
            Ok(Mark::Fresh) => {}
            Ok(mark) => return Some(format!("its mark is {mark:?}")),
            Err(error) => return Some(error.to_string()),
        }
        let place = bit.map_or(0, |bit| bit / 8);
        let before = self.starts.partition_point(|(at, _)| *at <= place).saturating_sub(1);
        let (mut at, mut intake) = self.starts[before].clone();
        while at < self.bytes.len() {
            let piece = self.piece(at, PIECE_BYTES, bit);
            at += piece.len();
            if let Err(error) = intake.take(&piece) {
                return Some(error.to_string());
            }
        }
        intake.finish().err().map(|error| error.to_string())
    }

    /// Up to so many bytes from there on, with the bit flipped if it lies in them.
    fn piece(&self, at: usize, count: usize, bit: Option<usize>) -> Vec<u8> {
        let end = self.bytes.len().min(at + count);
        let mut piece = self.bytes[at..end].to_vec();
        if let Some(bit) = bit
            && (at..end).contains(&(bit / 8))
        {
            piece[bit / 8 - at] ^= 1 << (bit % 8);
        }
        piece
    }

    /// Every so many bits of the small file, or so many random ones of the large.
    pub fn bits(&self, every: usize, count: usize, seed: u64) -> Vec<usize> {
        if !self.kind.large {
            return (0..self.bit_count()).step_by(every).collect();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(0..self.bit_count())).collect()
    }
}

/// The plain file of a vGPU that was suspended in the middle of a job.
fn suspended(large: bool) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut world = World::new(WorldConfig { seed: 11, costs: Costs::default() });
    let host = world.add_host(HostSpec {
        name: "one".to_owned(),
        fb_bytes: 32 * MIB,
        bar_bytes: 32 * MIB,
        context_bytes: 4 * MIB,
        start_ns: 0,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    })?;
    let profile = Profile {
        fb_bytes: 16 * MIB,
        bar_bytes: 16 * MIB,
        channel_count: 2,
        context_bytes: 16 * 1024,
    };
    let (name, share) = ("one".to_owned(), Share::DEFAULT);
    let vgpu = world.add_vgpu(VgpuSpec { name, host, profile, share })?;
    let bytes = if large { 4 * MIB as u32 + 4096 } else { 16 * 1024 };
    let source = JobSource::Kernel(Job::histogram(3, bytes, 16, 8, 8));
    let (name, repeat, endless) = ("job".to_owned(), 1, false);
    world.add_job(JobSpec { name, vgpu, source, repeat, endless })?;
    let start_ns = world.now_ns() + 200_000;
    while world.now_ns() < start_ns {
        world.step();
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("one.state");
    let (stop, stop_timeout_ns) = (StopMode::Instruction, 10_000_000);
    let (options, file) = (FileOptions::default(), path.clone());
    world.act(Action::Suspend(SuspendSpec { vgpu, path: file, stop, stop_timeout_ns, options }));
    while world.is_transferring() {
        world.step();
    }
    match world.move_reports().last().map(|report| report.outcome.clone()) {
        Some(Ok(())) => Ok(fs::read(path)?),
        Some(Err(why)) => Err(why.into()),
        None => Err("the suspend has no end".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_from_where_the_bit_is_as_from_its_beginning() {
        for kind in [Kind::ALL[0], Kind::ALL[1]] {
            let subject = Subject::new(kind).unwrap();
            let mut whole = subject.clone();
            whole.starts.truncate(1);
            for bit in subject.bits(9_973, 0, 0) {
                let why = subject.refusal(Some(bit));
                assert!(why.is_some(), "bit {bit}");
                assert_eq!(why, whole.refusal(Some(bit)), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_bit_that_nothing_covers_is_told() {
        // Behind the file's end there is no byte whose bit could be flipped: the file is accepted.
        let subject = Subject::new(Kind::ALL[0]).unwrap();
        assert_eq!(subject.refusal(Some(subject.bit_count())), None);
    }
}
