//! What operators ask for: vGPUs that are made, changed, moved, suspended and removed in a server
//! that runs.

use crate::control::Asker;
use crate::neighbour::Neighbour;
use crate::serving::{ATTACKED, NEIGHBOUR, OTHER, Serving, alone, config, wait_until};
use crate::worker::Worker;
use godwit_control::{
    Ask, Code, Create, Evacuate, Event, EventKind, Events, KindOfMove, Migrate, Policy, PolicyName,
    Refusal, Resume, Share, Sizes, Suspend, Told, VgpuStatus,
};
use godwit_server::{Client, Server};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

impl<S: Read + Write> Asker<S> {
    /// The last line of an answer.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Told {
        let line = serde_json::to_string(ask).unwrap();
        self.say(line.as_bytes());
        self.say(b"\n");
        self.hear_last()
    }

    /// The last line of an answer to what was asked before.
    fn hear_last(&mut self) -> Told {
        loop {
            let told: Told = serde_json::from_str(&self.hear().unwrap()).unwrap();
            if told.is_last() {
                return told;
            }
        }
    }

    pub(crate) fn refused(&mut self, ask: &Ask) -> Refusal {
        match self.ask(ask) {
            Told::Error(refusal) => refusal,
            told => panic!("{told:?}"),
        }
    }

    pub(crate) fn vgpu(&mut self, ask: &Ask) -> VgpuStatus {
        match self.ask(ask) {
            Told::Vgpu(vgpu) => *vgpu,
            told => panic!("{told:?}"),
        }
    }

    pub(crate) fn show(&mut self, vgpu: &str) -> VgpuStatus {
        self.vgpu(&Ask::Show { vgpu: vgpu.into() })
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        match self.ask(&Ask::Events(Events::default())) {
            Told::Events(events) => events,
            told => panic!("{told:?}"),
        }
    }
}

pub(crate) fn create(vgpu: &str, profile: &str) -> Create {
    Create {
        vgpu: vgpu.into(),
        host: Some(OTHER.into()),
        profile: profile.into(),
        placement: None,
        weight: None,
    }
}

fn migrate(vgpu: &str, to: &str) -> Ask {
    let (kind, max_downtime_ns) = (KindOfMove::Live, None);
    Ask::Migrate(Migrate { vgpu: vgpu.into(), to: to.into(), host: None, kind, max_downtime_ns })
}

#[test]
fn a_vgpu_is_made_changed_and_removed_while_others_work() {
    let mut serving = Serving::start();
    let mut neighbour = Neighbour::new(&serving);
    let mut asker = Asker::connect(&serving);
    let made = asker.vgpu(&Ask::Create(Create {
        placement: Some(8),
        weight: Some(3),
        ..create("new", "GW64-16Q")
    }));
    assert_eq!((made.host.as_str(), made.state.as_str()), (OTHER, "RUNNING"));
    assert_eq!((made.profile.as_deref(), made.placement), (Some("GW64-16Q"), Some(8)));
    assert_eq!((made.framebuffer_bytes, made.framebuffer_base), (16 << 20, 16 << 20));
    assert_eq!(made.share.weight, 3);
    let refusal = asker.refused(&Ask::Create(create("new", "GW64-16Q")));
    assert_eq!(refusal.code, Code::Taken);

    // It is a device like any other.
    let client = Client::connect(&made.socket).unwrap();
    wait_until("it is seen", || asker.show("new").attached);
    let destroy = Ask::Destroy { vgpu: "new".into() };
    assert_eq!(asker.refused(&destroy).code, Code::Attached);
    assert_eq!(asker.refused(&migrate("new", "host")).code, Code::Attached);
    drop(client);
    wait_until("its going is seen", || !asker.show("new").attached);

    let share = Share { vgpu: "new".into(), part: Some(2_500), cap: Some(5_000), weight: None };
    let shared = asker.vgpu(&Ask::Share(share)).share;
    assert_eq!((shared.weight, shared.part, shared.cap), (3, 2_500, 5_000));
    let bad = Share { vgpu: "new".into(), weight: Some(101), ..Share::default() };
    assert_eq!(asker.refused(&Ask::Share(bad)).code, Code::BadValue);
    assert_eq!(asker.show("new").share.weight, 3);

    assert_eq!(asker.ask(&destroy), Told::Destroyed("new".into()));
    assert!(!made.socket.exists() && !made.migration_socket.exists());
    assert_eq!(asker.refused(&destroy).code, Code::NoVgpu);
    assert_eq!(asker.list().len(), 2);
    neighbour.finish();
    let kinds: Vec<EventKind> = asker.events().into_iter().map(|event| event.kind).collect();
    for kind in [EventKind::Created, EventKind::Attached, EventKind::Share, EventKind::Destroyed] {
        assert!(kinds.contains(&kind), "{kind:?} is not in {kinds:?}");
    }
    serving.stop();
}

