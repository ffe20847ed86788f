use super::*;
use crate::{CardError, Host, HostError, Mcu};
use godwit_mmio::{AttentionWord, Callee, Mmio, SharedRetained, WordMemory};
use godwit_pump::{Pump, Turn};
use godwit_regs::Word;
use godwit_regs::bits::{MAGIC, MAP_VERSION};
use godwit_regs::crash::{self, Cause};
use godwit_regs::map::{identity, intr};
use godwit_regs::window::WINDOW_BYTES;
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_sys::{MemFile, WindowFile};
use godwit_types::{Engines, Identity, Profile, Share};
use godwit_wire::mailbox::Reject;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const MIB: u64 = 1 << 20;
/// Where the window is in the file.
const AT: u64 = 0x3000;
/// As long as firmware is waited for that never comes, and that comes.
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

const PROFILE: Profile =
    Profile { fb_bytes: MIB, bar_bytes: MIB, channel_count: 1, context_bytes: 4096 };

fn file() -> MemFile {
    MemFile::new("window", AT + WINDOW_BYTES as u64).unwrap()
}

fn host(file: &MemFile, line: Option<PathBuf>, patience: Duration) -> Result<Host, CardError> {
    let identity = Identity {
        fb_bytes: 32 * MIB,
        bar_bytes: 32 * MIB,
        context_bytes: MIB,
        context_layout: 1,
        engines: Engines::ALL,
    };
    let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
    let mcu = AttachedMcu { window: file.path(), at: AT, line, patience };
    Host::new(config, &Mcu::Attached(mcu))
}

/// Why there is no host.
fn refusal(file: &MemFile) -> String {
    let told = host(file, None, SHORT).unwrap_err().to_string();
    told.replace(&file.path().display().to_string(), "FILE")
}

/// The microcontroller's view of the window.
#[derive(Debug)]
struct Its(WindowFile);

impl WordMemory for Its {
    fn word(&self, offset: usize) -> &AtomicU32 {
        self.0.word(offset).unwrap()
    }
}

fn its(file: &MemFile) -> SharedWords {
    let window = WindowFile::open(&file.path(), AT, WINDOW_BYTES).unwrap();
    SharedWords::over(Arc::new(Its(window)))
}

/// Waits until somebody has brought a word to something else than `from`.
fn changes(words: &SharedWords, word: Word, from: u32) {
    while words.observe(word) == from {
        thread::sleep(Duration::from_micros(20));
    }
}

/// Firmware that answers so many calls, and then nothing more.
fn firmware(words: &SharedWords, calls: u32) {
    changes(words, identity::magic(), 0);
    let callee = Callee::new(words.clone());
    let line = AttentionWord::new(words.clone());
    let mut hal = Mmio::new(words.clone(), line, SharedRetained::default());
    let mut pump = Pump::boot(&mut hal).unwrap();
    for _ in 0..calls {
        let call = callee.call();
        while pump.turn(&mut hal) == Turn::Busy {}
        callee.answer(call, Burst { instructions: 7, turns: 1 });
        changes(words, intr::call(), call);
    }
}

#[test]
fn firmware_behind_a_file_does_what_it_does_elsewhere() {
    let file = file();
    let words = its(&file);
    // It is there before the device, and until the device is gone.
    let there = thread::spawn(move || firmware(&words, u32::MAX));
    let mut host = host(&file, None, LONG).unwrap();
    let gfid = host.create_running(PROFILE, Share::DEFAULT, None).unwrap();
    assert!(host.card().is_running(gfid) && host.card().pump().is_none());
    host.release(gfid).unwrap();
    assert!(host.card().losses().is_empty());
    // Its power is nobody's here.
    host.restart_firmware();
    let update = host.update_firmware(&[]).unwrap_err();
    assert!(matches!(update, CardError::NotOurs), "{update}");
    host.create_running(PROFILE, Share::DEFAULT, None).unwrap();
    drop(host);
    assert!(!there.is_finished(), "it waits for a call");
}

#[test]
fn firmware_that_falls_silent_is_gone_and_nothing_waits_for_it() {
    let file = file();
    let words = its(&file);
    let there = thread::spawn(move || firmware(&words, 1));
    let mut host = host(&file, None, LONG).unwrap();
    host.card_mut().set_patience(SHORT);
    let refused = host.create_running(PROFILE, Share::DEFAULT, None).unwrap_err();
    assert!(matches!(refused, HostError::Refused(Reject::Deadline)), "{refused}");
    assert!(host.card().is_lost());
    let [(_, loss)] = host.card().losses() else { panic!("it is lost once") };
    assert_eq!(loss.cause.name(), "silent");
    // Nobody starts it again, and the next call does not wait.
    host.restart_firmware();
    assert!(host.card().is_lost());
    assert!(host.create_running(PROFILE, Share::DEFAULT, None).is_err());
    there.join().unwrap();
}

