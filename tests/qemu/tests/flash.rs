//! Flash files, written by the command and booted by QEMU.

use clap::Parser as _;
use godwit::progress::Silent;
use godwit::{Scenario, execute_on};
use godwit_log::{Kind, Level};
use godwit_pump::PROTOCOL_VERSION;
use godwit_qemu::{
    Rig, booted, flashed, image_file, image_file_of, image_that_does_not_ask, image_that_forgets,
    image_that_logs, json, json_and_log, logging_mcu, mcu,
};
use godwit_regs::boot::Booted;
use godwit_regs::flash::{SLOT_A_AT, SLOT_B_AT};
use godwit_shim::{Mcu, QemuBoard, QemuMcu, Symbols};
use godwit_sim_gpu::Costs;
use godwit_slots::{Flash, HEADER_BYTES, Refusal, Slot, State};
use godwit_types::{Engines, Profile, Scheduling, Share};
use godwit_wire::retained;
use godwit_world::{HostSpec, JobSource, JobSpec, VgpuSpec, World, WorldConfig};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const RV64: &str = "qemu-virt-rv64";
const RV32: &str = "qemu-virt-rv32";

/// A folder with a flash file in it, and the command.
struct Bench {
    folder: tempfile::TempDir,
    board: &'static str,
}

impl Bench {
    fn new(board: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), board }
    }

    fn flash(&self) -> PathBuf {
        self.folder.path().join("flash")
    }

    /// How `godwit image …` ends.
    fn image(&self, args: &[&str]) -> String {
        let words = ["godwit", "image"].iter().chain(args);
        format!("{:?}", godwit::Cli::try_parse_from(words).unwrap().run())
    }

    /// How `godwit image flash` ends for an image of this version and security version.
    fn install(&self, slot: &str, minor: u16, security_version: u32) -> String {
        self.install_file(slot, &image_file(self.board, [0, minor, 0], security_version))
    }

    fn install_file(&self, slot: &str, image: &[u8]) -> String {
        let file = self.folder.path().join("image");
        fs::write(&file, image).unwrap();
        let (file, flash) = (text(&file), text(&self.flash()));
        self.image(&["flash", "--slot", slot, "--flash", &flash, &file])
    }

    /// What boots: slot, version, security version, guard, and why the other slot does not.
    fn boots(&self) -> (Slot, u16, u32, u32, Option<Refusal>) {
        let Booted { slot, version: [_, minor, _], security_version, guard, other } =
            booted(self.board, &self.flash()).unwrap();
        let slot = Slot::numbered(slot).unwrap();
        (slot, minor, security_version, guard, Refusal::from_code(other))
    }

    /// Changes a byte of the flash file.
    fn flip(&self, at: usize) {
        let file = File::options().read(true).write(true).open(self.flash()).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at as u64).unwrap();
        file.write_all_at(&[!byte[0]], at as u64).unwrap();
    }

    /// Forces a state into the flash file.
    fn force(&self, change: fn(&mut State)) {
        let bytes = fs::read(self.flash()).unwrap();
        let flash = Flash::open(&bytes).unwrap();
        let mut state = flash.state().unwrap();
        state.sequence += 1;
        change(&mut state);
        let file = File::options().write(true).open(self.flash()).unwrap();
        file.write_all_at(&state.record(), flash.next_state_at() as u64).unwrap();
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

const DONE: &str = "ExitCode(unix_exit_status(0))";
const REFUSED: &str = "ExitCode(unix_exit_status(1))";

#[test]
fn the_newer_image_boots_and_the_other_slot_stands_in() {
    let bench = Bench::new(RV64);
    assert_eq!(bench.install("a", 1, 1), DONE);
    assert_eq!(bench.boots(), (Slot::A, 1, 1, 0, Some(Refusal::Empty)));
    assert_eq!(bench.install("b", 2, 2), DONE);
    assert_eq!(bench.boots(), (Slot::B, 2, 2, 0, None));

    // A damaged image, in the middle of its code.
    bench.flip(SLOT_B_AT + 0x4321);
    assert_eq!(bench.boots(), (Slot::A, 1, 1, 0, Some(Refusal::Hash)));
    bench.flip(SLOT_B_AT + 0x4321);

    // A rollback is refused by the command, and by the boot stage whatever is forced.
    assert_eq!(bench.image(&["confirm", &text(&bench.flash())]), DONE);
    assert_eq!(bench.install("a", 3, 1), REFUSED);
    bench.force(|state| state.slot = Slot::A);
    assert_eq!(bench.boots(), (Slot::B, 2, 2, 2, Some(Refusal::RolledBack)));

    bench.flip(SLOT_B_AT + HEADER_BYTES - 1);
    let said = booted(RV64, &bench.flash()).unwrap_err();
    assert!(said.contains("neither slot boots: slot a: it is a rollback: "), "{said}");
    assert!(said.contains("; slot b: its signature is wrong: "), "{said}");
    assert_eq!(bench.image(&["show", &text(&bench.flash())]), REFUSED);
    assert_eq!(bench.install("a", 4, 2), DONE);
    assert_eq!(bench.boots(), (Slot::A, 4, 2, 2, Some(Refusal::Signature)));
}

#[test]
fn a_board_of_32_bits_boots_its_own_images_only() {
    let bench = Bench::new(RV32);
    assert_eq!(bench.install("b", 1, 1), DONE);
    assert_eq!(bench.boots(), (Slot::B, 1, 1, 0, Some(Refusal::Empty)));
    // The other board's, signed by the same key.
    let other = image_file(RV64, [9, 0, 0], 9);
    let path = bench.folder.path().join("other");
    fs::write(&path, &other).unwrap();
    let flash = text(&bench.flash());
    let refused = bench.image(&["flash", "--slot", "a", "--flash", &flash, &text(&path)]);
    assert_eq!(refused, REFUSED);
    let file = File::options().write(true).open(bench.flash()).unwrap();
    file.write_all_at(&other, SLOT_A_AT as u64).unwrap();
    bench.force(|state| state.slot = Slot::A);
    assert_eq!(bench.boots(), (Slot::B, 1, 1, 0, Some(Refusal::Board)));
}

#[test]
fn an_image_does_the_same_from_a_flash_as_without() {
    let bench = Bench::new(RV64);
    assert_eq!(bench.install("a", 1, 1), DONE);
    let run = |mcu| {
        let folder = tempfile::tempdir().unwrap();
        json(include_str!("scenarios/moves.toml"), folder.path(), &mcu)
    };
    assert_eq!(run(flashed(RV64, &bench.flash())), run(mcu(RV64)));
}

fn board_with(flash: &Path) -> QemuMcu {
    QemuMcu::with_flash(QemuBoard::named(RV64).unwrap(), flash.to_owned())
}

#[test]
fn a_flashed_image_has_its_log_and_its_last_lines() {
    let bench = Bench::new(RV64);
    assert_eq!(bench.install("b", 1, 1), DONE);
    let symbols = vec![Symbols::of(godwit_images::image(RV64).unwrap()).unwrap()];
    let log = |mcu| {
        let folder = tempfile::tempdir().unwrap();
        json_and_log(include_str!("scenarios/moves.toml"), folder.path(), &mcu).1
    };
    let flashed = board_with(&bench.flash());
    let lines = log(Mcu::Qemu(flashed.clone().with_symbols_and_log(symbols.clone())));
    assert!(lines.len() > 50, "{}", lines.len());
    assert_eq!(lines, log(logging_mcu(RV64)), "the same as without a flash");
    for (kind, told) in crashes(flashed.with_symbols(symbols)) {
        assert!(told.contains("\n") && told.contains("godwit_engine::"), "{kind}: {told}");
    }
}

#[test]
fn symbols_of_another_image_are_not_used() {
    let bench = Bench::new(RV64);
    assert_eq!(bench.install("a", 1, 1), DONE);
    let other = image_that_logs("trace", Path::new(env!("CARGO_TARGET_TMPDIR")));
    let (flashed, symbols) = (board_with(&bench.flash()), vec![Symbols::of(&other).unwrap()]);
    let folder = tempfile::tempdir().unwrap();
    let mcu = Mcu::Qemu(flashed.clone().with_symbols_and_log(symbols.clone()));
    let (_, lines) = json_and_log(include_str!("scenarios/moves.toml"), folder.path(), &mcu);
    assert_eq!(lines, []);
    for (kind, told) in crashes(flashed.with_symbols(symbols)) {
        assert!(!told.contains('\n'), "{kind}: {told}");
    }
}

/// The losses of a scenario with all kinds of them: what each is called, and what is told.
fn crashes(mcu: QemuMcu) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("scenarios/crashes.toml");
    let scenario = Scenario::parse(Path::new("test.toml"), text, folder.path(), None).unwrap();
    let report = execute_on(&scenario, &Mcu::Qemu(mcu), &mut Silent).unwrap();
    assert!(report.firmware_losses.len() > 3, "{:?}", report.firmware_losses);
    report.firmware_losses.iter().map(|loss| (loss.cause.to_string(), loss.told.clone())).collect()
}

