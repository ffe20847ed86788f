//! `godwit image`: what it prints, what it refuses, and its exit status.

use godwit_regs::flash::{SLOT_BYTES, place};
use godwit_slots::{BoardName, DEVELOPMENT_KEY, HEADER_BYTES, Header, SecretKey, Version, seal};
use snapbox::cmd::{Command, cargo_bin};
use snapbox::{IntoData as _, file, str};
use std::fs;
use std::path::Path;

const BOARD: &str = "qemu-virt-rv64";

fn godwit(folder: &Path, args: &[&str]) -> Command {
    let godwit = Command::new(cargo_bin!("godwit")).env("NO_COLOR", "1").env("COLUMNS", "100");
    godwit.current_dir(folder).arg("image").args(args)
}

/// An image file for a board.
fn image(board: &str, minor: u16, security_version: u32, key: &SecretKey) -> Vec<u8> {
    let load = place(board).map_or(0, |place| place.load_from);
    let header = Header {
        board: BoardName::new(board).unwrap(),
        version: Version::new([0, minor, 0]),
        security_version,
        load,
        entry: load,
        length: 0,
        sha256: [0; 32],
    };
    [&seal(header, b"a payload", key)[..], b"a payload"].concat()
}

fn development() -> SecretKey {
    SecretKey::from_text(DEVELOPMENT_KEY).unwrap()
}

