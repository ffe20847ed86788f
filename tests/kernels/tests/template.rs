//! The kit's templates build as their README says, and what they build runs.

mod support;

use godwit_kernels::{DATA_BASE, Job};
use godwit_nested::cargo_build;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};
use support::{End, load, run};

/// What kernels are compiled for.
const TARGET: &str = "riscv64imac-unknown-none-elf";

/// Set by `cargo xtask test`: the C template must be built for the GPU, and a missing cross
/// compiler is a failure.
const REQUIRE_CROSS_COMPILER: &str = "GODWIT_REQUIRE_CROSS_COMPILER";

/// How the template's manifest names the kit.
const KIT_IN_MANIFEST: &str = r#"path = "../..""#;

/// A base that is not the default.
const OTHER_BASE: u64 = 0x18_0000;

fn device() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/device")
}

fn kit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kit")
}

/// An empty folder for one test.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the last run's folder goes");
    }
    fs::create_dir_all(&folder).expect("a folder of the test's own");
    folder
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{messages}");
    output
}

/// Runs a build of `scale` and compares with what it is to compute.
fn check_scale(elf: &Path) {
    const FACTOR: u32 = 0x9e37_79b9;
    let words: Vec<u32> = (0..1000).map(|i: u32| i.wrapping_mul(i)).collect();
    let scaled: Vec<u32> = words.iter().map(|word| word.wrapping_mul(FACTOR)).collect();
    let output_at = DATA_BASE + 0x1_0000;
    let args = vec![DATA_BASE, output_at, words.len() as u64, FACTOR.into()];
    check(
        elf,
        Job { args, inputs: vec![(DATA_BASE, bytes_of(&words))], ..job(3, output_at, &scaled) },
    );
}

