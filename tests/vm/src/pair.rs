//! Two sites, and a machine that goes from one to the other.

use crate::command::{Ran, run};
use crate::site::{Place, Site};
use crate::vm::{BOOT, Mode, Round, Vm, VmOptions};
use anyhow::{Context as _, Result, ensure};
use godwit::vm::{Migrate, Moved, Progress, Sockets, Step, Watch, migrate};
use godwit_shim::Journal;
use godwit_vm_env::VmEnv;
use rustix::process::Signal;
use std::ffi::{OsStr, OsString};
use std::fs::{self, create_dir};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long a round may take: some are made in a second.
const ROUND: Duration = Duration::from_secs(60);
/// Work of a round.
const KERNELS: u64 = 3;
const COPIES: u64 = 4;

/// Is told of a migration, and tells nobody.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Watch for Quiet {
    fn step(&mut self, _: Step) {}

    fn progress(&mut self, _: &Progress) {}
}

/// See the module.
#[derive(Debug)]
pub struct Pair {
    pub(crate) program: PathBuf,
    pub(crate) env: VmEnv,
    pub(crate) folder: TempDir,
    pub(crate) sites: [Site; 2],
    /// Where the machine is.
    pub(crate) at: usize,
    pub(crate) vm: Option<Vm>,
    /// One that was to take it in, and has not.
    pub(crate) there: Option<Vm>,
    /// Machines that were started.
    pub(crate) count: u32,
    /// The last round that was told of.
    pub(crate) last: u64,
    pub(crate) mode: Mode,
    pub(crate) is_unusual: bool,
}

