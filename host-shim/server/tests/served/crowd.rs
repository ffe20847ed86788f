//! Many operators at once, half of them hostile, beside a vGPU that moves and one that works.
//!
//! `cargo xtask crowd --count 1000` has as many as that, and prints what it took.

use crate::control::{Asker, CLIENTS_MAX};
use crate::neighbour::Neighbour;
use crate::process::resident_bytes;
use crate::seeds::Told as Seed;
use crate::serving::{ATTACKED, OTHER, PATIENCE, Serving, wait_until};
use crate::worker::Worker;
use godwit_control::{Ask, KindOfMove, Migrate, Told};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clients of every run, unless others are asked for.
const COUNT: usize = 120;
/// Questions of each that is honest.
const QUESTIONS: usize = 20;
/// Which of them is for all events, of which up to 1,024 are kept, and who asks it: one in so many,
/// since all that they are told is in this process, too.
const LARGE: usize = 7;
const LARGE_EVERY: usize = 16;
/// What the whole process may grow by, the clients' threads included: 64 MiB of answers that are
/// not read, 64 KiB of questions of each client, and as much again for what is on the way.
const GROWTH_MAX_BYTES: u64 = 256 << 20;
/// Threads of hostile clients, and how often each client does harm.
const GANGS: usize = 4;
const ROUND: Duration = Duration::from_millis(20);
/// Bytes of stack of a client's thread.
const STACK_BYTES: usize = 256 << 10;

/// What a hostile client does, for as long as the others ask.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// Says a byte now and then.
    Slow,
    /// Says a line without an end.
    Huge,
    /// Says rubbish, in lines.
    Garbage,
    /// Says half a line, goes, and comes back.
    Cut,
    /// Asks all the time, and reads nothing.
    Deaf,
    /// Connects and goes.
    Fleeting,
}

const HARMS: [Harm; 6] =
    [Harm::Slow, Harm::Huge, Harm::Garbage, Harm::Cut, Harm::Deaf, Harm::Fleeting];

impl Harm {
    /// Does it once. `false`: it was cut off or refused, which is as good.
    fn once(self, stream: &mut UnixStream, rng: &mut ChaCha8Rng) -> bool {
        let mut rubbish = vec![0; 4096];
        rng.fill_bytes(&mut rubbish);
        let bytes: &[u8] = match self {
            Self::Slow => b"{",
            Self::Huge => {
                rubbish.iter_mut().for_each(|byte| *byte |= 0x80);
                &rubbish
            }
            Self::Garbage => &rubbish,
            Self::Cut => {
                let _ = stream.write_all(b"{\"command\":\"li");
                return false;
            }
            Self::Deaf => &b"{\"command\":\"hosts\"}\n".repeat(200),
            Self::Fleeting => return false,
        };
        let is_said = match stream.write(bytes) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if matches!(self, Self::Garbage) {
            // Some read, so that they are heard on.
            while stream.read(&mut rubbish).is_ok_and(|count| count > 0) {}
        }
        is_said
    }
}

/// Hostile clients of one thread: as many threads as clients would have the system's scheduler
/// tested.
struct Gang<'a> {
    control: &'a Path,
    rng: ChaCha8Rng,
    clients: Vec<(Harm, Option<UnixStream>)>,
    connections: u64,
}

impl Gang<'_> {
    /// Each does what it does, once. One that was cut off or refused comes back the next time.
    fn round(&mut self) {
        for (harm, stream) in &mut self.clients {
            match stream {
                Some(there) => {
                    if !harm.once(there, &mut self.rng) {
                        *stream = None;
                    }
                }
                None => {
                    let Ok(there) = UnixStream::connect(self.control) else { continue };
                    there.set_nonblocking(true).unwrap();
                    self.connections += 1;
                    *stream = Some(there);
                }
            }
        }
    }
}

/// Has the others end where one fails.
struct StopOnFailure<'a>(&'a AtomicBool);

impl Drop for StopOnFailure<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

/// The slowest answer to so many questions, each of which must be right.
fn ask(asker: &mut Asker, count: usize, asks_large: bool) -> Duration {
    let mut slowest = Duration::ZERO;
    for at in 0..count {
        let began = Instant::now();
        match at % 3 {
            // Far more than a socket holds at once.
            _ if asks_large && at % QUESTIONS == LARGE => {
                let numbers: Vec<u64> = asker.events().iter().map(|event| event.number).collect();
                assert!(numbers.is_sorted() && numbers.len() > 1, "{numbers:?}");
            }
            0 => assert_eq!(asker.list().len(), 2),
            1 => assert!(matches!(asker.ask(&Ask::Hosts {}), Told::Hosts(all) if all.len() == 2)),
            _ => {
                let told = asker.ask(&Ask::Show { vgpu: ATTACKED.into() });
                assert!(matches!(&told, Told::Vgpu(it) if it.name == ATTACKED), "{told:?}");
            }
        }
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

/// Moves a vGPU to and fro in the middle of its work until it is told to stop.
fn move_about(serving: &Serving, stop: &AtomicBool) -> u64 {
    let mut asker = Asker::connect(serving);
    let mut moves = 0;
    while moves == 0 || !stop.load(Ordering::Acquire) {
        let worker = Worker::start(serving, ATTACKED, moves + 1);
        wait_until("nobody has it", || !asker.show(ATTACKED).attached);
        let (kind, max_downtime_ns, host) = (KindOfMove::Live, None, None);
        let to = if asker.show(ATTACKED).host == OTHER { "host" } else { OTHER };
        let (vgpu, to) = (ATTACKED.to_owned(), to.to_owned());
        let ask = Ask::Migrate(Migrate { vgpu, to, host, kind, max_downtime_ns });
        let told = asker.ask(&ask);
        assert!(matches!(told, Told::Moved(_)), "{told:?}");
        worker.finish(serving);
        wait_until("nobody has it", || !asker.show(ATTACKED).attached);
        moves += 1;
    }
    moves
}

/// Has the process be allowed so many descriptors.
fn allow_fds(count: u64) {
    let was = getrlimit(Resource::Nofile);
    if was.current.is_some_and(|current| current < count) {
        let current = Some(count);
        let set = setrlimit(Resource::Nofile, Rlimit { current, ..was });
        set.unwrap_or_else(|error| panic!("{count} descriptors are needed: {error}"));
    }
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    run: impl FnOnce() -> T + Send + 'scope,
) -> std::thread::ScopedJoinHandle<'scope, T> {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run).unwrap()
}

/// Both kinds of clients.
struct Crowd<'a> {
    serving: &'a Serving,
    count: usize,
    honest: usize,
    seed: u64,
    /// Bytes of memory before they came.
    before: u64,
}

