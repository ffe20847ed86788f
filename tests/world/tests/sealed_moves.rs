//! Goal: of a sealed move nobody on the way learns or changes anything: what was cut, changed,
//! moved, repeated, or taken out of another move is refused, and the vGPU runs on at its source.
//! Method: both sides of a move by hand, and somebody between them who has all messages.

use godwit_shim::{
    Destination, DestinationState, Host, Journal, LinkMessage, Live, Mcu, SaveOptions, SealKey,
    Site, Source, SourceState,
};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{Engines, Gfid, Identity, Profile, Share};
use godwit_wire::mailbox::StopMode;
use memchr::memmem;

const MIB: u64 = 1 << 20;
const STEP_NS: u64 = 20_000;
const UUID: [u8; 16] = [7; 16];
/// In the framebuffer, once in each page.
const SECRET: &[u8; 24] = b"nobody else may see this";
const PAGES: u64 = 256;
const PROFILE: Profile =
    Profile { fb_bytes: 8 * MIB, bar_bytes: 4 * MIB, channel_count: 4, context_bytes: 32 * 1024 };
const LIVE: Live = Live { rounds_max: 3, pages_enough: 8, downtime: None };

fn key(byte: u8) -> SealKey {
    SealKey::new([byte; 32])
}

/// A host and what it knows of moves.
struct Node(Host, Journal);

impl Node {
    fn new() -> Self {
        let identity = Identity {
            fb_bytes: 32 * MIB,
            bar_bytes: 32 * MIB,
            context_bytes: 16 * MIB,
            context_layout: 1,
            engines: Engines::ALL,
        };
        let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
        Self(Host::new(config, &Mcu::Native).unwrap(), Journal::in_memory())
    }

    fn site(&mut self, now_ns: u64) -> Site<'_> {
        Site { host: &mut self.0, journal: &mut self.1, now_ns }
    }

    fn bytes(&self, gfid: Gfid) -> Vec<u8> {
        let mut bytes = vec![0; PROFILE.fb_bytes as usize];
        self.0.card().gpu().partition(gfid).unwrap().read(0, &mut bytes).unwrap();
        bytes
    }
}

/// Two hosts, and a vGPU on the first.
struct Rig {
    nodes: [Node; 2],
    gfid: Gfid,
    now_ns: u64,
}

/// How both sides of a move ended, and what was on the way.
struct Course {
    source: SourceState,
    destination: DestinationState,
    /// The bytes of each message with state.
    sent: Vec<Vec<u8>>,
}

impl Course {
    fn moved(&self) -> bool {
        matches!(self.destination, DestinationState::Running(_))
            && self.source == SourceState::Moved
    }
}

impl Rig {
    fn new() -> Self {
        let mut nodes = [Node::new(), Node::new()];
        let created = nodes[0].0.create_running(PROFILE, Share::DEFAULT, None);
        let rig = Self { gfid: created.unwrap(), nodes, now_ns: 0 };
        let partition = rig.nodes[0].0.card().gpu().partition(rig.gfid).unwrap();
        for page in 0..PAGES {
            let at = page * 4096 + page;
            partition.file().write(at, SECRET).unwrap();
            // What does not look alike anywhere.
            partition.file().write(page * 4096 + 2048, &(page * page + 1).to_le_bytes()).unwrap();
        }
        rig
    }

    /// Moves it as the `number`th time. `between` has each message with state, by number, and says
    /// which arrive in its place.
    fn carry(
        &mut self,
        number: u64,
        keys: [Option<SealKey>; 2],
        between: &mut dyn FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>,
    ) -> Course {
        let (uuid, token) = (UUID, number);
        let stop = StopMode::Instruction;
        let options = SaveOptions { uuid, token, stop, stop_timeout_ns: 100_000_000 };
        let [from, to] = &mut self.nodes;
        let source = Source::new(&mut from.site(self.now_ns), self.gfid, options, Some(LIVE));
        let mut source = source.unwrap();
        let [seal, open] = keys;
        seal.iter().for_each(|key| source.seal_with(key).unwrap());
        let mut destination: Option<Destination> = None;
        let mut course = Course {
            source: SourceState::Working,
            destination: DestinationState::Working,
            sent: Vec::new(),
        };
        for _ in 0..1_000_000 {
            self.now_ns += STEP_NS;
            let now_ns = self.now_ns;
            for node in [&mut *from, &mut *to] {
                node.0.run(now_ns);
            }
            course.source = source.step(&mut from.site(now_ns));
            if course.source == SourceState::WantsPause {
                source.guest_paused(&mut from.site(now_ns));
            }
            while let Some(message) = source.poll_message() {
                let arriving = match message {
                    LinkMessage::Data(token, bytes) => {
                        course.sent.push(bytes.clone());
                        let bytes = between(course.sent.len() - 1, bytes);
                        bytes.into_iter().map(|bytes| LinkMessage::Data(token, bytes)).collect()
                    }
                    LinkMessage::Offer(token, version) => {
                        let site = &mut to.site(now_ns);
                        let mut made = Destination::new(site, token, version, None);
                        open.iter().for_each(|key| made.open_with(key));
                        destination = Some(made);
                        Vec::new()
                    }
                    message => vec![message],
                };
                for message in arriving {
                    destination.as_mut().unwrap().handle(&mut to.site(now_ns), message);
                }
            }
            let destination = destination.as_mut().unwrap();
            course.destination = destination.step(&mut to.site(now_ns));
            while let Some(message) = destination.poll_message() {
                source.handle(&mut from.site(now_ns), &message);
            }
            let source_over = matches!(course.source, SourceState::Moved | SourceState::Undone(_));
            let destination_over = matches!(
                course.destination,
                DestinationState::Running(_) | DestinationState::Undone(_)
            );
            if source_over && destination_over {
                return course;
            }
        }
        panic!("neither side ends: {:?}, {:?}", course.source, course.destination)
    }

