//! How fast a vGPU is saved to a pipe and restored from one, in this machine's time:
//! `cargo xtask bench save`.

#![forbid(unsafe_code)]

use clap::Parser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use godwit_shim::{Host, Mcu, RestoreState, Restorer, SaveOptions, SaveState, Saver, Wanted};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_sys::MemFile;
use godwit_types::{Engines, Gfid, Identity, Profile, Share};
use godwit_wire::mailbox::StopMode;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::error::Error;
use std::hint::black_box;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// The least speed of a part, as a multiple of what it is held to.
const RATIO_MIN: f64 = 0.5;
/// Framebuffers that make sense: too large for caches, and four times in memory.
const BYTES: RangeInclusive<u64> = 64 * MIB..=16 << 30;
const ROUNDS: RangeInclusive<usize> = 1..=1_000;
/// Bytes of a pipe: as many as the system gives whoever asks.
const PIPE_BYTES: usize = 1 << 20;
/// Bytes that are written to a pipe or read from it at once.
const CHUNK: usize = 256 * 1024;
/// Bytes of the framebuffer that the CPU reaches: what a profile has unless told.
const BAR_BYTES: u64 = 64 * MIB;
/// Pieces that were read from a pipe and wait for the restore, at most.
const CHUNKS_WAITING: usize = 4;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures, in this machine's time, a save and a restore beside memcpy and a plain pipe.
#[derive(Debug, Parser)]
struct Options {
    /// Bytes of the framebuffer, all of them dirty: whole MiB, 64 MiB to 16 GiB.
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
    /// Rounds, 1 to 1,000.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
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

    /// What it is held to. Nothing to or from a pipe is faster than the pipe, and a restore is
    /// the first to touch its framebuffer's memory.
    fn held_to(self) -> Option<Self> {
        match self {
            Self::Save => Some(Self::Memcpy),
            Self::SaveToPipe | Self::RestoreFromPipe => Some(Self::Pipe),
            Self::Memcpy | Self::Pipe | Self::Restore => None,
        }
    }
}

/// What came of one part.
#[derive(Debug, Serialize)]
struct Figures {
    part: Part,
    min_ms: f64,
    median_ms: f64,
    gb_per_s: f64,
    /// Its speed as a multiple of memcpy's and of the pipe's, each at its fastest: what else the
    /// machine does slows each part in other rounds.
    of_memcpy: f64,
    of_pipe: f64,
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
    if !BYTES.contains(&options.bytes) || !options.bytes.is_multiple_of(MIB) {
        return Err("`--bytes` takes whole MiB, 67108864 to 17179869184".into());
    }
    if !ROUNDS.contains(&options.rounds) {
        return Err("`--rounds` takes 1 to 1000".into());
    }
    let mut bench = Bench::new(options.bytes)?;
    let mut times = [const { Vec::new() }; Part::ALL.len()];
    for round in 1..=options.rounds {
        for (part, times) in Part::ALL.into_iter().zip(&mut times) {
            times.push(bench.time(part)?);
        }
        if !options.json {
            eprintln!("round {round} of {}", options.rounds);
        }
    }
    let figures = figures(bench.state.len(), times);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        println!("{}\n{} MiB of framebuffer, all dirty", table(&figures), options.bytes / MIB);
    }
    let missed: Vec<String> = figures.iter().filter_map(missed).collect();
    for what in &missed {
        eprintln!("missed: {what}");
    }
    Ok(missed.is_empty())
}

fn figures(byte_count: usize, times: [Vec<Duration>; Part::ALL.len()]) -> Vec<Figures> {
    let sorted = times.map(|mut times| {
        times.sort_unstable();
        times
    });
    let min = |part: Part| sorted[part as usize][0].as_secs_f64();
    let figures = |part: Part| Figures {
        part,
        min_ms: min(part) * 1e3,
        median_ms: sorted[part as usize][sorted[part as usize].len() / 2].as_secs_f64() * 1e3,
        gb_per_s: byte_count as f64 / min(part) / 1e9,
        of_memcpy: min(Part::Memcpy) / min(part),
        of_pipe: min(Part::Pipe) / min(part),
    };
    Part::ALL.into_iter().map(figures).collect()
}

/// What is wrong with a part that is too slow.
fn missed(figures: &Figures) -> Option<String> {
    let to = figures.part.held_to()?;
    let ratio = if to == Part::Memcpy { figures.of_memcpy } else { figures.of_pipe };
    let (name, to) = (figures.part.name(), to.name());
    (ratio < RATIO_MIN).then(|| format!("{name}: {ratio:.2} x {to} of at least {RATIO_MIN}"))
}