#[test]
fn an_image_is_shown_with_who_signed_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| godwit(folder.path(), args).assert();
    fs::write(folder.path().join("i.bin"), image(BOARD, 2, 7, &development())).unwrap();
    run(&["verify", "i.bin"]).code(0).stderr_eq("").stdout_eq(file!["cli/verify.txt"].raw());

    // With a key of one's own.
    let secret = "1".repeat(64);
    let key = SecretKey::from_text(&secret).unwrap();
    fs::write(folder.path().join("own.key"), &secret).unwrap();
    let public = run(&["key", "own.key"]).code(0).get_output().stdout.clone();
    fs::write(folder.path().join("own.pub"), public).unwrap();
    fs::write(folder.path().join("own.bin"), image(BOARD, 2, 7, &key)).unwrap();
    run(&["verify", "own.bin", "--key", "own.pub"]).code(0);
    let wrong = run(&["verify", "own.bin", "--json"]).code(1).get_output().stdout.clone();
    let json: serde_json::Value = serde_json::from_slice(&wrong).unwrap();
    assert_eq!((&json["sound"], &json["development_key"]), (&false.into(), &true.into()));
    assert_eq!(json["problem"]["reason"], "signature");
    assert_eq!(json["header"]["version"], "0.2.0");
    run(&["verify", "own.bin", "--key", "own.bin"]).code(2).stderr_eq(
        str![[r#"
error: own.bin: it is no text

"#]]
        .raw(),
    );
}

#[test]
fn what_is_no_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = image(BOARD, 2, 7, &development());
    let reason = |bytes: &[u8]| {
        fs::write(folder.path().join("i.bin"), bytes).unwrap();
        let run = godwit(folder.path(), &["verify", "i.bin", "--json"]).assert().code(1);
        let json: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
        json["problem"]["reason"].as_str().unwrap().to_owned()
    };
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        reason(&bytes)
    };
    assert_eq!(reason(b""), "truncated");
    assert_eq!(reason(&whole[..HEADER_BYTES + 1]), "truncated");
    assert_eq!(reason(&[&whole[..], b"!"].concat()), "too-long");
    assert_eq!(reason(&[b'!'; 500]), "magic");
    let names = [(8, "format"), (12, "header"), (61, "signature"), (130, "signature")];
    for (at, name) in names.into_iter().chain([(HEADER_BYTES, "hash")]) {
        assert_eq!(flipped(at), name, "byte {at}");
    }
    assert_eq!(reason(&image("no-such-board", 1, 1, &development())), "board");
    fs::write(folder.path().join("i.bin"), vec![0; 2 * SLOT_BYTES + 1]).unwrap();
    godwit(folder.path(), &["verify", "i.bin"]).assert().code(2).stderr_eq(
        str![[r#"
error: i.bin: is longer than 2 MiB

"#]]
        .raw(),
    );
}

#[test]
fn a_flash_file_is_written_only_with_what_it_boots() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| godwit(folder.path(), args).assert();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("1.bin", &image(BOARD, 1, 1, &development()));
    write("2.bin", &image(BOARD, 2, 2, &development()));
    write("arm.bin", &image("mps2-an386", 1, 1, &development()));
    write("bad.bin", &image(BOARD, 1, 1, &development())[..200]);

    // No file is made for what is refused.
    let none = run(&["flash", "--slot", "a", "--flash", "flash", "arm.bin"]);
    none.code(1).stderr_eq(
        str![[r#"
error: mps2-an386 has no flash with slots: qemu-virt-rv64, qemu-virt-rv32 are allowed

"#]]
        .raw(),
    );
    run(&["flash", "--slot", "a", "--flash", "flash", "bad.bin"]).code(1);
    run(&["flash", "--slot", "c", "--flash", "flash", "1.bin"]).code(2);
    run(&["flash", "--slot", "a", "--flash", "none/flash", "1.bin"]).code(2);
    run(&["show", "flash"]).code(2);
    run(&["show", "1.bin"]).code(2).stderr_eq(
        str![[r#"
error: 1.bin: it is no flash file, which has 33554432 bytes

"#]]
        .raw(),
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);

    run(&["flash", "--slot", "a", "--flash", "flash", "1.bin"]).code(0);
    let only = run(&["flash", "--slot", "a", "--flash", "flash", "2.bin"]).code(1);
    only.stderr_eq(
        "error: slot a holds the only image that boots, and an interruption would leave none: \
         slot b is allowed\n"
            .raw(),
    );
    run(&["flash", "--slot", "b", "--flash", "flash", "2.bin"]).code(0);
    run(&["confirm", "flash"]).code(0);
    run(&["show", "flash"]).code(0).stdout_eq(file!["cli/show.txt"].raw());
    run(&["flash", "--slot", "a", "--flash", "flash", "1.bin"]).code(1);
}

#[test]
fn symbols_of_another_image_are_refused_by_name_and_none_at_all_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("i.bin", &image(BOARD, 2, 7, &development()));
    write("other.elf", godwit_images::image(BOARD).unwrap());
    write("no.elf", b"no ELF file");
    let flash = ["flash", "--slot", "b", "--flash", "flash", "i.bin"];
    godwit(folder.path(), &flash).assert().code(0);
    let demo = |args: &[&str]| {
        let demo = Command::new(cargo_bin!("godwit")).env("NO_COLOR", "1").env("PATH", "");
        demo.current_dir(folder.path()).args(["demo", "--mcu", "qemu"]).args(args).assert()
    };
    demo(&["--flash", "flash", "--log", "--symbols", "other.elf"]).code(2).stderr_eq(str![[r#"
error: other.elf: these are the symbols of another image than are in the slots of flash: name [..]

"#]]);
    demo(&["--flash", "flash", "--symbols", "no.elf"]).code(2).stderr_eq(
        str![[r#"
error: no.elf is no image: it is no whole ELF file: Could not read file magic

"#]]
        .raw(),
    );
    demo(&["--symbols", "other.elf"]).code(2);
    // Whoever opens a pipe waits for its other end.
    let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    assert!(pipe.unwrap().success());
    for name in ["pipe", "i.bin", "."] {
        let why = format!("error: {name} is no flash file, which has 33554432 bytes\n");
        demo(&["--flash", name]).code(2).stderr_eq(why.raw());
        let why = format!("error: {name}: it is no flash file, which has 33554432 bytes\n");
        godwit(folder.path(), &["show", name]).assert().code(2).stderr_eq(why.raw());
    }
    // The run goes on, as far as it can without a QEMU.
    demo(&["--flash", "flash", "--log"]).code(1).stderr_eq(str![[r#"
warning: the log of the image in slot b of flash (0.2.0) is not read, since [..] with --symbols
error: [..]`qemu-system-riscv64` is not there[..]

"#]]);
}
