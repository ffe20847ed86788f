//! Every mistake that a scenario can have is named, with its place and what is allowed.
//!
//! A case is an edit to `base.toml`; what it prints is in the `.txt` files. With
//! `SNAPSHOTS=overwrite` in the environment, a run writes those files anew.

mod transfers;

use godwit::Scenario;
use snapbox::{Data, assert_data_eq};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const BASE: &str = include_str!("base.toml");

/// A folder with the files that the base scenario names, and some that are no good.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let elf = godwit_kernels::SHA256_CHAIN;
    write("own.elf", elf);
    write("in.bin", &[1; 100]);
    write("short.bin", &[1; 31]);
    write("text.elf", b"#!/bin/sh\n");
    write("cut.elf", &elf[..300]);
    let changed = |name: &str, at: usize, byte: u8| {
        let mut elf = elf.to_vec();
        elf[at] = byte;
        write(name, &elf);
    };
    changed("class32.elf", 4, 1);
    changed("dynamic.elf", 16, 3);
    changed("x86.elf", 18, 62);
    changed("double.elf", 48, 5);
    write("cut.state.partial", b"half of it");
    fs::create_dir(folder.path().join("sub")).unwrap();
    std::os::unix::fs::symlink("two.state", folder.path().join("link")).unwrap();
    fs::File::create(folder.path().join("long.elf")).unwrap().set_len((16 << 20) + 1).unwrap();
    folder
}

/// The base with edits, each of which must change something.
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

/// One mistake, or several at once: what it is called, and edits.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)]);