fn table(all: &[Figures]) -> Table {
    let mut table = Table::new();
    let header = ["", "min ms", "median ms", "GB/s", "x memcpy", "x pipe"];
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for figures in all {
        table.add_row([
            figures.part.name().to_owned(),
            format!("{:.0}", figures.min_ms),
            format!("{:.0}", figures.median_ms),
            format!("{:.1}", figures.gb_per_s),
            format!("{:.2}", figures.of_memcpy),
            format!("{:.2}", figures.of_pipe),
        ]);
    }
    table
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
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut chunk = vec![0; CHUNK];
        for at in (0..bytes).step_by(CHUNK) {
            rng.fill_bytes(&mut chunk);
            framebuffer(&source, gfid).write(at, &chunk)?;
        }
        let mut state = Vec::with_capacity((bytes + bytes / 1024 + MIB) as usize);
        save(&mut source, gfid, &mut state)?;
        let copy = vec![1; state.len()];
        let mut target = host(bytes)?;
        // What is timed works: the first restore leaves the same bytes.
        let look = |target: &Host, copy| compare(&source, gfid, target, copy);
        restore(&mut target, from_memory(&state), look)?;
        Ok(Self { source, gfid, target, state, copy })
    }

    fn time(&mut self, part: Part) -> Result<Duration> {
        Ok(match part {
            Part::Memcpy => {
                let begin = Instant::now();
                self.copy.copy_from_slice(black_box(&self.state));
                black_box(&mut self.copy);
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
                restore(&mut self.target, from_memory(&self.state), |_, _| Ok(()))? - begin
            }
            Part::RestoreFromPipe => {
                filled(&self.state, |feed| restore(&mut self.target, feed, |_, _| Ok(())))?
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

/// Times what `take` does with the bytes of a pipe that a writer fills. They are read by a thread
/// of their own, as by whoever has the other end of a link.
fn filled(
    bytes: &[u8],
    take: impl FnOnce(&mut dyn FnMut(&mut Restorer)) -> Result<Instant>,
) -> Result<Duration> {
    let (mut read, mut write) = pipe()?;
    let (full, chunks) = mpsc::sync_channel::<Vec<u8>>(CHUNKS_WAITING);
    let (empty, spare) = mpsc::channel::<Vec<u8>>();
    thread::scope(|scope| {
        let begin = Instant::now();
        let writer = scope.spawn(move || write_in_chunks(&mut write, bytes));
        let reader = scope.spawn(move || -> io::Result<()> {
            loop {
                let mut chunk = spare.try_recv().unwrap_or_default();
                chunk.resize(CHUNK, 0);
                let count = read.read(&mut chunk)?;
                chunk.truncate(count);
                if count == 0 || full.send(chunk).is_err() {
                    return Ok(());
                }
            }
        });
        let end = take(&mut |restorer| match chunks.recv() {
            Ok(chunk) => {
                restorer.feed(&chunk);
                // The reader may have gone: it needs none any more.
                let _ = empty.send(chunk);
            }
            Err(_) => restorer.finish(),
        });
        drop(chunks);
        reader.join().expect("the reader does not panic")?;
        let end = end?;
        writer.join().expect("the writer does not panic")?;
        Ok(end - begin)
    })
}

fn write_in_chunks(pipe: &mut PipeWriter, bytes: &[u8]) -> Result<()> {
    bytes.chunks(CHUNK).try_for_each(|chunk| pipe.write_all(chunk))?;
    Ok(())
}

/// Lets the card go on to what happens next.
fn advance(host: &mut Host) {
    host.settle();
    let next_ns = host.card().gpu().next_event_ns();
    host.run(next_ns.unwrap_or(host.now_ns() + 1_000));
}

/// Saves a vGPU and lets it run again. Returns when its state was written.
fn save(host: &mut Host, gfid: Gfid, sink: &mut impl Write) -> Result<Instant> {
    let options = SaveOptions {
        uuid: [1; 16],
        token: 1,
        stop: StopMode::Instruction,
        stop_timeout_ns: 1_000_000_000,
    };
    let mut saver = Saver::new(host, gfid, options).expect("the vGPU runs");
    saver.go_on(host);
    loop {
        let state = saver.step(host);
        saver.write_to(sink)?;
        match state {
            SaveState::Between => saver.stop(host),
            SaveState::Complete => break,
            SaveState::Undone(why) => return Err(why.into()),
            _ => advance(host),
        }
    }
    let end = Instant::now();
    saver.give_up(host);
    while !matches!(saver.step(host), SaveState::Undone(_)) {
        advance(host);
    }
    Ok(end)
}

/// Gives a restorer a piece of a state that is in memory.
fn from_memory(state: &[u8]) -> impl FnMut(&mut Restorer) {
    let mut chunks = state.chunks(CHUNK);
    move |restorer| match chunks.next() {
        Some(chunk) => restorer.feed(chunk),
        None => restorer.finish(),
    }
}

/// Restores a vGPU, looks at it and releases it. Returns when it was there.
fn restore(
    host: &mut Host,
    mut feed: impl FnMut(&mut Restorer),
    look: impl FnOnce(&Host, Gfid) -> Result<()>,
) -> Result<Instant> {
    let mut restorer = Restorer::new(host, Wanted::default());
    loop {
        match restorer.step(host) {
            RestoreState::Described => restorer.accept(host, None),
            RestoreState::Ready => break,
            RestoreState::Undone(why) => return Err(why.into()),
            RestoreState::Working if restorer.wants_bytes() => feed(&mut restorer),
            RestoreState::Working => advance(host),
        }
    }
    let end = Instant::now();
    let (gfid, _) = restorer.home().ok_or("it is restored nowhere")?;
    look(host, gfid)?;
    restorer.give_up(host);
    while !matches!(restorer.step(host), RestoreState::Undone(_)) {
        advance(host);
    }
    Ok(end)
}

/// Checks that two vGPUs have the same bytes in their framebuffers.
fn compare(one: &Host, gfid: Gfid, other: &Host, copy: Gfid) -> Result<()> {
    let (one, other) = (framebuffer(one, gfid), framebuffer(other, copy));
    let (mut left, mut right) = (vec![0; CHUNK], vec![1; CHUNK]);
    for at in (0..one.len()).step_by(CHUNK) {
        one.read(at, &mut left)?;
        other.read(at, &mut right)?;
        if left != right {
            return Err(format!("what was restored differs within {CHUNK} bytes at {at:#x}").into());
        }
    }
    Ok(())
}

fn framebuffer(host: &Host, gfid: Gfid) -> &MemFile {
    host.card().gpu().partition(gfid).expect("a vGPU has a partition").file()
}
