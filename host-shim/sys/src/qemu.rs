//! QEMU as a child: a microcontroller whose RAM is a memory file of ours, and a line to it.

use crate::MemFile;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What to boot.
#[derive(Clone, Copy, Debug)]
pub struct QemuConfig<'a> {
    /// The program.
    pub program: &'a str,
    /// The Debian package that has it.
    pub package: &'a str,
    /// The machine; its main memory becomes the file.
    pub machine: &'a str,
    /// Its main memory.
    pub ram: &'a MemFile,
    /// What it starts with.
    pub start: QemuStart<'a>,
    /// Where to listen for a debugger: see [`Debugger`](crate::Debugger).
    pub debugger: Option<&'a Path>,
}

/// What a machine starts with.
#[derive(Clone, Copy, Debug)]
pub enum QemuStart<'a> {
    /// An ELF file, which QEMU loads itself.
    Kernel(&'a ImageFile),
    /// A file that is its first flash, which it cannot write to.
    Flash(&'a Path),
}

impl QemuStart<'_> {
    /// Several machines may have one flash file: it is opened to be read.
    fn args(&self) -> [OsString; 2] {
        match self {
            Self::Kernel(image) => ["-kernel".into(), image.path.clone().into()],
            Self::Flash(path) => {
                let drive = "if=pflash,unit=0,format=raw,readonly=on,file=";
                ["-drive".into(), with_path(drive, path)]
            }
        }
    }
}

/// An option that ends with a path: a comma in it is written twice.
fn with_path(option: &str, path: &Path) -> OsString {
    let mut option = OsString::from(option);
    for (at, part) in path.as_os_str().as_bytes().split(|b| *b == b',').enumerate() {
        option.push(if at == 0 { "" } else { ",," });
        option.push(OsStr::from_bytes(part));
    }
    option
}

/// Where to listen for a debugger, as QEMU is told.
fn debugger_arg(socket: &Path) -> Result<OsString, QemuError> {
    let bytes = socket.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        return Err(QemuError::SocketPath { path: socket.to_owned(), bytes });
    }
    let mut option = with_path("unix:", socket);
    option.push(",server=on,wait=off");
    Ok(option)
}

/// Longest path of a UNIX socket: Linux has 108 bytes for it, of which one ends it (`man 7 unix`).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// What went wrong with QEMU.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// It is not installed.
    #[error(
        "`{program}` is not there: install QEMU (Debian: \
         `apt-get install --no-install-recommends {package}`)"
    )]
    Missing {
        /// The program.
        program: String,
        /// The package that has it.
        package: String,
    },
    /// It cannot be started.
    #[error("`{program}` cannot be started: {error}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// The debugger's socket cannot have this name.
    #[error(
        "the debugger's socket would be {path:?}, whose path has {bytes} bytes; a socket's has up \
         to {SOCKET_PATH_BYTES_MAX}: let TMPDIR name a folder with a shorter path"
    )]
    SocketPath {
        /// Its path.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
    /// It has ended by itself.
    #[error("QEMU has ended, {status}, and said: {said}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// What it wrote to its standard error.
        said: String,
    },
    /// The line to it is broken.
    #[error("the line to QEMU is broken: {0}")]
    Line(#[from] io::Error),
}

/// An ELF file that QEMU can open.
#[derive(Debug)]
pub struct ImageFile {
    path: PathBuf,
    /// Keeps the path alive where it is a file without a name.
    _file: Option<File>,
}

impl ImageFile {
    /// The file at a path.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        File::open(&path)?;
        Ok(Self { path, _file: None })
    }

    /// A file that holds these bytes.
    ///
    /// # Errors
    ///
    /// When the system gives no memory file.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create("godwit-image", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        Ok(Self { path: path_of(&file), _file: Some(file) })
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        std::fs::read(&self.path)
    }
}

/// A path by which a process of the same user opens a file of this one.
pub(crate) fn path_of(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// A running QEMU; it is killed when this is dropped.
///
/// The machine's first serial port is the line. A byte on it says nothing but that there is
/// something to see in the shared memory.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    line: UnixStream,
    /// What QEMU says, to tell when it ends.
    said: File,
}

