//! How fast a vGPU is saved to a pipe and restored from one, in this machine's time:
//! `cargo xtask bench save`.

#![forbid(unsafe_code)]

use clap::Parser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use godwit_shim::{Host, Mcu, RestoreState, Restorer, SavePlan, SaveState, Saver, Wanted};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{Engines, Gfid, Identity, Profile, Share};
use godwit_wire::mailbox::StopMode;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::error::Error;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// The least speed, as a multiple of what a part is held to.
const RATIO_MIN: f64 = 0.5;
/// Framebuffers that make sense: too large for caches, and four times in memory.
const BYTES: std::ops::RangeInclusive<u64> = 64 * MIB..=16 << 30;
/// Bytes of a pipe: what the system gives whoever asks.
const PIPE_BYTES: usize = 1 << 20;
/// Bytes that are written to a pipe or read from it at once.
const CHUNK: usize = 256 * 1024;
/// Bytes of the framebuffer that the CPU reaches: what a profile has unless told.
const BAR_BYTES: u64 = 64 * MIB;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures, in this machine's time, a save and a restore beside memcpy and a plain pipe.
#[derive(Debug, Parser)]
struct Options {
    /// Bytes of the framebuffer, all of them dirty: whole MiB, 64 MiB to 16 GiB.
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
    /// Rounds, 1 to 1,000.
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// What is timed, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    /// A copy of the state from memory to memory.
    Memcpy,
    /// The state written to a pipe that somebody drains.
    Pipe,
    /// A save whose bytes go nowhere.
    Save,
    /// A save to that pipe.
    SaveToPipe,
    /// A restore from memory.
    Restore,
    /// A restore from a pipe that somebody fills.
    RestoreFromPipe,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::Memcpy,
        Self::Pipe,
        Self::Save,
        Self::SaveToPipe,
        Self::Restore,
        Self::RestoreFromPipe,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Memcpy => "memcpy",
            Self::Pipe => "pipe",
            Self::Save => "save",
            Self::SaveToPipe => "save to pipe",
            Self::Restore => "restore",
            Self::RestoreFromPipe => "restore from pipe",
        }
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every bar is held.
fn run(options: &Options) -> Result<bool> {
    let mut bench = Bench::new(options.bytes)?;
    let mut all = Vec::new();
    for _ in 0..options.rounds {
        let mut row = Vec::new();
        for part in Part::ALL {
            if let Ok(v) = std::env::var("ONLY")
                && v != part.name()
            {
                continue;
            }
            let c = cpu();
            let t = bench.time(part)?;
            row.push(t.as_secs_f64() * 1e3);
            row.push((cpu() - c) * 1e3);
        }
        println!("{row:.0?}");
        all.push(row);
    }
    Ok(true)
}

fn cpu() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// A host with a vGPU all of whose framebuffer is dirty, another host, and its state.
struct Bench {
    source: Host,
    gfid: Gfid,
    target: Host,
    state: Vec<u8>,
    copy: Vec<u8>,
}

impl Bench {
    fn new(bytes: u64) -> Result<Self> {
        let mut source = host(bytes)?;
        let profile = Profile {
            fb_bytes: bytes,
            bar_bytes: BAR_BYTES.min(bytes),
            channel_count: 8,
            context_bytes: 64 * 1024,
        };
        let gfid = source.create_running(profile, Share::DEFAULT, None)?;
        let partition = source.card().gpu().partition(gfid).expect("a vGPU has a partition");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut chunk = vec![0; CHUNK];
        for at in (0..bytes).step_by(CHUNK) {
            rng.fill_bytes(&mut chunk);
            partition.file().write(at, &chunk)?;
        }
        let mut state = Vec::with_capacity(bytes as usize + MIB as usize);
        save(&mut source, gfid, &mut state)?;
        let copy = vec![1; state.len()];
        Ok(Self { source, gfid, target: host(bytes)?, state, copy })
    }

