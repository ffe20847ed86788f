//! The driver over a window: of a machine in QEMU that somebody else has started, and of a file
//! that stands in for a PCI device's resource. Its first card's firmware is behind it.

use crate::bench::{Bench, Checked, succeeds};
use crate::{DRIVER, STEPS};
use godwit_images::image;
use godwit_mmio::{
    AttentionWord, Burst, Callee, Mmio, SharedRetained, SharedWords, WordMemory, Words as _,
};
use godwit_pump::{Pump, Turn};
use godwit_regs::bits::MAGIC;
use godwit_regs::crash::{self, Cause, Core, NUMBER_AT};
use godwit_regs::map::{identity, intr};
use godwit_regs::window::{CRASH_AT, QEMU_VIRT_RV64, WINDOW_BYTES};
use godwit_sys::{WindowFile, die_with_parent};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Where a resource file has the window: a device may have other registers before it.
pub(crate) const RESOURCE_AT: u64 = 0x2_0000;
/// How long nobody looks where there is nothing.
pub(crate) const PAUSE: Duration = Duration::from_micros(50);
/// More calls than a suspend or a resume takes.
const CALLS_MAX: u64 = 400;

/// A file of zeros with room for a window.
pub(crate) fn file(bench: &Bench, name: &str, bytes: u64) -> std::path::PathBuf {
    let path = bench.path(name);
    File::create_new(&path).unwrap().set_len(bytes).unwrap();
    path
}

/// The microcontroller's view of a window.
#[derive(Debug)]
struct Its(WindowFile);

impl WordMemory for Its {
    fn word(&self, offset: usize) -> &AtomicU32 {
        self.0.word(offset).unwrap()
    }
}

pub(crate) fn its(path: &Path, at: u64) -> SharedWords {
    SharedWords::over(Arc::new(Its(WindowFile::open(path, at, WINDOW_BYTES).unwrap())))
}

/// What the driver has told at its end, which is as it is without a window.
fn check(driver: Checked) {
    let told = driver.end();
    for step in
        STEPS.into_iter().chain(["its firmware is behind a window", "bytes in a descriptor"])
    {
        assert!(told.contains(step), "{step} is missing:\n{told}");
    }
}

/// When firmware ends.
#[derive(Clone, Copy)]
enum End<'a> {
    /// With its card.
    Never,
    /// When it has answered so many calls, and has turned so often in the next one.
    After(u64, u32),
    /// When it is called and there is such a file.
    Once(&'a Path),
}

/// Firmware that looks at its window by itself, until its end, or until it is told that nobody
/// needs it.
fn firmware(words: &SharedWords, end: End<'_>, is_over: &AtomicBool) {
    let waits = |until: &dyn Fn() -> bool| {
        while !until() && !is_over.load(Ordering::Relaxed) {
            thread::sleep(PAUSE);
        }
        !is_over.load(Ordering::Relaxed)
    };
    if !waits(&|| words.observe(identity::magic()) == MAGIC) {
        return;
    }
    let callee = Callee::new(words.clone());
    let line = AttentionWord::new(words.clone());
    let mut hal = Mmio::new(words.clone(), line, SharedRetained::default());
    let mut pump = Pump::boot(&mut hal).unwrap();
    for answered in 0.. {
        match end {
            End::After(calls, turns) if answered == calls => {
                for _ in 0..turns {
                    pump.turn(&mut hal);
                }
                return;
            }
            End::Once(file) if file.exists() => return,
            End::Never | End::After(..) | End::Once(_) => {}
        }
        let call = callee.call();
        let mut turns = 1;
        while pump.turn(&mut hal) == Turn::Busy {
            turns += 1;
        }
        callee.answer(call, Burst { instructions: 0, turns });
        if !waits(&|| words.observe(intr::call()) != call) {
            return;
        }
    }
}

#[test]
fn the_driver_runs_over_a_file_that_stands_in_for_a_resource() {
    let bench = Bench::new();
    let program = bench.shared("driver", &DRIVER);
    let resource = file(&bench, "resource0", RESOURCE_AT + WINDOW_BYTES as u64);
    let (words, is_over) = (its(&resource, RESOURCE_AT), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| firmware(&words, End::Never, &is_over));
        let (job, state, at) = (bench.job(), bench.path("driver.state"), RESOURCE_AT.to_string());
        let arguments = [job.as_path(), &state, &resource, Path::new(&at)];
        let driver = bench.begin(&program, &arguments);
        // Firmware is let go whatever the driver does, or the scope would wait for it.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(driver)));
        is_over.store(true, Ordering::Relaxed);
        if let Err(payload) = result {
            std::panic::resume_unwind(payload);
        }
    });
    assert_ne!(words.observe(identity::magic()), MAGIC, "the device has left");
}

/// Has a program run over a window whose firmware ends. What `body` says of the program.
fn over_firmware_that_ends<T>(resource: &Path, end: End<'_>, body: impl FnOnce() -> T) -> T {
    let (words, is_over) = (its(resource, RESOURCE_AT), AtomicBool::new(false));
    let window = WindowFile::open(resource, RESOURCE_AT, WINDOW_BYTES).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            firmware(&words, end, &is_over);
            let registers = [0; crash::REGISTERS];
            let record = crash::words(1, Cause::Panic { line: 7 }, Core::RiscV, &registers);
            let mut record: Vec<(usize, u32)> = record.enumerate().collect();
            // Its number comes last.
            record.sort_by_key(|(at, _)| *at == NUMBER_AT);
            for (at, word) in record {
                window.word(CRASH_AT + 4 * at).unwrap().store(word, Ordering::Release);
            }
        });
        // Firmware is let go whatever the program does, or the scope would wait for it.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        is_over.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    })
}

