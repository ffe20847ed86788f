//! The C programs: compiled with all warnings against what is installed, and run under valgrind,
//! where no error is and no byte is lost.

#![forbid(unsafe_code)]

// The library is built because it is a dependency.
use godwit_capi as _;
use godwit_capi_tests::Installed;
use godwit_guest::Kernel;
use godwit_kernels::{Job, LAUNCH_BASE};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const C: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/c");
const HEADER: &str = include_str!("../../../host-shim/capi/include/godwit.h");

/// A row and a column of the matrices, and of a block's tile.
const SIDE: u32 = 32;
const TILE: u32 = 8;

/// What lies where besides the kernel and its data: the ring comes first, and takes less.
const ARGS_AT: u64 = LAUNCH_BASE + (64 << 10);
const SHARED_AT: u64 = LAUNCH_BASE + (128 << 10);
const STACKS_AT: u64 = LAUNCH_BASE + (192 << 10);

/// The library, installed, and a folder for the programs.
struct Bench {
    folder: tempfile::TempDir,
    installed: Installed,
}

/// Runs a program that must be there.
fn run(command: &mut Command, package: &str) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|error| {
        panic!("`{program}` cannot be run: {error}; on Debian: `apt-get install {package}`")
    })
}

/// The same, and it must succeed.
fn succeeds(command: &mut Command, package: &str) -> String {
    let output = run(command, package);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{told}\n{errors}", output.status);
    told
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let installed = Installed::new(&folder.path().join("prefix")).unwrap();
        Self { folder, installed }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn flags(&self, how: &[&str]) -> Vec<String> {
        let told = succeeds(
            Command::new("pkg-config")
                .args(how)
                .arg("godwit")
                .env("PKG_CONFIG_PATH", self.installed.lib().join("pkgconfig")),
            "pkg-config",
        );
        told.split_whitespace().map(str::to_owned).collect()
    }

    /// Compiles a program of these files.
    fn compile(&self, name: &str, sources: &[&str], how: &[&str], libraries: &[String]) -> PathBuf {
        let program = self.path(name);
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-O1"]).args(how);
        cc.args(sources.iter().map(|source| Path::new(C).join(source)));
        cc.args(self.flags(&["--cflags"])).args(libraries).arg("-pthread");
        succeeds(cc.arg("-o").arg(&program), "gcc libc6-dev");
        program
    }

    fn shared(&self, name: &str, sources: &[&str]) -> PathBuf {
        self.compile(name, sources, &[], &self.flags(&["--libs"]))
    }

    /// Runs a program under valgrind.
    fn checked(&self, program: &Path, arguments: &[&Path]) -> String {
        let log = self.path("valgrind.log");
        let output = run(
            Command::new("valgrind")
                .args(["--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"])
                .args(["--errors-for-leak-kinds=all", "--child-silent-after-fork=yes"])
                .arg(format!("--log-file={}", log.display()))
                .arg(program)
                .args(arguments)
                .env("LD_LIBRARY_PATH", self.installed.lib()),
            "valgrind",
        );
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{told}\n{errors}\n{log}", output.status);
        assert!(log.contains("ERROR SUMMARY: 0 errors"), "{log}");
        assert!(log.contains("no leaks are possible"), "{log}");
        told
    }

    fn job(&self) -> PathBuf {
        let path = self.path("job");
        std::fs::write(&path, job_file(&Job::matmul(1, SIDE, TILE))).unwrap();
        path
    }
}

/// A job as the C programs read it: numbers of 64 bits, and bytes.
fn job_file(job: &Job) -> Vec<u8> {
    let kernel = Kernel::parse(job.elf).unwrap();
    let mut parts = job.inputs.clone();
    for segment in kernel.segments() {
        let mut bytes = segment.bytes.clone();
        bytes.resize((segment.range.end - segment.range.start) as usize, 0);
        parts.push((segment.range.start, bytes));
    }
    parts.push((ARGS_AT, job.args.iter().flat_map(|word| word.to_le_bytes()).collect()));
    let mut file = Vec::new();
    let number = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    number(&mut file, parts.len() as u64);
    for (at, bytes) in parts {
        number(&mut file, at);
        number(&mut file, bytes.len() as u64);
        file.extend(bytes);
    }
    for value in [kernel.entry(), ARGS_AT, STACKS_AT, SHARED_AT] {
        number(&mut file, value);
    }
    for value in [job.grid, job.block, job.stack_bytes, job.shared_bytes] {
        number(&mut file, value.into());
    }
    number(&mut file, job.output.start);
    number(&mut file, job.expected.len() as u64);
    file.extend(&job.expected);
    file
}

const DRIVER: [&str; 2] = ["driver.c", "guest.c"];
const WRONG: [&str; 3] = ["wrong.c", "wrong_handles.c", "wrong_vgpu.c"];

#[test]
fn the_driver_moves_a_vgpu_without_an_error_or_a_leak() {
    let bench = Bench::new();
    let program = bench.shared("driver", &DRIVER);
    let told = bench.checked(&program, &[&bench.job(), &bench.path("driver.state")]);
    for step in ["round 4", "the vGPU runs", "both results are right", "done at"] {
        assert!(told.contains(step), "{step} is missing:\n{told}");
    }
}

#[test]
fn the_static_library_does_the_same() {
    let bench = Bench::new();
    let mut libraries = bench.flags(&["--libs", "--static"]);
    for library in &mut libraries {
        if library == "-lgodwit" {
            *library = "-l:libgodwit.a".to_owned();
        }
    }
    let program = bench.compile("driver", &DRIVER, &[], &libraries);
    let told =
        succeeds(Command::new(&program).arg(bench.job()).arg(bench.path("driver.state")), "libc6");
    assert!(told.contains("done at"), "{told}");
}

#[test]
fn every_wrong_argument_is_an_error_and_no_more() {
    let bench = Bench::new();
    let program = bench.shared("wrong", &WRONG);
    let told = bench.checked(&program, &[bench.folder.path()]);
    assert!(told.ends_with(" 0 failures\n"), "{told}");
}

#[test]
fn every_function_is_called_with_wrong_arguments() {
    let sources: String = WRONG
        .iter()
        .chain(&["wrong.h"])
        .map(|name| std::fs::read_to_string(Path::new(C).join(name)).unwrap())
        .collect();
    let names = HEADER
        .lines()
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("godwit_"));
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(sources.contains(&format!("{name}(")), "{name} is not called");
    }
}

#[test]
fn the_shared_library_shows_its_functions_with_a_version_and_nothing_else() {
    let bench = Bench::new();
    let library = bench.installed.lib().join("libgodwit.so");
    let dynamic = succeeds(Command::new("readelf").arg("-dW").arg(&library), "binutils");
    assert!(dynamic.contains("Library soname: [libgodwit.so.0]"), "{dynamic}");
    let symbols = succeeds(
        Command::new("nm").args(["-D", "--defined-only", "--with-symbol-versions"]).arg(&library),
        "binutils",
    );
    for line in symbols.lines() {
        let name = line.rsplit(' ').next().unwrap_or_default();
        let is_own = name.starts_with("godwit_") && name.ends_with("@@GODWIT_0");
        assert!(is_own || name.starts_with("GODWIT_0"), "{line}");
    }
}