impl Qemu {
    /// Boots a machine. Its instructions are counted: each takes a nanosecond of its clock.
    ///
    /// # Errors
    ///
    /// When QEMU is missing or cannot be started.
    pub fn start(config: &QemuConfig<'_>) -> Result<Self, QemuError> {
        let (line, theirs) = UnixStream::pair()?;
        let said =
            File::from(memfd_create("godwit-qemu", MemfdFlags::CLOEXEC).map_err(io::Error::from)?);
        let bytes = config.ram.len();
        let ram = config.ram.path();
        let mut command = Command::new(config.program);
        command
            .args(["-no-user-config", "-nodefaults", "-display", "none", "-icount", "shift=0"])
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=ram,size={bytes},mem-path={},share=on",
                ram.display()
            ))
            .args(["-machine", &format!("{},memory-backend=ram", config.machine)])
            .args(["-m", &format!("{bytes}B"), "-bios", "none"])
            .args(["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"])
            .args(config.start.args())
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::from(said.try_clone()?));
        if let Some(socket) = config.debugger {
            command.arg("-gdb").arg(debugger_arg(socket)?);
        }
        die_with_parent(&mut command);
        let child = command.spawn().map_err(|error| start_error(config, error))?;
        Ok(Self { child, line, said })
    }

    /// Sends a byte over the line.
    ///
    /// # Errors
    ///
    /// When QEMU has ended.
    pub fn ring(&mut self) -> Result<(), QemuError> {
        match self.line.write_all(b"!") {
            Ok(()) => Ok(()),
            Err(error) => Err(self.end(error)),
        }
    }

    /// Waits until bytes come over the line, and takes them; `false` when none came in time.
    ///
    /// # Errors
    ///
    /// When QEMU has ended.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, QemuError> {
        self.line.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        match self.line.read(&mut [0; 64]) {
            Ok(0) => Err(self.end(ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
                _ => Err(self.end(error)),
            },
        }
    }

    /// What QEMU has written to its standard error.
    pub fn said(&mut self) -> String {
        let mut bytes = Vec::new();
        // What cannot be read cannot be told; the error that it would explain still is.
        let _ = self.said.seek(SeekFrom::Start(0)).and_then(|_| self.said.read_to_end(&mut bytes));
        match String::from_utf8_lossy(&bytes).trim() {
            "" => "nothing".to_owned(),
            said => said.to_owned(),
        }
    }

    /// Why the line broke: QEMU's end, where it has ended.
    fn end(&mut self, error: io::Error) -> QemuError {
        match self.child.wait() {
            Ok(status) => QemuError::Ended { status, said: self.said() },
            Err(_) => QemuError::Line(error),
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and is waited for all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets a child be killed when the thread that starts it ends, however that ends: nobody else
/// would end a machine that sleeps.
pub fn die_with_parent(command: &mut Command) {
    let prepare = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec this makes one system call, and takes neither locks nor
    // memory.
    unsafe { command.pre_exec(prepare) };
}

fn start_error(config: &QemuConfig<'_>, error: io::Error) -> QemuError {
    let program = config.program.to_owned();
    match error.kind() {
        ErrorKind::NotFound => QemuError::Missing { program, package: config.package.to_owned() },
        _ => QemuError::Start { program, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn start(program: &str) -> Result<Qemu, QemuError> {
        let ram = MemFile::new("test", 1 << 20).unwrap();
        let image = ImageFile::from_bytes(b"no ELF file").unwrap();
        let machine = "none";
        Qemu::start(&QemuConfig {
            program,
            package: "a-package",
            machine,
            ram: &ram,
            start: QemuStart::Kernel(&image),
            debugger: None,
        })
    }

    #[test]
    fn a_flash_file_is_named_so_that_qemu_understands() {
        let [option, drive] = QemuStart::Flash(Path::new("a,b/c,,d")).args();
        assert_eq!(option, "-drive");
        let expected = "if=pflash,unit=0,format=raw,readonly=on,file=a,,b/c,,,,d";
        assert_eq!(drive, expected);
    }

    #[test]
    fn a_debuggers_socket_is_named_so_that_qemu_understands_or_is_refused() {
        let option = debugger_arg(Path::new("/a,b/socket")).unwrap();
        assert_eq!(option, "unix:/a,,b/socket,server=on,wait=off");
        let path = PathBuf::from(format!("/{}", "x".repeat(SOCKET_PATH_BYTES_MAX - 1)));
        // As the system has it.
        let bound = |path: &Path| UnixListener::bind(path).unwrap_err().kind();
        assert!(debugger_arg(&path).is_ok());
        assert_ne!(bound(&path.join("socket")), bound(Path::new("/no-such-folder/socket")));
        let error = debugger_arg(&path.join("socket")).unwrap_err().to_string();
        assert!(error.contains("whose path has 114 bytes; a socket's has up to 107"), "{error}");
    }

    #[test]
    fn a_missing_program_is_told_with_its_package() {
        let error = start("no-such-qemu").unwrap_err().to_string();
        assert!(error.contains("`no-such-qemu`") && error.contains("a-package"), "{error}");
    }

    #[test]
    fn the_end_of_the_child_is_told_with_what_it_said() {
        // Any program that does not know QEMU's options.
        let mut child = start("cat").unwrap();
        let error = child.wait(Duration::from_secs(10)).unwrap_err();
        let QemuError::Ended { status, said } = error else { panic!("{error}") };
        assert!(!status.success() && said.starts_with("cat: "), "{said}");
    }
}
