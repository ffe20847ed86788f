//! What firmware in QEMU takes of its host's time: how soon it is ready, what it takes while it
//! rests, and how long a doorbell is on its way.

use crate::{Rig, mcu};
use godwit_shim::{LinkAddress, LinkListener, Protection};
use serde::Serialize;
use std::error::Error;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use std::{fs, process, thread};

/// Starts, of which the slowest counts.
const STARTS: usize = 10;
/// How long firmware that has nothing to do is looked at.
const REST: Duration = Duration::from_secs(5);
/// How long a host waits for a peer before it looks after its card.
const LOOK: Duration = Duration::from_millis(100);
/// How far its card goes on then, in virtual nanoseconds.
const LOOK_NS: u64 = 100_000;
/// Doorbells, and bytes over a plain pair of sockets.
const DOORBELLS: usize = 1_000;

/// A start takes less than this.
const READY_MS_MAX: f64 = 1_000.0;
/// QEMU and host together take less of one core.
const IDLE_PERCENT_MAX: f64 = 1.0;

/// Linux counts the time of processes in hundredths of a second, whatever its own ticks are.
const TICK: Duration = Duration::from_millis(10);

/// One board's figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bench {
    /// From the start of QEMU to the answer to the first call: the median.
    pub ready_ms: f64,
    /// The slowest.
    pub ready_ms_max: f64,
    /// Percent of a core that QEMU and this process take while the firmware rests.
    pub idle_percent: f64,
    /// From a guest's doorbell to the firmware's answer, the channel started: the median.
    pub doorbell_us: f64,
    /// All but one of a hundred are faster.
    pub doorbell_us_p99: f64,
    /// A byte to another thread and back, over a pair of sockets: the median.
    pub sockets_us: f64,
}

impl Bench {
    /// Each figure: what it is, the figure, what it must be below, if anything, and whether it is.
    pub fn rows(&self) -> [(&'static str, f64, Option<f64>, bool); 7] {
        let held = |what, figure: f64, bar| (what, figure, Some(bar), figure < bar);
        let told = |what, figure| (what, figure, None, true);
        [
            told("ready, ms, median", self.ready_ms),
            held("ready, ms, slowest", self.ready_ms_max, READY_MS_MAX),
            held("idle, % of a core", self.idle_percent, IDLE_PERCENT_MAX),
            told("doorbell and back, us, median", self.doorbell_us),
            told("doorbell and back, us, p99", self.doorbell_us_p99),
            told("a pair of sockets, us, median", self.sockets_us),
            told("doorbell against sockets", self.doorbell_us / self.sockets_us),
        ]
    }
}

/// Measures one board. The figures are those of this machine, and of what else it does.
///
/// # Errors
///
/// When QEMU is missing, or something does not come to pass.
pub fn bench(board: &str) -> Result<Bench, Box<dyn Error>> {
    let mcu = mcu(board);
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let begin = Instant::now();
        let rig = Rig::new(&mcu)?;
        starts.push(begin.elapsed());
        drop(rig);
    }
    starts.sort_unstable();
    let mut rig = Rig::new(&mcu)?;
    let idle_percent = idle_percent(&mut rig)?;
    let mut doorbells = doorbells(&mut rig)?;
    doorbells.sort_unstable();
    let mut sockets = sockets()?;
    sockets.sort_unstable();
    Ok(Bench {
        ready_ms: at(&starts, 50).as_secs_f64() * 1e3,
        ready_ms_max: at(&starts, 100).as_secs_f64() * 1e3,
        idle_percent,
        doorbell_us: at(&doorbells, 50).as_secs_f64() * 1e6,
        doorbell_us_p99: at(&doorbells, 99).as_secs_f64() * 1e6,
        sockets_us: at(&sockets, 50).as_secs_f64() * 1e6,
    })
}

/// The figure that so many percent of them do not exceed.
fn at(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

fn doorbells(rig: &mut Rig) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut work = rig.short_work()?;
    let mut took = Vec::with_capacity(DOORBELLS);
    for _ in 0..DOORBELLS {
        let calls = rig.host.card().calls();
        let begin = Instant::now();
        work.submit(&mut rig.host)?;
        rig.host.settle();
        took.push(begin.elapsed());
        if rig.host.card().calls() != calls.map(|calls| calls + 1) {
            return Err("a doorbell takes more than one call, or none".into());
        }
        rig.finish(&work)?;
    }
    Ok(took)
}

fn sockets() -> io::Result<Vec<Duration>> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let echo = thread::spawn(move || {
        let mut byte = [0];
        // It ends when our half is dropped.
        while theirs.read_exact(&mut byte).is_ok() && theirs.write_all(&byte).is_ok() {}
    });
    let mut took = Vec::with_capacity(DOORBELLS);
    let mut byte = [0];
    for _ in 0..DOORBELLS {
        let begin = Instant::now();
        ours.write_all(b"!")?;
        ours.read_exact(&mut byte)?;
        took.push(begin.elapsed());
    }
    drop(ours);
    echo.join().map_err(|_| io::Error::other("the thread that echoes has ended"))?;
    Ok(took)
}

/// This process waits for a peer meanwhile, and looks after its card between, as `godwit receive`
/// does.
fn idle_percent(rig: &mut Rig) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let address = LinkAddress::Unix(folder.path().join("link"));
    let listener = LinkListener::bind(&address, Protection::Local)?;
    let (begin, before) = (Instant::now(), busy()?);
    while begin.elapsed() < REST {
        if listener.accept()?.is_some() {
            return Err("somebody connects to a bench".into());
        }
        listener.wait(LOOK)?;
        rig.host.settle();
        rig.host.run(rig.host.now_ns() + LOOK_NS);
    }
    let (wall, after) = (begin.elapsed(), busy()?);
    Ok((after.saturating_sub(before)).as_secs_f64() / wall.as_secs_f64() * 100.0)
}

/// Time of a core that this process and those that it has started have taken so far.
fn busy() -> io::Result<Duration> {
    let own = process::id();
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // Others may end at any time.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((parent, spent)) = parse(&stat) else { continue };
        if pid == own || parent == own {
            ticks += spent;
        }
    }
    Ok(TICK * ticks)
}

/// The parent and the ticks of a process. Its name comes first, and may have anything in it.
fn parse(stat: &str) -> Option<(u32, u32)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some((number(1)?, number(11)? + number(12)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = "7 (a) b) S 3 4 5 6 7 8 9 10 11 12 40 2 0 0 20";
        assert_eq!(parse(stat), Some((3, 42)));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn the_median_and_the_slowest_are_of_the_sample() {
        let sorted: Vec<Duration> = (1..=10).map(Duration::from_secs).collect();
        let figures = [50, 99, 100].map(|percent| at(&sorted, percent).as_secs());
        assert_eq!(figures, [5, 10, 10]);
    }
}