/// The log goes on with the symbols of whatever boots, and says so where there are none.
#[test]
fn the_other_slot_is_flashed_and_started_while_a_vgpu_runs() {
    let bench = Bench::new(RV64);
    assert_eq!(bench.install("a", 1, 1), DONE);
    let mut world = World::new(WorldConfig { seed: 1, costs: Costs::default() });
    let other = image_that_logs("trace", Path::new(env!("CARGO_TARGET_TMPDIR")));
    let built_in = godwit_images::image(RV64).unwrap();
    let symbols = [built_in, &other].map(|elf| Symbols::of(elf).unwrap()).to_vec();
    world.set_mcu(Mcu::Qemu(board_with(&bench.flash()).with_symbols_and_log(symbols)));
    let spec = HostSpec {
        name: "host".into(),
        fb_bytes: 64 << 20,
        bar_bytes: 64 << 20,
        context_bytes: 16 << 20,
        start_ns: 5,
        context_layout: 1,
        engines: Engines::ALL,
        scheduling: Scheduling::DEFAULT,
    };
    let host = world.add_host(spec).unwrap();
    let profile = Profile {
        fb_bytes: 8 << 20,
        bar_bytes: 6 << 20,
        channel_count: 2,
        context_bytes: 32 << 10,
    };
    let vgpu = world
        .add_vgpu(VgpuSpec { name: "v".into(), host, profile, share: Share::DEFAULT })
        .unwrap();
    let source = JobSource::Kernel(godwit_kernels::Job::sha256_chain(3, 4, 2, 40));
    let job = JobSpec { name: "job".into(), vgpu, source, repeat: 1, endless: false };
    world.add_job(job).unwrap();
    while world.job_reports()[0].instructions < 100_000 {
        world.step();
    }
    let booted = |world: &World| world.booted(host).map(|it| (it.slot, it.version));
    assert_eq!(booted(&world), Some((Slot::A.number(), [0, 1, 0])));
    let is_talkative = |world: &mut World| {
        let lines: Vec<_> = world.take_log().into_iter().map(|(_, line)| line).collect();
        assert!(lines.len() > 2 && lines.iter().all(|it| it.kind == Kind::Said), "{lines:?}");
        lines.iter().any(|line| line.level == Level::Trace)
    };
    assert!(!is_talkative(&mut world));
    assert_eq!(bench.install_file("b", &image_file_of(&other, RV64, [0, 2, 0], 2)), DONE);
    world.restart_firmware(host);
    while world.job_reports()[0].instructions < 200_000 {
        world.step();
    }
    assert_eq!(booted(&world), Some((Slot::B.number(), [0, 2, 0])));
    assert!(is_talkative(&mut world), "the one in slot b is another");

    // One that nobody has symbols of.
    let mute = image_that_logs("warn", Path::new(env!("CARGO_TARGET_TMPDIR")));
    assert_eq!(bench.install_file("a", &image_file_of(&mute, RV64, [0, 3, 0], 2)), DONE);
    world.restart_firmware(host);
    assert!(world.run_until_settled(1_000_000_000));
    assert_eq!(booted(&world), Some((Slot::A.number(), [0, 3, 0])));
    let (_, last) = world.take_log().pop().unwrap();
    assert_eq!(last.kind, Kind::Unreadable);
    assert_eq!(world.problems(), [] as [String; 0]);
    assert!(world.job_reports()[0].ok);
}