#[test]
fn a_host_takes_another_policy_and_sizes() {
    let mut serving = Serving::start();
    let mut asker = Asker::connect(&serving);
    let policy = |policy| Ask::Policy(Policy { host: OTHER.into(), ..policy });
    let told = asker.ask(&policy(Policy {
        policy: Some(PolicyName::FixedShare),
        slice_ns: Some(3_000_000),
        averaging: Some(7),
        sizes: Some(Sizes::Homogeneous),
        ..Policy::default()
    }));
    let Told::Host(host) = told else { panic!("{told:?}") };
    assert_eq!(
        (host.policy, host.slice_ns, host.averaging),
        (PolicyName::FixedShare, 3_000_000, 7)
    );
    assert_eq!(host.sizes, Sizes::Homogeneous);
    for wrong in [
        Policy { slice_ns: Some(999_999), ..Policy::default() },
        Policy { slice_ns: Some(30_000_001), ..Policy::default() },
        Policy { averaging: Some(61), ..Policy::default() },
        Policy::default(),
    ] {
        assert_eq!(asker.refused(&policy(wrong)).code, Code::BadValue);
    }
    asker.vgpu(&Ask::Create(create("one", "GW64-16Q")));
    // However it comes.
    let file = Suspend { vgpu: ATTACKED.into(), file: Some("kept".into()) };
    assert!(matches!(asker.ask(&Ask::Suspend(file)), Told::Suspended(_)));
    let host = Some(OTHER.into());
    let resume = |host| Ask::Resume(Resume { file: "kept".into(), host, vgpu: None });
    for ask in [Ask::Create(create("two", "GW64-8Q")), migrate(NEIGHBOUR, OTHER), resume(host)] {
        let refusal = asker.refused(&ask);
        assert_eq!(refusal.code, Code::NoRoom, "{ask:?}");
        assert!(refusal.help.unwrap().contains("--sizes mixed"), "{ask:?}");
    }
    // Where no host is named it comes to one that takes its size.
    assert_eq!(asker.vgpu(&resume(None)).host, "host");
    let told = asker.ask(&Ask::Evacuate(Evacuate {
        host: "host".into(),
        to: Vec::new(),
        parallel: None,
        kind: KindOfMove::Live,
        max_downtime_ns: None,
    }));
    let Told::Evacuated(evacuated) = told else { panic!("{told:?}") };
    assert_eq!((evacuated.moved.len(), evacuated.stayed.len()), (0, 2));
    for stayed in &evacuated.stayed {
        assert!(stayed.why.message.contains("are homogeneous, of 16 MiB"), "{stayed:?}");
        assert_eq!(asker.show(&stayed.vgpu).busy, None);
    }
    asker.ask(&policy(Policy { sizes: Some(Sizes::Mixed), ..Policy::default() }));
    asker.vgpu(&Ask::Create(create("two", "GW64-8Q")));
    let back = policy(Policy { sizes: Some(Sizes::Homogeneous), ..Policy::default() });
    assert!(asker.refused(&back).message.contains("2 different sizes"));
    let none = Ask::Policy(Policy { host: "none".into(), averaging: Some(1), ..Policy::default() });
    assert_eq!(asker.refused(&none).code, Code::NoHost);
    serving.stop();
}

#[test]
fn a_vgpu_moves_in_the_middle_of_its_work_to_another_host_and_back() {
    let mut serving = Serving::start();
    let mut neighbour = Neighbour::new(&serving);
    let mut asker = Asker::connect(&serving);
    let before = asker.show(ATTACKED);
    for (seed, to, from) in [(11, OTHER, "host"), (12, "host", OTHER), (13, OTHER, "host")] {
        let mut worker = Worker::start(&serving, ATTACKED, seed);
        wait_until("nobody has it", || !asker.show(ATTACKED).attached);
        let told = asker.ask(&migrate(ATTACKED, to));
        let Told::Moved(moved) = told else { panic!("{told:?}") };
        assert_eq!((moved.from.as_str(), moved.to.as_str()), (from, to));
        assert!(moved.rounds > 0 && moved.precopy_bytes >= 4096, "{moved:?}");
        assert!(moved.blackout_ns > 0 && moved.blackout_ns <= moved.total_ns, "{moved:?}");
        println!("{moved:?}; done on arrival: {}", worker.is_done(&serving));
        let now = asker.show(ATTACKED);
        assert_eq!((now.host.as_str(), now.state.as_str(), now.busy), (to, "RUNNING", None));
        assert_eq!((&now.uuid, &now.socket), (&before.uuid, &before.socket));
        wait_until("nobody has it", || !asker.show(ATTACKED).attached);
        worker.finish(&serving);
        neighbour.finish();
    }
    wait_until("nobody has it", || !asker.show(ATTACKED).attached);
    assert_eq!(asker.refused(&migrate(ATTACKED, OTHER)).code, Code::BadValue);
    assert_eq!(asker.refused(&migrate(ATTACKED, "none")).code, Code::NoHost);
    assert_eq!(asker.refused(&migrate(NEIGHBOUR, OTHER)).code, Code::Attached);
    serving.stop();
}