    fn time(&mut self, part: Part) -> Result<Duration> {
        Ok(match part {
            Part::Memcpy => {
                let begin = Instant::now();
                self.copy.copy_from_slice(std::hint::black_box(&self.state));
                begin.elapsed()
            }
            Part::Pipe => drained(|pipe| write_in_chunks(pipe, &self.state))?,
            Part::Save => {
                let begin = Instant::now();
                save(&mut self.source, self.gfid, &mut io::sink())? - begin
            }
            Part::SaveToPipe => drained(|pipe| {
                save(&mut self.source, self.gfid, pipe)?;
                Ok(())
            })?,
            Part::Restore => {
                let begin = Instant::now();
                let end = restore(&mut self.target, &mut &self.state[..])?;
                end - begin
            }
            Part::RestoreFromPipe => {
                let (mut read, mut write) = pipe()?;
                let (state, target) = (&self.state, &mut self.target);
                thread::scope(|scope| {
                    let begin = Instant::now();
                    let writer = scope.spawn(move || write_in_chunks(&mut write, state));
                    let end = restore(target, &mut read)?;
                    drop(read);
                    writer.join().expect("the writer does not panic")?;
                    Ok::<_, Box<dyn Error + Send + Sync>>(end - begin)
                })?
            }
        })
    }
}

fn host(bytes: u64) -> Result<Host> {
    let identity = Identity {
        fb_bytes: bytes,
        bar_bytes: bytes,
        context_bytes: 64 * MIB,
        context_layout: 1,
        engines: Engines::ALL,
    };
    let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
    Ok(Host::new(config, &Mcu::Native)?)
}

fn pipe() -> Result<(PipeReader, PipeWriter)> {
    let (read, write) = io::pipe()?;
    rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES)?;
    Ok((read, write))
}

/// Times what `write` writes to a pipe, until a reader has it.
fn drained(write: impl FnOnce(&mut PipeWriter) -> Result<()>) -> Result<Duration> {
    let (mut read, mut pipe) = pipe()?;
    thread::scope(|scope| {
        let reader = scope.spawn(move || -> io::Result<()> {
            let mut chunk = vec![0; CHUNK];
            while read.read(&mut chunk)? != 0 {}
            Ok(())
        });
        let begin = Instant::now();
        write(&mut pipe)?;
        drop(pipe);
        reader.join().expect("the reader does not panic")?;
        Ok(begin.elapsed())
    })
}

fn write_in_chunks(pipe: &mut PipeWriter, bytes: &[u8]) -> Result<()> {
    bytes.chunks(CHUNK).try_for_each(|chunk| pipe.write_all(chunk))?;
    Ok(())
}

/// Lets the card go on to what happens next.
fn advance(host: &mut Host) -> Result<()> {
    host.settle();
    if let Some(next_ns) = host.card().gpu().next_event_ns() {
        host.run(next_ns);
    }
    Ok(())
}

fn save(host: &mut Host, gfid: Gfid, sink: &mut impl Write) -> Result<Instant> {
    let plan = SavePlan {
        uuid: [1; 16],
        token: 1,
        live: None,
        stop: StopMode::Instruction,
        stop_timeout_ns: 1_000_000_000,
    };
    let mut saver = Saver::new(host, gfid, plan).expect("the vGPU runs");
    saver.go_on(host);
    loop {
        let state = saver.step(host);
        saver.write_to(sink)?;
        match state {
            SaveState::WantsPause => saver.guest_paused(host),
            SaveState::Complete => break,
            SaveState::Undone(why) => return Err(why.into()),
            _ => advance(host)?,
        }
    }
    let end = Instant::now();
    saver.give_up(host);
    while !matches!(saver.step(host), SaveState::Undone(_)) {
        advance(host)?;
    }
    Ok(end)
}

fn restore(host: &mut Host, source: &mut impl Read) -> Result<Instant> {
    let mut restorer = Restorer::new(host, Wanted::default());
    loop {
        match restorer.step(host) {
            RestoreState::Described => restorer.accept(host, None),
            RestoreState::Ready => break,
            RestoreState::Undone(why) => return Err(why.into()),
            RestoreState::Working if restorer.wants_bytes() => {
                if restorer.read_from(source)? == 0 {
                    restorer.finish();
                }
            }
            RestoreState::Working => advance(host)?,
        }
    }
    let end = Instant::now();
    restorer.give_up(host);
    while !matches!(restorer.step(host), RestoreState::Undone(_)) {
        advance(host)?;
    }
    Ok(end)
}