    /// Nothing of it came to be at the destination, which says why; the vGPU is at its source.
    fn refused(&mut self, course: &Course, why: &[&str], context: &str) {
        let DestinationState::Undone(told) = &course.destination else {
            panic!("{context}: {:?}", course.destination)
        };
        assert!(why.iter().any(|why| told.contains(why)), "{context}: {told}");
        assert!(matches!(course.source, SourceState::Undone(_)), "{context}");
        assert_eq!(self.nodes[1].0.vgpus().count(), 0, "{context}");
        assert!(memmem::find(&self.nodes[0].bytes(self.gfid), SECRET).is_some(), "{context}");
        let sent = course.sent.concat();
        assert!(memmem::find(&sent, SECRET).is_none(), "{context}");
    }
}

fn untouched(_: usize, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    vec![bytes]
}

#[test]
fn a_sealed_move_shows_nothing_and_brings_all() {
    for sealed in [false, true] {
        let mut rig = Rig::new();
        let before = rig.nodes[0].bytes(rig.gfid);
        let keys = [(); 2].map(|()| sealed.then(|| key(1)));
        let course = rig.carry(1, keys, &mut untouched);
        assert!(course.moved(), "{:?}, {:?}", course.source, course.destination);
        let DestinationState::Running(gfid) = course.destination else { unreachable!() };
        assert!(rig.nodes[1].bytes(gfid) == before, "the framebuffer is another");
        let shown = memmem::find(&course.sent.concat(), SECRET).is_some();
        assert_eq!(shown, !sealed);
    }
}

#[test]
fn another_key_and_none_are_refused() {
    for (keys, why) in [
        ([Some(key(1)), Some(key(2))], "with another key"),
        ([Some(key(1)), None], "no key was given"),
    ] {
        let mut rig = Rig::new();
        let course = rig.carry(1, keys, &mut untouched);
        rig.refused(&course, &[why], why);
        // With the right one it goes on from there.
        let keys = [Some(key(1)), Some(key(1))];
        assert!(rig.carry(2, keys, &mut untouched).moved());
    }
    // Whoever has a key takes nothing that anybody could have made.
    let mut rig = Rig::new();
    let course = rig.carry(1, [None, Some(key(1))], &mut untouched);
    let DestinationState::Undone(why) = &course.destination else { panic!("it was taken") };
    assert!(why.contains("is not sealed"), "{why}");
}

#[test]
fn what_somebody_on_the_way_does_is_refused() {
    /// What can be the matter with a chunk that is not what was sealed there.
    const WHY: [&str; 2] = ["is not authentic", "are possible"];
    /// The same, and an end that never comes.
    const OR_SILENT: [&str; 3] = ["is not authentic", "are possible", "the source says nothing"];
    let keys = || [Some(key(1)), Some(key(1))];
    let mut first = Rig::new();
    let earlier = first.carry(1, keys(), &mut untouched);
    assert!(earlier.moved());
    let count = earlier.sent.len();
    assert!(count > 8, "{count} messages");
    for at in [0, 1, 2, count / 2, count - 2] {
        let refused =
            |why: &[&str], what: &str, between: &mut dyn FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>| {
                let mut rig = Rig::new();
                let course = rig.carry(2, keys(), between);
                rig.refused(&course, why, &format!("{what} {at} of {count}"));
            };
        let flipped = |number: usize, mut bytes: Vec<u8>| {
            if number == at {
                let half = bytes.len() / 2;
                bytes[half] ^= 1;
            }
            vec![bytes]
        };
        // The first message has the prologue.
        let why: &[&str] =
            if at == 0 { &["does not have its CRC", "is not authentic"] } else { &WHY };
        refused(why, "flipped", &mut { flipped });
        if at > 0 {
            refused(&OR_SILENT, "left out", &mut |number, bytes| {
                if number == at { Vec::new() } else { vec![bytes] }
            });
            let mut held = None;
            refused(&WHY, "swapped", &mut |number, bytes| match number {
                _ if number == at => {
                    held = Some(bytes);
                    Vec::new()
                }
                _ if number == at + 1 => vec![bytes, held.take().unwrap()],
                _ => vec![bytes],
            });
            refused(&WHY, "repeated", &mut |number, bytes| {
                if number == at { vec![bytes.clone(), bytes] } else { vec![bytes] }
            });
            refused(&WHY, "of another move", &mut |number, bytes| {
                vec![if number == at { earlier.sent[at].clone() } else { bytes }]
            });
            refused(&["the source says nothing"], "cut", &mut |number, bytes| {
                if number >= at { Vec::new() } else { vec![bytes] }
            });
        }
    }
    // An earlier move of the same vGPU, from its first byte to its last.
    let mut rig = Rig::new();
    let course = rig
        .carry(2, keys(), &mut |number, _| earlier.sent.get(number).cloned().into_iter().collect());
    rig.refused(&course, &["transfer 1"], "replayed");
}