#[test]
fn a_window_without_firmware_is_given_up_in_time_and_can_be_used_again() {
    let file = file();
    for _ in 0..2 {
        assert!(refusal(&file).starts_with("the firmware does not start; "));
    }
    // What an earlier firmware has retained is of a device that is gone.
    let retained = AT + godwit_regs::window::RETAINED_A_AT as u64;
    file.store(retained, 7_u32).unwrap();
    assert!(refusal(&file).starts_with("the firmware does not start; "));
    assert_eq!(file.load(retained), Ok(0_u32));
    let nobody = Some("/there/is/no/line".into());
    let told = host(&file, nobody, SHORT).unwrap_err().to_string();
    assert!(told.contains("nobody listens at its line, /there/is/no/line: "), "{told}");
    let long = Some("x".repeat(200).into());
    let told = host(&file, long, LONG).unwrap_err().to_string();
    assert!(told.starts_with("no socket has this path: xxx"), "{told}");
}

#[test]
fn a_line_that_breaks_is_told() {
    let file = file();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line");
    let listener = UnixListener::bind(&path).unwrap();
    let there = thread::spawn(move || drop(listener.accept().unwrap()));
    let told = host(&file, Some(path), LONG).unwrap_err().to_string();
    assert!(told.starts_with("the line to the firmware's microcontroller is broken"), "{told}");
    there.join().unwrap();
}

#[test]
fn what_is_no_free_window_is_refused_and_left_as_it_was() {
    let file = file();
    let magic = AT + identity::magic().offset() as u64;
    let version = AT + identity::version().offset() as u64;
    let not_zero = |at: usize| {
        let no_window = "FILE: there is no window at 0x3000: one in which no device was";
        format!("{no_window} is of zeros, and byte {at:#x} of this is not 0")
    };
    for (at, value, why) in [
        (AT + 0x40, 7, not_zero(0x40).as_str()),
        (magic, 7, not_zero(0).as_str()),
        (magic, MAGIC, "FILE: the registers in the window have version 0, and this host knows"),
    ] {
        file.store(at, value).unwrap();
        let told = refusal(&file);
        assert!(told.starts_with(why), "{told}");
        assert_eq!(file.load(at), Ok(value));
        file.store(at, 0_u32).unwrap();
    }
    file.store(magic, MAGIC).unwrap();
    file.store(version, MAP_VERSION).unwrap();
    let told = refusal(&file);
    assert!(told.starts_with("FILE: a device is up in the window, or was"), "{told}");
}

#[test]
fn a_window_has_one_device_at_a_time() {
    let file = file();
    let first = Window::claim(&file.path(), AT).unwrap();
    assert_eq!(refusal(&file), "FILE: somebody else has claimed it");
    drop(first);
    assert!(refusal(&file).starts_with("the firmware does not start"));
}

#[test]
fn firmware_of_an_earlier_device_is_told_from_one_that_has_started() {
    let file = file();
    let words = its(&file);
    let there = thread::spawn(move || {
        changes(&words, intr::call(), 0);
        let callee = Callee::new(words);
        callee.answer(callee.call(), Burst { instructions: 0, turns: 1 });
    });
    let told = host(&file, None, LONG).unwrap_err().to_string();
    assert!(told.starts_with("the firmware was at work before the device came up"), "{told}");
    there.join().unwrap();
}

/// Leaves a crash record in the window.
fn crash(file: &MemFile, number: u32) {
    let registers = [0; crash::REGISTERS];
    let words = crash::words(number, Cause::NoDevice, crash::Core::RiscV, &registers);
    for (at, word) in words.enumerate() {
        file.store(AT + (CRASH_AT + 4 * at) as u64, word).unwrap();
    }
}

#[test]
fn a_crash_is_told_and_one_of_before_is_not_taken_for_it() {
    let file = file();
    crash(&file, 1);
    let told = refusal(&file);
    let before = "before this device came up: the firmware has ended: the device did not come up";
    assert!(told.starts_with("the firmware does not start") && told.contains(before), "{told}");
    let words = its(&file);
    let window = WindowFile::open(&file.path(), AT, WINDOW_BYTES).unwrap();
    let there = thread::spawn(move || {
        changes(&words, identity::magic(), 0);
        let number = CRASH_AT + 4 * NUMBER_AT;
        window.word(number).unwrap().store(2, Ordering::Release);
    });
    let told = host(&file, None, LONG).unwrap_err().to_string();
    assert!(told.starts_with("the firmware has ended: the device did not come up"), "{told}");
    there.join().unwrap();
}