#[test]
fn a_vgpu_that_does_not_fit_stays_and_works() {
    let mut serving = Serving::start();
    let mut asker = Asker::connect(&serving);
    asker.vgpu(&Ask::Create(create("large", "GW64-64Q")));
    let refusal = asker.refused(&migrate(ATTACKED, OTHER));
    assert_eq!(refusal.code, Code::NoRoom);
    assert!(refusal.message.contains("of framebuffer"), "{refusal:?}");
    let now = asker.show(ATTACKED);
    assert_eq!((now.host.as_str(), now.state.as_str(), now.busy), ("host", "RUNNING", None));
    // The host of the other is as it was.
    asker.ask(&Ask::Destroy { vgpu: "large".into() });
    let told = asker.ask(&migrate(ATTACKED, OTHER));
    assert!(matches!(told, Told::Moved(_)), "{told:?}");
    serving.stop();
}

#[test]
fn a_suspended_vgpu_is_resumed_with_all_that_it_had_and_once() {
    let mut serving = Serving::start();
    let mut neighbour = Neighbour::new(&serving);
    let mut asker = Asker::connect(&serving);
    let worker = Worker::start(&serving, ATTACKED, 21);
    wait_until("nobody has it", || !asker.show(ATTACKED).attached);
    let before = asker.show(ATTACKED);
    let suspend = |vgpu: &str, file: &str| {
        Ask::Suspend(Suspend { vgpu: vgpu.into(), file: Some(file.into()) })
    };
    let told = asker.ask(&suspend(ATTACKED, "kept"));
    let Told::Suspended(suspended) = told else { panic!("{told:?}") };
    assert!(suspended.bytes > 4096, "{suspended:?}");
    assert!(!before.socket.exists());
    assert_eq!(asker.refused(&Ask::Show { vgpu: ATTACKED.into() }).code, Code::NoVgpu);

    let resume = |file: &str, vgpu: Option<&str>, host: Option<&str>| {
        let (vgpu, host) = (vgpu.map(str::to_owned), host.map(str::to_owned));
        Ask::Resume(Resume { file: file.into(), host, vgpu })
    };
    let refusal = asker.refused(&resume("other", None, None));
    assert_eq!(
        (refusal.code, refusal.help.unwrap().as_str()),
        (Code::NoFile, "what can be resumed: kept")
    );
    assert_eq!(asker.refused(&resume("../kept", None, None)).code, Code::BadValue);
    assert_eq!(asker.refused(&resume("kept", Some(NEIGHBOUR), None)).code, Code::Taken);
    let back = asker.vgpu(&resume("kept", Some(ATTACKED), Some(OTHER)));
    assert_eq!((back.host.as_str(), &back.uuid), (OTHER, &before.uuid));
    worker.finish(&serving);
    let refusal = asker.refused(&resume("kept", Some("twice"), None));
    assert_eq!(refusal.code, Code::Taken);
    assert!(refusal.message.contains("resumed before"), "{refusal:?}");

    // A file that was resumed may be written over, and one that was not may not.
    wait_until("nobody has it", || !asker.show(ATTACKED).attached);
    assert!(matches!(asker.ask(&suspend(ATTACKED, "kept")), Told::Suspended(_)));
    asker.vgpu(&Ask::Create(create("third", "GW64-2Q")));
    assert_eq!(asker.refused(&suspend("third", "kept")).code, Code::Taken);
    assert_eq!(asker.show("third").busy, None);
    // Nobody says where: it is where the least is left.
    assert_eq!(asker.vgpu(&resume("kept", None, None)).name, "kept");
    neighbour.finish();
    serving.stop();
}