impl Pair {
    /// Two sites, and a machine at the first whose guest has done some rounds. `program`: godwit.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub fn start(program: &Path) -> Result<Self> {
        let mut pair = Self::without_machine(program, Mode::Jobs)?;
        pair.boot()?;
        Ok(pair)
    }

    /// The same with a machine that does not share its memory, and whose vGPU is behind a bridge.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub fn unusual(program: &Path) -> Result<Self> {
        let mut pair = Self::without_machine(program, Mode::Jobs)?;
        pair.is_unusual = true;
        pair.boot()?;
        Ok(pair)
    }

    /// The same with a machine that has no vGPU, and whose guest does the same but for that, each
    /// round in so many milliseconds.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub fn without_device(program: &Path, round_ms: u64) -> Result<Self> {
        let mut pair = Self::without_machine(program, Mode::Work(round_ms))?;
        pair.boot()?;
        Ok(pair)
    }

    fn without_machine(program: &Path, mode: Mode) -> Result<Self> {
        let env = VmEnv::find()?;
        let folder = tempfile::Builder::new().prefix("gw").tempdir()?;
        let site = |name: &str, place| {
            let path = folder.path().join(name);
            create_dir(&path)?;
            Site::start(program, &path, place)
        };
        let sites = [site("a", Place::Front)?, site("b", Place::Behind)?];
        let (at, vm, count, last) = (0, None, 0, 0);
        let is_unusual = false;
        let program = program.to_owned();
        Ok(Self { program, env, folder, sites, at, vm, count, last, mode, is_unusual, there: None })
    }

    fn boot(&mut self) -> Result<()> {
        let mut vm = self.start_vm(self.at, false)?;
        let ready = |line: &str| line.contains("ready: ").then_some(());
        vm.await_line(BOOT, ready).with_context(|| self.sites[self.at].said())?;
        self.vm = Some(vm);
        self.await_rounds(3)?;
        Ok(())
    }

    pub(crate) fn start_vm(&mut self, site: usize, incoming: bool) -> Result<Vm> {
        // It has the site's vGPU.
        self.there = None;
        self.count += 1;
        let options = VmOptions {
            name: format!("m{}", self.count),
            folder: self.folder.path().to_owned(),
            device: (self.mode == Mode::Jobs).then(|| self.sites[site].device()),
            incoming,
            mode: self.mode,
            is_unusual: self.is_unusual,
        };
        Vm::start(&self.env, &options)
    }

    /// The machine.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn vm(&mut self) -> Result<&mut Vm> {
        self.vm.as_mut().context("there is a machine")
    }

    /// The site that it is at.
    pub fn site(&self) -> &Site {
        &self.sites[self.at]
    }

    /// The folder of the journal.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn journal(&self) -> Result<Journal> {
        fs::create_dir_all(self.state())?;
        Ok(Journal::open(&self.state().join("journal"))?)
    }

    /// Waits for so many rounds more, each right and after the last.
    ///
    /// # Errors
    ///
    /// When they do not come, or something is wrong.
    pub fn await_rounds(&mut self, count: u32) -> Result<Round> {
        let mut found = Round::default();
        for _ in 0..count {
            let (last, said) = (self.last, self.sites[self.at].said());
            found = self.vm()?.await_round(ROUND).with_context(|| said)?;
            ensure!(found.round > last, "round {} comes after {last}", found.round);
            let round = found.round;
            let wanted = (KERNELS * round, COPIES * round, COPIES * round);
            let counted = (found.kernels, found.copies, found.completions);
            ensure!(counted == wanted, "{found:?}, where {wanted:?} are due");
            self.last = round;
        }
        Ok(found)
    }

    fn sockets(&self, vm: &Vm, site: usize) -> Sockets {
        Sockets { qmp: vm.qmp().to_owned(), vgpu: self.sites[site].migration() }
    }

    pub(crate) fn plan(&mut self, to: &Vm) -> Result<Migrate> {
        let from = self.vm.as_ref().context("there is a machine")?;
        Ok(Migrate {
            from: self.sockets(from, self.at),
            to: self.sockets(to, 1 - self.at),
            uri: format!("unix:{}", self.folder.path().join("ram").display()),
            incoming_uri: None,
            max_downtime: None,
        })
    }

    /// Migrates the machine to the other site, where its guest goes on.
    ///
    /// # Errors
    ///
    /// When it is not migrated, or something is wrong afterwards.
    pub fn migrate(&mut self) -> Result<Moved> {
        let to = self.start_vm(1 - self.at, true)?;
        let plan = self.plan(&to)?;
        let mut journal = self.journal()?;
        let moved = migrate(&plan, &mut journal, &mut Quiet);
        let moved = moved.map_err(|error| {
            let said = [self.sites[0].said(), self.sites[1].said()].join("\n");
            anyhow::anyhow!("{error}\n{}\n{said}", to.said())
        })?;
        self.arrive(to)?;
        Ok(moved)
    }

    /// Migrates the machine without a vGPU by QEMU alone, with its own limit of the pause or with
    /// ours. Returns how long it stood still, in milliseconds.
    ///
    /// # Errors
    ///
    /// When it is not migrated, or something is wrong afterwards.
    pub fn migrate_plainly(&mut self, is_short: bool) -> Result<f64> {
        let to = self.start_vm(1 - self.at, true)?;
        let from = self.vm.as_ref().context("there is a machine")?;
        let uri = format!("unix:{}", self.folder.path().join("ram").display());
        let paused = godwit::vm::migrate_plainly(from.qmp(), to.qmp(), &uri, is_short)?;
        self.arrive(to)?;
        Ok(paused.as_secs_f64() * 1e3)
    }

    /// The machine has come to the other site.
    pub(crate) fn arrive(&mut self, to: Vm) -> Result<()> {
        let mut from = self.vm.replace(to).context("there was a machine")?;
        self.at = 1 - self.at;
        from.await_end(ROUND)?;
        // What it said last there counts, too.
        if let Some(round) = from.last_round()? {
            self.last = self.last.max(round.round);
        }
        self.await_rounds(2)?;
        Ok(())
    }

    /// Migrates the machine by command, which is sent a signal so long after it says something, if
    /// that is given. Where it was migrated, its guest goes on at the other site.
    ///
    /// # Errors
    ///
    /// When something is wrong afterwards.
    pub fn migrate_by_command(&mut self, signal: Option<(&str, Duration, Signal)>) -> Result<Ran> {
        let to = self.start_vm(1 - self.at, true)?;
        let plan = self.plan(&to)?;
        let state = self.state();
        fs::create_dir_all(&state)?;
        let mut args = vec![OsString::from("vm-migrate"), "--json".into()];
        for (name, path) in [
            ("--from-qmp", &plan.from.qmp),
            ("--from-vgpu", &plan.from.vgpu),
            ("--to-qmp", &plan.to.qmp),
            ("--to-vgpu", &plan.to.vgpu),
            ("--state", &state),
        ] {
            args.extend([name.into(), path.into()]);
        }
        args.extend(["--uri".into(), plan.uri.into()]);
        let ran = run(&self.program, &args, signal)?;
        if ran.success {
            self.arrive(to)?;
        } else {
            self.there = Some(to);
        }
        Ok(ran)
    }

    /// Has somebody decide about a migration, or lists them.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub fn resolve(&self, more: &[&str]) -> Result<Ran> {
        let state = self.state();
        let mut args = vec![OsStr::new("resolve"), state.as_os_str()];
        args.extend(more.iter().map(OsStr::new));
        run(&self.program, &args, None)
    }

    /// Suspends the machine to a folder by command.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub fn suspend(&mut self) -> Result<Ran> {
        let from = self.sockets(self.vm.as_ref().context("there is a machine")?, self.at);
        let folder = self.folder.path().join("suspended");
        self.by_command("vm-suspend", &folder, &from)
    }

    fn by_command(&self, what: &str, folder: &Path, sockets: &Sockets) -> Result<Ran> {
        let mut args = vec![OsStr::new(what), "--json".as_ref(), folder.as_os_str()];
        args.extend([OsStr::new("--qmp"), sockets.qmp.as_os_str()]);
        args.extend([OsStr::new("--vgpu"), sockets.vgpu.as_os_str()]);
        run(&self.program, &args, None)
    }

    /// Suspends the machine to a folder, restarts both servers, and resumes it at the other site.
    ///
    /// # Errors
    ///
    /// When something of it is wrong.
    pub fn suspend_and_resume(&mut self) -> Result<()> {
        let suspended = self.suspend()?;
        ensure!(suspended.success, "{suspended:?}\n{}", self.sites[self.at].said());
        suspended.json()?;
        let mut vm = self.vm.take().context("there is a machine")?;
        vm.await_end(ROUND)?;
        if let Some(round) = vm.last_round()? {
            self.last = self.last.max(round.round);
        }
        drop(vm);
        for site in &mut self.sites {
            site.restart()?;
        }
        self.at = 1 - self.at;
        let vm = self.start_vm(self.at, true)?;
        let (folder, to) = (self.folder.path().join("suspended"), self.sockets(&vm, self.at));
        let resumed = self.by_command("vm-resume", &folder, &to)?;
        ensure!(resumed.success, "{resumed:?}\n{}\n{}", vm.said(), self.sites[self.at].said());
        let again = self.by_command("vm-resume", &folder, &to)?;
        let is_refused = !again.success && again.said.contains("would run twice");
        ensure!(is_refused, "a machine is resumed twice: {again:?}");
        self.vm = Some(vm);
        fs::remove_dir_all(&folder)?;
        self.await_rounds(2)?;
        Ok(())
    }
}