fn check(area: &str, cases: &[Case<'_>]) {
    let folder = folder();
    let mut transcript = String::new();
    for (name, edits) in cases {
        let text = edited(edits);
        let parsed = Scenario::parse(Path::new("base.toml"), &text, folder.path(), None);
        let error = parsed.err().unwrap_or_else(|| panic!("{area}: {name}: no mistake is found"));
        writeln!(transcript, "== {name}\n\n{error}\n").unwrap();
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/mistakes/{area}.txt"));
    assert_data_eq!(transcript.trim_end().to_owned() + "\n", Data::read_from(&file, None).raw());
}

#[test]
fn the_base_has_no_mistake() {
    let folder = folder();
    if let Err(error) = Scenario::parse(Path::new("base.toml"), BASE, folder.path(), None) {
        panic!("{error}");
    }
}

#[test]
fn toml() {
    check(
        "toml",
        &[
            ("an unclosed header", &[("[[vgpu]]", "[[vgpu]")]),
            ("an unclosed string", &[("\"alpha\"", "\"alpha")]),
            ("an unclosed table", &[("threads = 64 }", "threads = 64")]),
            ("a line that is no pair", &[("seed = 7", "seed")]),
            ("a key twice", &[("seed = 7", "seed = 7\nseed = 8")]),
            ("an unknown key", &[("seed = 7", "sed = 7")]),
            ("an unknown key of a host", &[("framebuffer", "frame_buffer")]),
            ("an unknown key within a line", &[("kind = \"live\"", "knd = \"live\"")]),
            ("a string for a number", &[("seed = 7", "seed = \"7\"")]),
            ("a negative number", &[("seed = 7", "seed = -7")]),
            ("a number that is too large", &[("seed = 7", "seed = 18446744073709551616")]),
            ("a fraction", &[("threads = 8", "threads = 8.5")]),
            ("a number for a name", &[("name = \"alpha\"", "name = 1")]),
            (
                "a table for a list",
                &[("[{ file = \"in.bin\", at = \"4 MiB\" }]", "{ file = \"in.bin\" }")],
            ),
            ("a list for a table", &[("{ framebuffer = \"16 MiB\" }", "[\"16 MiB\"]")]),
            ("a list for a size", &[("\"64 MiB\"", "[64]")]),
            ("a date", &[("seed = 7", "seed = 2026-01-01")]),
            ("a value after a character of two bytes", &[("seed = 7", "\"é\" = 1")]),
        ],
    );
}

#[test]
fn values() {
    check(
        "values",
        &[
            ("a size in decimal units", &[("\"64 MiB\"", "\"64 MB\"")]),
            ("a size with a fraction", &[("\"64 MiB\"", "\"1.5 GiB\"")]),
            ("a size that overflows", &[("\"64 MiB\"", "\"99999999999999 TiB\"")]),
            ("a negative size", &[("\"64 MiB\"", "-1")]),
            ("a time without a unit", &[("\"1 ms\"", "\"1\"")]),
            ("a time in another unit", &[("\"1 ms\"", "\"1 min\"")]),
            ("a digest that is too short", &[("6e340b", "6e34")]),
            ("a digest with another letter", &[("6e340b", "6e340g")]),
            ("an unknown word", &[("\"live\"", "\"lively\"")]),
            ("a scale that is no fraction", &[("seed = 7", "costs_scale = \"0.1\"")]),
            ("a scale by zero", &[("seed = 7", "costs_scale = \"1/0\"")]),
            ("an unknown cost", &[("[[host]]", "[costs]\nlink_bytes = 3\n\n[[host]]")]),
            ("a cost of nothing", &[("[[host]]", "[costs]\nlink_byte_ps = 0\n\n[[host]]")]),
            ("no time at all", &[("\"10 s\"", "0")]),
            ("too much time", &[("\"10 s\"", "\"3601 s\"")]),
        ],
    );
}

#[test]
fn hosts() {
    let more = |n| format!("[[host]]\nname = \"x{n}\"\nframebuffer = 4096\n\n");
    let hosts = (0..7).map(more).collect::<String>() + "[[host]]\nname";
    check(
        "hosts",
        &[
            ("no name", &[("name = \"alpha\"\n", "")]),
            ("an unknown policy", &[("framebuffer", "policy = \"fair\"\nframebuffer")]),
            ("a slice that is too short", &[("framebuffer", "slice = \"999 us\"\nframebuffer")]),
            ("a slice that is too long", &[("framebuffer", "slice = \"31 ms\"\nframebuffer")]),
            ("no averaging", &[("framebuffer", "averaging = 0\nframebuffer")]),
            ("an empty name", &[("name = \"beta\"", "name = \"\"")]),
            ("a name with a space", &[("name = \"beta\"", "name = \"be ta\"")]),
            ("a name twice", &[("name = \"beta\"", "name = \"alpha\"")]),
            ("no framebuffer", &[("framebuffer = \"64 MiB\"\n", "")]),
            ("a framebuffer of nothing", &[("\"64 MiB\"", "0")]),
            ("a framebuffer of half pages", &[("\"64 MiB\"", "\"67110912 B\"")]),
            ("a framebuffer beyond all", &[("\"64 MiB\"", "\"2 TiB\"")]),
            ("another firmware", &[("\"64 MiB\"", "\"64 MiB\"\nfirmware = \"qemu\"")]),
            ("a timer from nowhere", &[("\"3 s\"", "\"2 h\"")]),
            ("too many hosts", &[("[[host]]\nname", &hosts)]),
            ("nothing at all", &[(BASE, "")]),
        ],
    );
}

#[test]
fn vgpus() {
    let fb = "framebuffer = \"16 MiB\"";
    check(
        "vgpus",
        &[
            ("an unknown host", &[("host = \"alpha\"", "host = \"gamma\"")]),
            ("no host", &[("host = \"alpha\"\n", "")]),
            ("no profile", &[("profile = { framebuffer = \"16 MiB\" }\n", "")]),
            ("no framebuffer", &[("{ framebuffer = \"16 MiB\" }", "{}")]),
            (
                "a framebuffer of half pages",
                &[("{ framebuffer = \"16 MiB\" }", "{ framebuffer = 6144 }")],
            ),
            ("an aperture over the framebuffer", &[("\"8 MiB\"", "\"32 MiB\"")]),
            ("no channels", &[("channels = 4", "channels = 0")]),
            ("more channels than a device has", &[("channels = 4", "channels = 2049")]),
            ("more threads than a context holds", &[("threads = 64", "threads = 70000")]),
            ("a share of nothing", &[("name = \"two\"", "name = \"two\"\nshare = \"0 %\"")]),
            ("a share that is none", &[("name = \"two\"", "name = \"two\"\nshare = 25")]),
            ("a share of too much", &[("name = \"two\"", "name = \"two\"\nshare = \"100.01 %\"")]),
            (
                "a cap below the share",
                &[("name = \"two\"", "name = \"two\"\nshare = \"12.5 %\"\ncap = \"10 %\"")],
            ),
            ("a weight of nothing", &[("name = \"two\"", "name = \"two\"\nweight = 0")]),
            ("a name twice", &[("name = \"two\"", "name = \"one\"")]),
            ("too much framebuffer on a host", &[(fb, "framebuffer = \"56 MiB\"")]),
            (
                "too many channels on a host",
                &[(
                    "{ framebuffer = \"16 MiB\" }",
                    "{ framebuffer = \"16 MiB\", channels = 2045, threads = 1 }",
                )],
            ),
            ("too little BAR", &[("\"64 MiB\"", "\"64 MiB\"\nbar = \"20 MiB\"")]),
            (
                "too little context memory",
                &[("\"64 MiB\"", "\"64 MiB\"\ncontext_memory = \"512 KiB\"")],
            ),
        ],
    );
}

#[test]
fn kernels() {
    let kernel = "kernel = \"sha256_chain\"\nthreads = 8\nblock = 4\niterations = 2";
    check(
        "kernels",
        &[
            ("an unknown kernel", &[("\"sha256_chain\"", "\"sha512_chain\"")]),
            ("neither kernel nor file", &[("kernel = \"sha256_chain\"\n", "")]),
            ("both", &[("kernel =", "elf = \"own.elf\"\nkernel =")]),
            ("a list and a kernel", &[("kernel =", "copies = \"framebuffer\"\nkernel =")]),
            (
                "a list without rounds, with threads",
                &[("kernel = \"sha256_chain\"", "copies = \"guest-memory\"")],
            ),
            (
                "a list by way of nothing",
                &[("kernel = \"sha256_chain\"", "copies = \"host-memory\"\nrounds = 1")],
            ),
            ("an unknown vGPU", &[("vgpu = \"one\"", "vgpu = \"three\"")]),
            ("no vGPU", &[("vgpu = \"one\"\n", "")]),
            ("a name twice", &[("name = \"own\"", "name = \"hash\"")]),
            ("a size that is missing", &[("iterations = 2\n", "")]),
            ("a size of another kernel", &[("iterations = 2", "iterations = 2\nn = 8")]),
            ("no threads", &[("threads = 8", "threads = 0")]),
            ("blocks that are not full", &[("block = 4\niter", "block = 3\niter")]),
            (
                "blocks over the profile",
                &[("threads = 8\nblock = 4", "threads = 128\nblock = 128")],
            ),
            ("days of work", &[("iterations = 2", "iterations = 900000000")]),
            ("tiles that do not fill", &[(kernel, "kernel = \"matmul\"\nn = 10\ntile = 4")]),
            ("tiles over the profile", &[(kernel, "kernel = \"matmul\"\nn = 32\ntile = 16")]),
            (
                "no input",
                &[(
                    kernel,
                    "kernel = \"histogram\"\nbytes = 0\nthreads = 4\nblock = 4\nrounds = 1",
                )],
            ),
            (
                "an input over the aperture",
                &[(
                    kernel,
                    "kernel = \"histogram\"\nbytes = \"6 MiB\"\nthreads = 4\nblock = 4\nrounds = 1",
                )],
            ),
            ("a spinner with a seed", &[(kernel, "kernel = \"spinner\"\nthreads = 4\nseed = 3")]),
        ],
    );
}

#[test]
fn programs() {
    let output = "output = { at = \"5 MiB\", bytes = 32 }";
    let sha256 = "sha256 = \"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d\"";
    let inputs = "[{ file = \"in.bin\", at = \"4 MiB\" }]";
    check(
        "programs",
        &[
            ("no such file", &[("\"own.elf\"", "\"none.elf\"")]),
            ("a folder", &[("\"own.elf\"", "\".\"")]),
            ("a file that is too long", &[("\"own.elf\"", "\"long.elf\"")]),
            ("no ELF file", &[("\"own.elf\"", "\"text.elf\"")]),
            ("a file that is cut", &[("\"own.elf\"", "\"cut.elf\"")]),
            ("of 32 bits", &[("\"own.elf\"", "\"class32.elf\"")]),
            ("for x86-64", &[("\"own.elf\"", "\"x86.elf\"")]),
            ("not static", &[("\"own.elf\"", "\"dynamic.elf\"")]),
            ("with floating point", &[("\"own.elf\"", "\"double.elf\"")]),
            (
                "outside the partition",
                &[("{ framebuffer = \"16 MiB\" }", "{ framebuffer = \"1 MiB\" }")],
            ),
            ("a block over the profile", &[("block = 4\nargs", "block = 1000\nargs")]),
            ("an empty grid", &[("block = 4\nargs", "grid = 0\nargs")]),
            ("a stack that is not aligned", &[("args = [1, 2]", "stack_bytes = 100")]),
            ("stacks over the arena", &[("args = [1, 2]", "stack_bytes = \"1 MiB\"")]),
            (
                "an arena outside",
                &[("args = [1, 2]", "arena = { at = \"15 MiB\", bytes = \"2 MiB\" }")],
            ),
            (
                "an arena over the program",
                &[("args = [1, 2]", "arena = { at = \"1 MiB\", bytes = \"1 MiB\" }")],
            ),
            ("an argument that is no number", &[("[1, 2]", "[1, \"b\"]")]),
            ("too many arguments", &[("[1, 2]", &format!("[{}]", "1, ".repeat(65)))]),
            ("an input that is not there", &[("\"in.bin\"", "\"none.bin\"")]),
            ("an input without a file", &[("file = \"in.bin\", ", "")]),
            ("an input without a place", &[(", at = \"4 MiB\" }]", " }]")]),
            ("an input outside", &[("at = \"4 MiB\" }]", "at = \"16777215 B\" }]")]),
            ("an input over the program", &[("at = \"4 MiB\" }]", "at = \"1 MiB\" }]")]),
            (
                "two inputs in one place",
                &[(
                    inputs,
                    "[{ file = \"in.bin\", at = 4194304 }, { file = \"in.bin\", at = 4194400 }]",
                )],
            ),
            ("no output", &[(output, "")]),
            ("an output of nothing", &[("bytes = 32", "bytes = 0")]),
            ("an output outside", &[("at = \"5 MiB\"", "at = \"16 MiB\"")]),
            ("an output past all", &[("at = \"5 MiB\"", "at = 18446744073709551615")]),
            ("nothing expected", &[(sha256, "")]),
            ("two things expected", &[(sha256, &format!("{sha256}, file = \"in.bin\""))]),
            ("other bytes than the output's", &[(sha256, "file = \"short.bin\"")]),
            ("a size of a kernel", &[("args = [1, 2]", "iterations = 3")]),
        ],
    );
}

#[test]
fn events() {
    let after = "after = { job = \"own\", instructions = 100 }";
    let suspend = "suspend = { vgpu = \"two\", file = \"two.state\" }";
    let resume = "resume = { file = \"two.state\", host = \"beta\" }";
    let fault = "fault = { host = \"alpha\", kind = \"copy-slow\", factor = 3 }";
    check(
        "events",
        &[
            ("a schedule of no host", &[(fault, "schedule = { policy = \"equal-share\" }")]),
            ("a share of an unknown vGPU", &[(fault, "share = { vgpu = \"three\", weight = 2 }")]),
            ("a weight of too much", &[(fault, "share = { vgpu = \"one\", weight = 101 }")]),
            (
                "a change that is to be refused",
                &[(fault, "share = { vgpu = \"one\", weight = 2 }\nexpect = \"refused\"")],
            ),
            ("no trigger", &[(after, "")]),
            ("two triggers", &[(after, &format!("at = 3\n{after}"))]),
            ("a job that does not exist", &[("job = \"own\"", "job = \"other\"")]),
            ("a trigger without a count", &[(", instructions = 100", "")]),
            ("a trigger at once", &[("instructions = 100", "instructions = 0")]),
            ("no action", &[(suspend, "")]),
            (
                "two actions",
                &[(suspend, &format!("{suspend}\nrestart_firmware = {{ host = \"beta\" }}"))],
            ),
            ("a move of no one", &[("move = { vgpu = \"one\", ", "move = { ")]),
            (
                "a move of an unknown vGPU",
                &[("move = { vgpu = \"one\"", "move = { vgpu = \"three\"")],
            ),
            ("a move to an unknown host", &[("to = \"beta\"", "to = \"gamma\"")]),
            ("a move to the same host", &[("to = \"beta\"", "to = \"alpha\"")]),
            (
                "a move to where it went before",
                &[(resume, "move = { vgpu = \"one\", to = \"beta\" }")],
            ),
            ("a move to a host that is too small", &[("\"64 MiB\"\ntimer", "\"8 MiB\"\ntimer")]),
            (
                "a move of what is suspended",
                &[(resume, "move = { vgpu = \"two\", to = \"beta\" }")],
            ),
            ("no time to stop", &[("preempt = \"instruction\"", "timeout = 0")]),
            ("an unknown boundary", &[("\"instruction\"", "\"block\"")]),
            (
                "a resume of another file",
                &[("file = \"two.state\", host", "file = \"one.state\", host")],
            ),
            ("a resume of another vGPU", &[("resume = {", "resume = { vgpu = \"one\",")]),
            ("a resume nowhere", &[("\"two.state\", host = \"beta\"", "\"two.state\"")]),
            ("a fault of an unknown kind", &[("\"copy-slow\"", "\"copy-fast\"")]),
            ("a fault without its factor", &[(", factor = 3", "")]),
            ("a fault with a factor too many", &[("\"copy-slow\"", "\"copy-error\"")]),
            ("a fault without its engine", &[("\"copy-slow\", factor = 3", "\"ack-lost\"")]),
            ("a fault without its delay", &[("\"copy-slow\", factor = 3", "\"bar-stuck\"")]),
            ("a fault that cannot fail", &[(fault, &format!("{fault}\nexpect = \"failed\""))]),
            ("a fault that is refused", &[(fault, &format!("{fault}\nexpect = \"refused\""))]),
            (
                "a restart that fails",
                &[(fault, "restart_firmware = { host = \"beta\" }\nexpect = \"failed\"")],
            ),
            (
                "a suspend that meets nothing",
                &[(suspend, &format!("{suspend}\nexpect = \"unmet\""))],
            ),
            ("an event later than ever", &[("at = \"1 ms\"", "at = \"4000 s\"")]),
        ],
    );
}

#[test]
fn several() {
    check(
        "several",
        &[(
            "each with its own place, in the order of the file",
            &[
                ("\"64 MiB\"", "\"3 MiB\""),
                ("host = \"alpha\"", "host = \"gamma\""),
                ("threads = 8\n", "threads = 0\n"),
                ("to = \"beta\"", "to = \"delta\""),
            ],
        )],
    );
}

#[test]
fn files() {
    let folder = folder();
    let load = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let error = Scenario::load(&path, None).err().unwrap().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        load("none.toml", None),
        "none.toml: the file cannot be read: No such file or directory (os error 2); allowed: a \
         TOML file of up to 1 MiB"
    );
    assert_eq!(
        load("long.toml", Some(&vec![b'#'; (1 << 20) + 1])),
        "long.toml: the file is longer than 1 MiB; allowed: a TOML file of up to 1 MiB"
    );
    let latin = load("latin.toml", Some(b"seed = 7\nname = \"\xe9\"\n"));
    let expected = "latin.toml:2:9: a byte that is no UTF-8; allowed: text in UTF-8\n";
    assert!(latin.starts_with(expected), "{latin}");
}