#[test]
fn a_host_is_emptied_of_all_that_no_machine_has() {
    let mut serving = Serving::start();
    let mut neighbour = Neighbour::new(&serving);
    let mut asker = Asker::connect(&serving);
    let evacuate = |host: &str, to: &[&str], parallel| {
        let to = to.iter().map(|host| (*host).to_owned()).collect();
        let (kind, max_downtime_ns) = (KindOfMove::Live, None);
        Ask::Evacuate(Evacuate { host: host.into(), to, parallel, kind, max_downtime_ns })
    };
    for (wrong, code) in [
        (evacuate("none", &[], None), Code::NoHost),
        (evacuate("host", &["none"], None), Code::NoHost),
        (evacuate("host", &["host"], None), Code::BadValue),
        (evacuate("host", &[], Some(0)), Code::BadValue),
        (evacuate("host", &[], Some(33)), Code::BadValue),
    ] {
        assert_eq!(asker.refused(&wrong).code, code, "{wrong:?}");
    }
    for name in ["a", "b", "c"] {
        let create = Create { host: Some("host".into()), ..create(name, "GW64-2Q") };
        asker.vgpu(&Ask::Create(create));
    }
    let told = asker.ask(&evacuate("host", &[], Some(3)));
    let Told::Evacuated(done) = told else { panic!("{told:?}") };
    let mut moved: Vec<&str> = done.moved.iter().map(|it| it.vgpu.as_str()).collect();
    moved.sort_unstable();
    assert_eq!(moved, ["a", ATTACKED, "b", "c"]);
    let [stayed] = done.stayed.as_slice() else { panic!("{done:?}") };
    assert_eq!((stayed.vgpu.as_str(), stayed.why.code), (NEIGHBOUR, Code::Attached));
    let at = |host: &str, all: &[VgpuStatus]| all.iter().filter(|it| it.host == host).count();
    let all = asker.list();
    assert_eq!((at("host", &all), at(OTHER, &all)), (1, 4));
    neighbour.finish();
    serving.stop();
}

/// Ends the server with its clients, however they end.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn nothing_comes_to_a_host_that_is_being_emptied() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sockets = folder.path().join("run");
    let config = config(&sockets);
    let mut server = Server::new(&config).unwrap();
    // Both have asked before the first is answered.
    let connect = || Asker::connect_at(&config.control.place(&sockets));
    let (mut first, mut others) = (connect(), [connect(), connect(), connect()]);
    let evacuate = |host: &str| {
        let (kind, max_downtime_ns) = (KindOfMove::Live, None);
        let host = host.into();
        Ask::Evacuate(Evacuate { host, to: Vec::new(), parallel: None, kind, max_downtime_ns })
    };
    let made =
        |name: &str| Ask::Create(Create { host: Some("host".into()), ..create(name, "GW64-2Q") });
    let say = |asker: &mut Asker, ask: &Ask| {
        asker.say(format!("{}\n", serde_json::to_string(ask).unwrap()).as_bytes());
    };
    say(&mut first, &evacuate("host"));
    let asked = [made("a"), evacuate("host"), evacuate(OTHER)];
    for (other, ask) in others.iter_mut().zip(&asked) {
        say(other, ask);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (asked, stop) = (&made, &stop);
        scope.spawn(move || {
            let _stop = StopAtEnd(stop);
            for (other, code) in others.iter_mut().zip([Code::Busy, Code::Busy, Code::Busy]) {
                let refusal = other.hear_last();
                assert!(matches!(&refusal, Told::Error(why) if why.code == code), "{refusal:?}");
            }
            let done = first.hear_last();
            assert!(matches!(&done, Told::Evacuated(done) if done.moved.len() == 2), "{done:?}");
            others[0].vgpu(&asked("a"));
        });
        server.run(stop, &mut |note| println!("{note}")).unwrap();
    });
}

#[test]
fn who_follows_is_told_what_happens_and_nothing_twice() {
    let mut serving = Serving::start();
    let (mut asker, mut follower) = (Asker::connect(&serving), Asker::connect(&serving));
    asker.vgpu(&Ask::Create(create("before", "GW64-2Q")));
    follower.say(b"{\"command\":\"events\",\"follow\":true}\n");
    let mut next = || -> Event {
        match serde_json::from_str(&follower.hear().unwrap()).unwrap() {
            Told::Event(event) => event,
            told => panic!("{told:?}"),
        }
    };
    // That it follows is known when the first comes.
    for name in ["x", "y"] {
        asker.vgpu(&Ask::Create(create(name, "GW64-2Q")));
    }
    let mut last = None;
    for name in ["x", "y"] {
        let event = std::iter::repeat_with(&mut next)
            .inspect(|event| assert!(last.replace(event.number).is_none_or(|it| it < event.number)))
            .find(|event| {
                event.kind == EventKind::Created && event.vgpu.as_deref() != Some("before")
            })
            .unwrap();
        assert_eq!(event.vgpu.as_deref(), Some(name));
        assert_eq!(event.host.as_deref(), Some(OTHER));
    }
    serving.stop();
}