#[test]
fn a_vgpu_that_a_restarted_firmware_does_not_have_is_told_of() {
    let bench = Bench::new(RV64);
    assert_eq!(bench.install("a", 1, 1), DONE);
    let mut rig = Rig::new(&flashed(RV64, &bench.flash())).unwrap();
    rig.short_work().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let other = image_that_forgets(retained::VERSION + 1, folder);
    assert_eq!(bench.install_file("b", &image_file_of(&other, RV64, [0, 2, 0], 2)), DONE);
    rig.host.restart_firmware();
    rig.pass(100_000);
    let losses = rig.host.card().losses();
    let [(_, loss)] = losses else { panic!("{losses:?}") };
    assert_eq!(loss.cause.name(), "vGPUs lost");
    assert!(loss.to_string().starts_with("the firmware has started without vGPU 1; "), "{loss}");
}

#[test]
fn a_restart_onto_a_slot_of_another_protocol_is_told_and_the_other_slot_goes_on() {
    let bench = Bench::new(RV64);
    assert_eq!(bench.install("a", 1, 1), DONE);
    let mut rig = Rig::new(&flashed(RV64, &bench.flash())).unwrap();
    let mut work = rig.short_work().unwrap();
    let older = PROTOCOL_VERSION - 1;
    let other = image_that_does_not_ask(older, Path::new(env!("CARGO_TARGET_TMPDIR")));
    assert_eq!(bench.install_file("b", &image_file_of(&other, RV64, [0, 2, 0], 2)), DONE);
    rig.host.restart_firmware();
    rig.pass(100_000);
    let why = format!(
        "the firmware speaks version {older} of the mailbox's protocol and this host version \
         {PROTOCOL_VERSION}: the firmware is too old; "
    );
    assert!(rig.host.card().is_lost());
    for (_, loss) in rig.host.card().losses() {
        assert!(loss.to_string().starts_with(&why), "{loss}");
    }
    let losses = rig.host.card().losses().len();
    assert_eq!(bench.install("a", 3, 2), DONE);
    rig.host.restart_firmware();
    work.submit(&mut rig.host).unwrap();
    rig.finish(&work).unwrap();
    assert_eq!(rig.host.card().losses().len(), losses);
}