/// Runs a build of `statics`, linked at 1.5 MiB, and compares likewise.
fn check_statics(elf: &Path) {
    let file = fs::read(elf).expect("the build made it");
    let (entry, segments) = load(&file);
    assert_eq!(entry, OTHER_BASE);
    let zeroed = segments.iter().any(|s| s.size_in_memory > s.bytes.len() as u64);
    assert!(zeroed, "no .bss");
    // Each thread has its neighbour's square and the same two words from statics.
    let expected = [1, 4, 9, 0].map(|square| [square, 104, 4]).concat();
    check(elf, Job { args: vec![DATA_BASE], ..job(1, DATA_BASE, &expected) });
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A job of blocks of four threads, without a kernel, arguments or inputs.
fn job(grid: u32, output_at: u64, expected: &[u32]) -> Job {
    Job {
        name: "a template",
        elf: &[],
        grid,
        block: 4,
        shared_bytes: 64,
        stack_bytes: 1024,
        args: vec![],
        inputs: vec![],
        output: output_at..output_at + 4 * expected.len() as u64,
        expected: bytes_of(expected),
    }
}

fn check(elf: &Path, job: Job) {
    let job = Job { elf: fs::read(elf).expect("the build made it").leak(), ..job };
    let outcome = run(&job, 1_000_000);
    assert_eq!(outcome.end, End::Done);
    assert_eq!(outcome.bytes(job.output.clone()), job.expected);
}

/// Copies the Rust template, as its README says, with another body or not.
fn copy_rust_template(name: &str, body: &Path, extra_build_line: &str) -> PathBuf {
    let copy = scratch(name);
    let template = kit().join("template/rust");
    for folder in ["src", ".cargo"] {
        fs::create_dir(copy.join(folder)).expect("a folder of the copy");
    }
    fs::copy(template.join(".cargo/config.toml"), copy.join(".cargo/config.toml"))
        .expect("the template has a configuration");
    fs::copy(body, copy.join("src/main.rs")).expect("the body is there");
    let manifest = fs::read_to_string(template.join("Cargo.toml")).expect("a manifest");
    let kit = format!("path = {:?}", kit().to_str().expect("a path in UTF-8"));
    assert!(manifest.contains(KIT_IN_MANIFEST));
    fs::write(copy.join("Cargo.toml"), manifest.replace(KIT_IN_MANIFEST, &kit))
        .expect("the copy takes a manifest");
    let script = fs::read_to_string(template.join("build.rs")).expect("a build script");
    let end = script.rfind('}').expect("the end of its main");
    fs::write(copy.join("build.rs"), format!("{}{extra_build_line}\n}}\n", &script[..end]))
        .expect("the copy takes a build script");
    copy
}

/// Builds such a copy; the path of the kernel.
fn build_rust(copy: &Path) -> PathBuf {
    let target_dir = copy.join("target");
    succeed(cargo_build(copy, TARGET, "release", &target_dir).arg("--offline"));
    target_dir.join(TARGET).join("release/scale")
}

#[test]
fn the_rust_template_builds_and_runs_as_a_copy() {
    let body = kit().join("template/rust/src/main.rs");
    check_scale(&build_rust(&copy_rust_template("template-rust", &body, "")));
}

#[test]
fn a_rust_kernel_has_statics_and_any_base() {
    let link = format!("--defsym=gw_kernel_base={OTHER_BASE:#x}");
    let line = format!("println!(\"cargo::rustc-link-arg-bins={link}\");");
    let copy = copy_rust_template("statics-rust", &device().join("statics.rs"), &line);
    check_statics(&build_rust(&copy));
}

#[test]
fn the_c_template_builds_and_runs() {
    let source = kit().join("template/c/scale.c");
    if let Some(elf) = build_c("template-c", &source, &[]) {
        check_scale(&elf);
    }
}

#[test]
fn a_c_kernel_has_statics_and_any_base() {
    let link = format!("-Wl,--defsym=gw_kernel_base={OTHER_BASE:#x}");
    if let Some(elf) = build_c("statics-c", &device().join("statics.c"), &[&link]) {
        check_statics(&elf);
    }
}

/// Builds a kernel in C as the README says; without a cross compiler its
/// syntax is checked, and it is said what is missing.
fn build_c(name: &str, source: &Path, more: &[&str]) -> Option<PathBuf> {
    let Some(mut compiler) = cross_compiler() else {
        let missing = "neither `riscv64-unknown-elf-gcc` nor `clang` for riscv64 is here: install \
                       one (Debian: `apt-get update && apt-get install --no-install-recommends \
                       gcc-riscv64-unknown-elf`)";
        assert!(env::var_os(REQUIRE_CROSS_COMPILER).is_none(), "{missing}");
        // Not through `eprintln!`, which a passing test swallows.
        writeln!(std::io::stderr(), "{name}: only its syntax is checked, since {missing}")
            .expect("standard error is open");
        check_c_syntax(source);
        return None;
    };
    let elf = scratch(name).join("kernel");
    let kit = kit();
    compiler.current_dir(kit.join("template/c")).args(["@flags.txt", "-Werror", "-I"]).arg(&kit);
    compiler.arg("-T").arg(kit.join("kernel.ld")).arg(kit.join("start.S")).arg(source);
    succeed(compiler.args(more).arg("-o").arg(&elf));
    Some(elf)
}

/// A C compiler and linker for the GPU, by the README's names.
fn cross_compiler() -> Option<Command> {
    let answers =
        |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if answers(Command::new("riscv64-unknown-elf-gcc").arg("--version")) {
        return Some(Command::new("riscv64-unknown-elf-gcc"));
    }
    let clang = ["--target=riscv64-unknown-elf", "-fuse-ld=lld"];
    if answers(Command::new("clang").args(clang).args(["-x", "c", "-fsyntax-only", "/dev/null"])) {
        let mut command = Command::new("clang");
        // Rust's own LLD, so that Clang alone is enough.
        command.args(clang).args(rust_lld_folder().map(|folder| format!("-B{}", folder.display())));
        return Some(command);
    }
    None
}

/// Where the Rust toolchain keeps its linker under the name `ld.lld`.
fn rust_lld_folder() -> Option<PathBuf> {
    let output = succeed(Command::new("rustc").args(["--print", "sysroot"]));
    let sysroot = String::from_utf8(output.stdout).expect("a path in UTF-8");
    let targets = fs::read_dir(Path::new(sysroot.trim()).join("lib/rustlib")).ok()?;
    let mut folders = targets.filter_map(|entry| Some(entry.ok()?.path().join("bin/gcc-ld")));
    folders.find(|folder| folder.join("ld.lld").exists())
}

/// What any C compiler can say about the template and the header.
fn check_c_syntax(source: &Path) {
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]);
    succeed(compiler.arg(kit()).arg(source));
}
