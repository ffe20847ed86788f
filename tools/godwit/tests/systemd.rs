//! `godwit serve` as a service: the unit, its configuration and its user as systemd sees them, and
//! what the server tells it.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const UNIT: &str = include_str!("../systemd/godwit.service");
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/serve.toml");
const USER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/godwit.conf");
const GODWIT: &str = env!("CARGO_BIN_EXE_godwit");

/// The most that the unit may be exposed, in tenths, as `systemd-analyze security` counts; a unit
/// that is kept from nothing has 96.
const EXPOSURE_MAX: &str = "15";
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program of systemd's, which must be there.
fn systemd(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|error| {
        panic!("`{program}` cannot be run: {error}; on Debian: `apt-get install systemd`")
    })
}

fn text(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The unit in a folder, with the program that was built, since what it starts must be there.
fn unit(folder: &Path) -> String {
    let path = folder.join("godwit.service");
    fs::write(&path, UNIT.replace("/usr/bin/godwit", GODWIT)).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn systemd_finds_no_mistake_in_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    let checked = systemd("systemd-analyze", &["verify", "--man=no", &unit]);
    assert!(checked.status.success(), "{}", text(&checked));
    // What it does not know it ignores, and says so.
    assert_eq!(text(&checked), "");
}

#[test]
fn the_unit_is_kept_from_what_it_does_not_need() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let args = ["security", "--offline=true", "--no-pager", &threshold, &unit];
    let checked = systemd("systemd-analyze", &args);
    assert!(checked.status.success(), "{}", text(&checked));
}

#[test]
fn the_units_user_can_be_made() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let root = format!("--root={}", root.path().display());
    let made = systemd("systemd-sysusers", &["--dry-run", &root, USER]);
    assert!(made.status.success(), "{}", text(&made));
    assert!(text(&made).contains("'godwit'"), "{}", text(&made));
    assert!(UNIT.contains("\nUser=godwit\n"));
}

#[test]
fn the_example_is_served_as_it_is_with_the_sockets_in_the_units_folder() {
    let printed =
        Command::new(GODWIT).args(["serve", "--config", CONFIG, "--libvirt", "v0"]).output();
    let printed = printed.unwrap();
    assert!(printed.status.success(), "{}", text(&printed));
    assert!(text(&printed).contains("/run/godwit/v0.sock"), "{}", text(&printed));
    assert!(UNIT.contains("\nRuntimeDirectory=godwit\nRuntimeDirectoryMode=0700\n"));
}

/// A server with a manager, which this is. It ends with this.
struct Service {
    folder: tempfile::TempDir,
    manager: UnixDatagram,
    child: Child,
}

impl Service {
    fn start(watchdog: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let config = fs::read_to_string(CONFIG).unwrap();
        // The unit's RuntimeDirectory and StateDirectory, which are not there.
        let config = [("/run/godwit", "sockets"), ("/var/lib/godwit", "states")].into_iter().fold(
            config,
            |config, (of_unit, name)| {
                assert!(config.contains(&format!("\"{of_unit}\"")), "{of_unit} is not used");
                config.replace(of_unit, &path(name).to_string_lossy())
            },
        );
        fs::write(path("serve.toml"), config).unwrap();
        let manager = UnixDatagram::bind(path("notify")).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(GODWIT)
            .args(["serve", "--config"])
            .arg(path("serve.toml"))
            .env("NOTIFY_SOCKET", path("notify"))
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string())
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, manager, child }
    }

    /// The next that the server tells.
    fn told(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.manager.recv(&mut bytes).expect("the server tells its manager nothing");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        let path = self.folder.path().join(path);
        fs::metadata(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).mode() & 0o777
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_manager_hears_when_the_server_is_ready_is_alive_and_ends() {
    let watchdog = Duration::from_secs(2);
    let mut service = Service::start(watchdog);
    assert_eq!(service.told(), "READY=1\nSTATUS=vGPUs served: 2\n");
    // Who waited for that may connect at once.
    assert_eq!(service.mode("sockets"), 0o700);
    for socket in ["ctl", "v0.sock", "v0.mig", "v1.sock", "v1.mig"] {
        assert_eq!(service.mode(&format!("sockets/{socket}")), 0o600, "{socket}");
    }
    let ready = Instant::now();
    for _ in 0..3 {
        assert_eq!(service.told(), "WATCHDOG=1\n");
    }
    // Sooner than a watchdog would bite three times, and not all the time.
    let took = ready.elapsed();
    assert!(took >= watchdog / 2, "told after {took:?}");
    kill_process(Pid::from_child(&service.child), Signal::TERM).unwrap();
    let mut told = service.told();
    while told == "WATCHDOG=1\n" {
        told = service.told();
    }
    assert_eq!(told, "STOPPING=1\n");
    assert!(service.child.wait().unwrap().success());
}
