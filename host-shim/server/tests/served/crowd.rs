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
/// What the whole process may grow by, the clients' threads included: 64 MiB of answers that are
/// not read, 64 KiB of questions of each client, and as much again for what is on the way.
const GROWTH_MAX_BYTES: u64 = 256 << 20;
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
        let nap = if matches!(self, Self::Slow) { 50 } else { 2 };
        std::thread::sleep(Duration::from_millis(nap));
        is_said
    }

    fn run(self, control: &Path, seed: u64, stop: &AtomicBool) -> u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut connections = 0;
        while !stop.load(Ordering::Acquire) {
            let Ok(mut stream) = UnixStream::connect(control) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            stream.set_nonblocking(true).unwrap();
            connections += 1;
            while !stop.load(Ordering::Acquire) && self.once(&mut stream, &mut rng) {}
            std::thread::sleep(Duration::from_millis(1));
        }
        connections
    }
}

/// The slowest answer to so many questions, each of which must be right.
fn ask(asker: &mut Asker, count: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for at in 0..count {
        let began = Instant::now();
        match at % 3 {
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
        let lone = ask(&mut alone, 10 * QUESTIONS);
        stop.store(true, Ordering::Release);
        moves.join().unwrap();
        lone
    });
    drop(alone);
    neighbour.finish();
    let before = resident_bytes();
    let grown = AtomicU64::new(0);
    stop.store(false, Ordering::Release);
    let control: PathBuf = serving.control();
    let honest = count - count / 2;
    let here = Barrier::new(honest);
    let (mut slowest, connections, moves) = std::thread::scope(|scope| {
        let moves = scope.spawn(|| move_about(&serving, &stop));
        let harmful: Vec<_> = (0..count / 2)
            .map(|at| {
                let (harm, control, seed) = (HARMS[at % HARMS.len()], &control, seed.0);
                let stop = &stop;
                spawn(scope, move || harm.run(control, seed + at as u64, stop))
            })
            .collect();
        let askers: Vec<_> = (0..honest)
            .map(|_| {
                let (serving, here, grown) = (&serving, &here, &grown);
                spawn(scope, move || {
                    let mut asker = Asker::connect(serving);
                    here.wait();
                    let slowest = ask(&mut asker, QUESTIONS);
                    grown.fetch_max(resident_bytes().saturating_sub(before), Ordering::Relaxed);
                    slowest
                })
            })
            .collect();
        let slowest: Vec<Duration> = askers.into_iter().map(|it| it.join().unwrap()).collect();
        neighbour.finish();
        stop.store(true, Ordering::Release);
        let connections: u64 = harmful.into_iter().map(|it| it.join().unwrap()).sum();
        (slowest, connections, moves.join().unwrap())
    });
    slowest.sort_unstable();
    let (median, worst) = (slowest[honest / 2], slowest[honest - 1]);
    let ratio = worst.as_secs_f64() / lone.as_secs_f64();
    let grown = grown.into_inner();
    println!(
        "{honest} honest clients had {QUESTIONS} right answers each beside {} hostile ones with \
         {connections} connections; {moves} moves; slowest answer {worst:?} (the median client's \
         {median:?}), {ratio:.1} times that of a lone client ({lone:?}); {} MiB more memory at most",
        count / 2,
        grown >> 20,
    );
    assert!(worst < PATIENCE, "somebody starves: {worst:?}");
    assert!(grown < GROWTH_MAX_BYTES, "it has grown by {grown} bytes");
    assert_eq!(Asker::connect(&serving).list().len(), 2);
    serving.stop();
}