#[test]
fn firmware_that_ends_is_an_error_of_each_call_and_nothing_waits_for_it() {
    let bench = Bench::new();
    let program = bench.shared("gone", &["gone.c", "wrong_handles.c"]);
    let resource = file(&bench, "resource0", RESOURCE_AT + WINDOW_BYTES as u64);
    let at = RESOURCE_AT.to_string();
    // It is at rest when the device is open, and its next call is the first vGPU's.
    let gone = bench.begin(&program, &[&resource, Path::new(&at)]);
    let told = over_firmware_that_ends(&resource, End::After(1, 0), || gone.end());
    assert!(told.ends_with(" 0 failures\n"), "{told}");
}

/// What has come of vGPUs whose firmware is lost at each moment of a suspend or a resume.
fn outcomes(how: &str) -> Vec<String> {
    let bench = Bench::new();
    let program = bench.shared("lost", &["lost.c", "wrong_handles.c"]);
    let mut all = Vec::new();
    for calls in 1..CALLS_MAX {
        for turns in [0, 1, 2, 5] {
            let name = format!("{calls}.{turns}");
            let resource = file(&bench, &name, RESOURCE_AT + WINDOW_BYTES as u64);
            let state = bench.path(&format!("{name}.state"));
            let mut command = bench.unchecked(&program);
            command.arg(how).arg(&resource).arg(RESOURCE_AT.to_string()).arg(state);
            let end = End::After(calls, turns);
            let told = over_firmware_that_ends(&resource, end, || succeeds(&mut command, "libc6"));
            all.push(told.lines().last().unwrap_or_default().to_owned());
        }
        // From here on it is lost when all is done.
        if all.iter().rev().take(8).filter(|what| *what == "whole").count() == 8 {
            return all;
        }
    }
    panic!("it is never done: {all:?}");
}

#[test]
fn a_vgpu_whose_firmware_is_lost_on_the_way_to_a_file_is_there_or_in_the_file() {
    let all = outcomes("suspend");
    for what in ["early", "lost", "not wiped", "whole"] {
        assert!(all.iter().any(|found| found == what), "{what} is missing: {all:?}");
    }
}

#[test]
fn a_vgpu_whose_firmware_is_lost_when_it_is_in_a_file_is_suspended_and_not_wiped() {
    let bench = Bench::new();
    let program = bench.shared("lost", &["lost.c", "wrong_handles.c"]);
    let resource = file(&bench, "resource0", RESOURCE_AT + WINDOW_BYTES as u64);
    let state = bench.path("a.state");
    let mut command = bench.unchecked(&program);
    command.arg("suspend").arg(&resource).arg(RESOURCE_AT.to_string()).arg(&state);
    // The file has its name once it is whole; the next call is for the wiping.
    let end = End::Once(&state);
    let told = over_firmware_that_ends(&resource, end, || succeeds(&mut command, "libc6"));
    assert_eq!(told.lines().last(), Some("not wiped"), "{told}");
}

#[test]
fn a_vgpu_whose_firmware_is_lost_on_the_way_from_a_file_is_in_the_file() {
    let all = outcomes("resume");
    for what in ["lost", "marked", "whole"] {
        assert!(all.iter().any(|found| found == what), "{what} is missing: {all:?}");
    }
}

/// A machine that somebody has started, which ends with this.
struct Machine(Child);

impl Machine {
    fn start(ram: &Path, image: &Path, line: &Path) -> Self {
        let (board, path) = (QEMU_VIRT_RV64, ram.display());
        let ram =
            format!("memory-backend-file,id=ram,size={},mem-path={path},share=on", board.ram_bytes);
        let line = format!("socket,id=line,path={},server=on,wait=off", line.display());
        let mut qemu = Command::new("qemu-system-riscv64");
        qemu.args(["-no-user-config", "-nodefaults", "-display", "none", "-bios", "none"])
            .args(["-icount", "shift=0", "-object", &ram, "-machine", "virt,memory-backend=ram"])
            .args(["-m", &format!("{}B", board.ram_bytes)])
            .args(["-chardev", &line, "-serial", "chardev:line", "-kernel"])
            .arg(image)
            .stdin(Stdio::null());
        die_with_parent(&mut qemu);
        Self(qemu.spawn().unwrap_or_else(|error| {
            panic!("QEMU is not started: {error}; on Debian: `apt-get install qemu-system-misc`")
        }))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_driver_runs_over_the_ram_of_a_machine_in_qemu() {
    let bench = Bench::new();
    let program = bench.shared("driver", &DRIVER);
    let elf = bench.path("image.elf");
    std::fs::write(&elf, image(QEMU_VIRT_RV64.name).unwrap()).unwrap();
    let (ram, line) = (file(&bench, "ram", QEMU_VIRT_RV64.ram_bytes), bench.path("line"));
    let (job, state) = (bench.job(), bench.path("driver.state"));
    let at = QEMU_VIRT_RV64.window_at.to_string();
    let arguments = [job.as_path(), &state, &ram, Path::new(&at), &line];
    let mut driver = bench.begin(&program, &arguments);
    // The image waits for its device for 100 ms, so the device comes first.
    let words = its(&ram, QEMU_VIRT_RV64.window_at);
    while words.observe(identity::magic()) != MAGIC && !driver.has_ended() {
        thread::sleep(PAUSE);
    }
    let machine = Machine::start(&ram, &elf, &line);
    check(driver);
    drop(machine);
}
