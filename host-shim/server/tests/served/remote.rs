//! vGPUs that go from one server to another.

use crate::control::Asker;
use crate::neighbour::Neighbour;
use crate::operators::create;
use crate::serving::{ATTACKED, FB_BYTES, NEIGHBOUR, OTHER, Serving, wait_until};
use crate::worker::Worker;
use godwit_control::{Ask, Code, Decision, EventKind, KindOfMove, Migrate, Receive, Told};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn migrate(vgpu: &str, to: String, host: Option<&str>) -> Ask {
    let (kind, max_downtime_ns) = (KindOfMove::Live, None);
    let host = host.map(str::to_owned);
    Ask::Migrate(Migrate { vgpu: vgpu.into(), to, host, kind, max_downtime_ns })
}

fn address(serving: &Serving) -> String {
    format!("unix:{}", serving.control().display())
}

/// Something between two servers, that cuts a connection once, after so many bytes to the one
/// behind it.
struct Cutter {
    address: String,
    said: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl Cutter {
    fn before(serving: &Serving, cut_after: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ctl");
        let listener = UnixListener::bind(&path).unwrap();
        let (said, behind) = (Arc::new(AtomicU64::new(0)), serving.control());
        let shared = Arc::clone(&said);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, said) = (near.unwrap(), Arc::clone(&shared));
                let Ok(far) = UnixStream::connect(&behind) else { break };
                let (back, forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                std::thread::spawn(move || carry(back, forth, None));
                std::thread::spawn(move || carry(near, far, Some((&said, cut_after))));
            }
        });
        Self { address: format!("unix:{}", path.display()), said, _folder: folder }
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, cut: Option<(&AtomicU64, u64)>) {
    let mut part = [0; 1024];
    while let Ok(count) = from.read(&mut part) {
        let is_cut = cut.is_some_and(|(said, after)| {
            let before = said.fetch_add(count as u64, Ordering::SeqCst);
            (before..before + count as u64).contains(&after)
        });
        if count == 0 || is_cut || to.write_all(&part[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_vgpu_goes_to_another_server_in_the_middle_of_its_work_and_back() {
    let mut here = Serving::start();
    let mut there = Serving::beside(&here);
    let mut neighbours = [Neighbour::new(&here), Neighbour::new(&there)];
    let (mut near, mut far) = (Asker::connect(&here), Asker::connect(&there));
    // The name is taken over there.
    let refusal = near.refused(&migrate(ATTACKED, address(&there), None));
    assert_eq!(refusal.code, Code::Taken);
    assert_eq!(near.show(ATTACKED).busy, None);
    far.ask(&Ask::Destroy { vgpu: ATTACKED.into() });

    let before = near.show(ATTACKED);
    let worker = Worker::start(&here, ATTACKED, 31);
    wait_until("nobody has it", || !near.show(ATTACKED).attached);
    let told = near.ask(&migrate(ATTACKED, address(&there), Some(OTHER)));
    let Told::Moved(moved) = told else { panic!("{told:?}") };
    assert!(moved.rounds > 0 && moved.blackout_ns > 0, "{moved:?}");
    assert_eq!(near.refused(&Ask::Show { vgpu: ATTACKED.into() }).code, Code::NoVgpu);
    assert!(!before.socket.exists());
    let now = far.show(ATTACKED);
    assert_eq!((now.host.as_str(), now.state.as_str()), (OTHER, "RUNNING"));
    assert_eq!(now.uuid, before.uuid);
    worker.finish(&there);
    wait_until("nobody has it", || !far.show(ATTACKED).attached);
    let told = far.ask(&migrate(ATTACKED, address(&here), None));
    assert!(matches!(told, Told::Moved(_)), "{told:?}");
    assert_eq!(near.show(ATTACKED).uuid, before.uuid);
    neighbours.iter_mut().for_each(Neighbour::finish);
    here.stop();
    there.stop();
}

#[test]
fn who_cannot_be_reached_or_does_not_take_it_leaves_it_where_it_is() {
    let mut here = Serving::start();
    let mut there = Serving::beside(&here);
    let mut near = Asker::connect(&here);
    let nobody = here.sockets.join("nobody");
    for (to, host, code) in [
        (format!("unix:{}", nobody.display()), None, Code::Failed),
        ("tcp:127.0.0.1:1".to_owned(), None, Code::Failed),
        ("tcp:192.0.2.1:7700".to_owned(), None, Code::Failed),
        (address(&there), None, Code::Taken),
        (format!("unix:{}", there.device(NEIGHBOUR).display()), None, Code::Failed),
    ] {
        let refusal = near.refused(&migrate(ATTACKED, to.clone(), host));
        assert_eq!(refusal.code, code, "{to}: {refusal:?}");
        let now = near.show(ATTACKED);
        assert_eq!((now.state.as_str(), now.busy), ("RUNNING", None), "{to}");
    }
    let resolve = Ask::Resolve { vgpu: ATTACKED.into(), decision: Decision::Gone };
    assert_eq!(near.refused(&resolve).code, Code::NoVgpu);
    here.stop();
    there.stop();
}

/// Wherever the link is cut, the vGPU is on one server, and its work comes to the right bytes.
#[test]
fn a_link_that_is_cut_at_any_time_leaves_the_vgpu_on_one_server() {
    let mut here = Serving::start();
    let mut there = Serving::beside(&here);
    let (mut near, mut far) = (Asker::connect(&here), Asker::connect(&there));
    far.ask(&Ask::Destroy { vgpu: ATTACKED.into() });
    let (mut moved, mut stayed, mut all) = (0, 0, 0);
    // The first is not cut, and tells how much there is to say.
    for seed in 0..10 {
        let cut_after = if seed == 0 { u64::MAX } else { all * seed / 9 - 30 * (seed / 9) };
        let cutter = Cutter::before(&there, cut_after);
        // The one before may not be seen to have gone yet.
        wait_until("nobody has it", || !near.show(ATTACKED).attached);
        let worker = Worker::start(&here, ATTACKED, 100 + seed);
        wait_until("nobody has it", || !near.show(ATTACKED).attached);
        let told = near.ask(&migrate(ATTACKED, cutter.address.clone(), None));
        println!("cut after {cut_after}: {told:?}");
        if let Told::Moved(_) = told {
            moved += 1;
            worker.finish(&there);
            wait_until("nobody has it", || !far.show(ATTACKED).attached);
            let back = far.ask(&migrate(ATTACKED, address(&here), None));
            assert!(matches!(back, Told::Moved(_)), "cut after {cut_after}: {back:?}");
        } else {
            stayed += 1;
            worker.finish(&here);
        }
        all = all.max(cutter.said.load(Ordering::SeqCst));
        let gone = Ask::Show { vgpu: ATTACKED.into() };
        assert_eq!(far.refused(&gone).code, Code::NoVgpu, "cut after {cut_after}");
    }
    assert!(moved > 0 && stayed > 0, "{moved} moved, {stayed} stayed");
    let lost = near.events().into_iter().filter(|event| event.kind == EventKind::Failed).count();
    assert_eq!(lost, stayed);
    here.stop();
    there.stop();
}

/// Says that a vGPU comes, and no more.
fn announce(serving: &Serving, number: u32) -> (Asker, Told) {
    let receive = Receive {
        vgpu: format!("v{number}"),
        host: Some(OTHER.into()),
        token: format!("{number:032x}:1"),
        framebuffer_bytes: FB_BYTES,
        aperture_bytes: FB_BYTES,
        channels: 8,
        context_bytes: 32 << 10,
    };
    let mut asker = Asker::connect(serving);
    let told = asker.ask(&Ask::Receive(receive));
    (asker, told)
}

#[test]
fn vgpus_that_are_announced_and_do_not_come_leave_room_for_others() {
    let mut serving = Serving::start();
    let announced: Vec<_> = (0..16).map(|number| announce(&serving, number)).collect();
    for (_, told) in &announced {
        assert!(matches!(told, Told::Receiving(host) if host == OTHER), "{told:?}");
    }
    let (_, told) = announce(&serving, 16);
    assert!(matches!(&told, Told::Error(why) if why.code == Code::TooMany), "{told:?}");
    let mut asker = Asker::connect(&serving);
    asker.vgpu(&Ask::Create(create("other", "GW64-8Q")));
    drop(announced);
    let mut number = 17;
    wait_until("they are gone", || {
        number += 1;
        matches!(announce(&serving, number), (_, Told::Receiving(_)))
    });
    serving.stop();
}
