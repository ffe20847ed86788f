//! `godwit top` on a terminal, beside a server that runs.

use crate::serving::{PATIENCE, Serving};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};

const ROWS: NonZeroU16 = NonZeroU16::new(24).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(120).unwrap();

/// A terminal with `godwit top` on it.
struct Screen {
    child: Child,
    master: File,
    drawn: Receiver<Vec<u8>>,
    /// What is there to be seen.
    parser: vt100::Parser,
}

impl Screen {
    fn start(folder: &Path) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size =
            Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let slave = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_godwit"))
            .args(["top", "--connect", "unix:ctl"])
            .current_dir(folder)
            .env("TERM", "xterm-256color")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        let (master, (tell, drawn)) = (File::from(master), channel());
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            // The end of all who have it open is an error.
            while let Ok(count @ 1..) = reader.read(&mut part) {
                if tell.send(part[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, master, drawn, parser: vt100::Parser::new(ROWS, COLUMNS, 0) }
    }

    /// Waits until this can be seen.
    fn await_text(&mut self, text: &str) {
        self.await_screen(text, |screen| screen.contents().contains(text));
    }

    fn await_screen(&mut self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        while !is_so(self.parser.screen()) {
            let more = self.drawn.recv_timeout(PATIENCE);
            let shown = || format!("no {what}:\n{}", self.parser.screen().contents());
            let more = more.unwrap_or_else(|_| panic!("{}", shown()));
            self.parser.process(&more);
        }
    }

    /// Waits until the screen is the one that was there before.
    fn await_end(&mut self) {
        self.await_screen("end", |screen| !screen.alternate_screen() && !screen.hide_cursor());
        assert!(self.child.wait().unwrap().success());
        let modes = tcgetattr(&self.master).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_is_shown_and_the_terminal_is_given_back() {
    let serving = Serving::start();
    let mut screen = Screen::start(serving.path());
    screen.await_text("2 hosts, 2 vGPUs");
    screen.await_text("w0");
    assert!(screen.parser.screen().alternate_screen());
    assert!(serving.ctl("create v1 --profile GW256-64Q --host a").status.success());
    screen.await_text("3 vGPUs");
    screen.press("?");
    screen.await_text("another order");
    screen.press("?q");
    screen.await_end();
}

#[test]
fn a_server_that_is_lost_is_told_and_found_again() {
    let mut serving = Serving::start();
    let mut screen = Screen::start(serving.path());
    screen.await_text("2 hosts, 2 vGPUs");
    serving.kill();
    screen.await_text("LOST for");
    serving.start_again();
    screen.await_text("2 hosts, 2 vGPUs");
    let pid = rustix::process::Pid::from_child(&screen.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    screen.await_end();
}
