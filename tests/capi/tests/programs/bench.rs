//! What the tests compile and run C programs with.

use godwit_capi_tests::Installed;
use godwit_guest::Kernel;
use godwit_kernels::{Job, LAUNCH_BASE};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub(crate) const C: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/c");

/// A row and a column of the matrices, and of a block's tile.
const SIDE: u32 = 32;
const TILE: u32 = 8;

/// What lies where besides the kernel and its data: the ring comes first, and takes less.
const ARGS_AT: u64 = LAUNCH_BASE + (64 << 10);
const SHARED_AT: u64 = LAUNCH_BASE + (128 << 10);
const STACKS_AT: u64 = LAUNCH_BASE + (192 << 10);

/// The library, installed, and a folder for the programs.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) installed: Installed,
}

/// A program that runs under valgrind.
pub(crate) struct Checked {
    child: Child,
    log: PathBuf,
}

impl Checked {
    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, which is a good one; what it has told.
    pub(crate) fn end(self) -> String {
        let output = self.child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{told}\n{errors}\n{log}", output.status);
        assert!(log.contains("ERROR SUMMARY: 0 errors"), "{log}");
        assert!(log.contains("no leaks are possible"), "{log}");
        told
    }
}

/// Runs a program that must be there.
fn run(command: &mut Command, package: &str) -> Output {
    command.output().unwrap_or_else(|error| missing(command, &error, package))
}

fn missing<T>(command: &Command, error: &std::io::Error, package: &str) -> T {
    let program = command.get_program().to_string_lossy();
    panic!("`{program}` cannot be run: {error}; on Debian: `apt-get install {package}`")
}

/// The same, and it must succeed.
pub(crate) fn succeeds(command: &mut Command, package: &str) -> String {
    let output = run(command, package);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{told}\n{errors}", output.status);
    told
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let installed = Installed::new(&folder.path().join("prefix")).unwrap();
        Self { folder, installed }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn flags(&self, how: &[&str]) -> Vec<String> {
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
    pub(crate) fn compile(
        &self,
        name: &str,
        sources: &[&str],
        how: &[&str],
        libraries: &[String],
    ) -> PathBuf {
        let program = self.path(name);
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-O1"]).args(how);
        cc.args(sources.iter().map(|source| Path::new(C).join(source)));
        cc.args(self.flags(&["--cflags"])).args(libraries).arg("-pthread");
        succeeds(cc.arg("-o").arg(&program), "gcc libc6-dev");
        program
    }

    pub(crate) fn shared(&self, name: &str, sources: &[&str]) -> PathBuf {
        self.compile(name, sources, &[], &self.flags(&["--libs"]))
    }

    /// A program as it is run without valgrind.
    pub(crate) fn unchecked(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", self.installed.lib());
        command
    }

    /// Runs a program under valgrind.
    pub(crate) fn checked(&self, program: &Path, arguments: &[&Path]) -> String {
        self.begin(program, arguments).end()
    }

    /// Starts it there.
    pub(crate) fn begin(&self, program: &Path, arguments: &[&Path]) -> Checked {
        let log = self.path("valgrind.log");
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"])
            .args(["--errors-for-leak-kinds=all", "--child-silent-after-fork=yes"])
            .arg(format!("--log-file={}", log.display()))
            .arg(program)
            .args(arguments)
            .env("LD_LIBRARY_PATH", self.installed.lib())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = valgrind.spawn().unwrap_or_else(|error| missing(&valgrind, &error, "valgrind"));
        Checked { child, log }
    }

    pub(crate) fn job(&self) -> PathBuf {
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