/// What became of it.
struct Asked {
    /// The slowest answer of each that is honest.
    slowest: Vec<Duration>,
    connections: u64,
    moves: u64,
    grown: u64,
}

impl Crowd<'_> {
    fn gang(&self, gang: usize, control: &Path, stop: &AtomicBool) -> u64 {
        let all = (gang..self.count / 2).step_by(GANGS);
        let mut gang = Gang {
            control,
            rng: ChaCha8Rng::seed_from_u64(self.seed + gang as u64),
            clients: all.map(|at| (HARMS[at % HARMS.len()], None)).collect(),
            connections: 0,
        };
        while !stop.load(Ordering::Acquire) {
            gang.round();
            std::thread::sleep(ROUND);
        }
        gang.connections
    }

    /// Has all of them come, beside a vGPU that moves and one that works.
    fn ask(&self, neighbour: &mut Neighbour) -> Asked {
        let (stop, grown, here) =
            (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(self.honest));
        let control: PathBuf = self.serving.control();
        std::thread::scope(|scope| {
            let (stop, grown, here, control) = (&stop, &grown, &here, &control);
            let moves = scope.spawn(move || move_about(self.serving, stop));
            let gangs: Vec<_> = (0..GANGS)
                .map(|gang| spawn(scope, move || self.gang(gang, control, stop)))
                .collect();
            let ask = move |at: usize| {
                let _stop = StopOnFailure(stop);
                let mut asker = Asker::connect(self.serving);
                here.wait();
                let slowest = ask(&mut asker, QUESTIONS, at.is_multiple_of(LARGE_EVERY));
                let now = resident_bytes().saturating_sub(self.before);
                grown.fetch_max(now, Ordering::Relaxed);
                slowest
            };
            let askers: Vec<_> = (0..self.honest).map(|at| spawn(scope, move || ask(at))).collect();
            let slowest = askers.into_iter().map(|it| it.join().unwrap()).collect();
            neighbour.finish();
            stop.store(true, Ordering::Release);
            let connections = gangs.into_iter().map(|it| it.join().unwrap()).sum();
            let (moves, grown) = (moves.join().unwrap(), grown.load(Ordering::Relaxed));
            Asked { slowest, connections, moves, grown }
        })
    }
}

#[test]
fn a_crowd_of_operators_is_served_and_harms_nobody() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let count = number("GODWIT_CROWD").map_or(COUNT, |count| usize::try_from(count).unwrap());
    let seed = Seed(number("GODWIT_SEED").unwrap_or(7));
    // Two ends of each, and what else there is.
    allow_fds(4 * count as u64 + 512);
    let mut serving = Serving::for_clients(CLIENTS_MAX.max(count + 16));
    let mut neighbour = Neighbour::new(&serving);
    let mut alone = Asker::connect(&serving);
    let stop = AtomicBool::new(false);
    let lone = std::thread::scope(|scope| {
        let moves = scope.spawn(|| move_about(&serving, &stop));
        let lone = ask(&mut alone, 10 * QUESTIONS, true);
        stop.store(true, Ordering::Release);
        moves.join().unwrap();
        lone
    });
    drop(alone);
    neighbour.finish();
    let before = resident_bytes();
    let honest = count - count / 2;
    let crowd = Crowd { serving: &serving, count, honest, seed: seed.0, before };
    let Asked { mut slowest, connections, moves, grown } = crowd.ask(&mut neighbour);
    slowest.sort_unstable();
    let (median, worst) = (slowest[honest / 2], slowest[honest - 1]);
    let ratio = worst.as_secs_f64() / lone.as_secs_f64();
    println!(
        "{honest} honest clients had {QUESTIONS} right answers each beside {} hostile ones with \
         {connections} connections; {moves} moves; slowest answer {worst:?} (the median client's \
         {median:?}), {ratio:.1} times that of a lone client ({lone:?}); up to {} MiB more memory",
        count / 2,
        grown >> 20,
    );
    assert!(worst < PATIENCE, "somebody starves: {worst:?}");
    assert!(grown < GROWTH_MAX_BYTES, "it has grown by {grown} bytes");
    assert_eq!(Asker::connect(&serving).list().len(), 2);
    serving.stop();
}
