//! Migrations that fail: what ends, is slow, or is not heard of, and where the machine runs then.

use crate::link::Link;
use crate::pair::{Pair, Quiet};
use crate::vm::Vm;
use anyhow::{Context as _, Result, bail, ensure};
use godwit::vm::{
    Migrate, NotMoved, Progress, Step, VmError, Watch, Whose, migrate, migrate_recorded,
};
use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;

/// What ends at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The machine's QEMU.
    Machine,
    /// The vGPU's server.
    Server,
    /// The links to both.
    Link,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Machine, Self::Server, Self::Link];
}

/// Does something at the beginning of a step.
struct AtStep<'a> {
    step: Step,
    act: &'a mut dyn FnMut(),
}

impl Watch for AtStep<'_> {
    fn step(&mut self, step: Step) {
        if step == self.step {
            (self.act)();
        }
    }

    fn progress(&mut self, _: &Progress) {}
}

impl Pair {
    /// Begins to migrate the machine, and has something end at the destination at the beginning of
    /// a step: the guest goes on at the source.
    ///
    /// # Errors
    ///
    /// When it does not, or it was migrated.
    pub fn migrate_cut(&mut self, step: Step, cut: Cut) -> Result<()> {
        let there = 1 - self.at;
        let mut to = self.start_vm(there, true)?;
        let mut plan = self.plan(&to)?;
        let path = |name: &str| self.folder.path().join(name);
        let memory = Link::new(path("ramlink"), path("ram"), |_| false)?;
        let vgpu = Link::new(path("miglink"), plan.to.vgpu.clone(), |_| false)?;
        plan.incoming_uri = Some(plan.uri.clone());
        plan.uri = format!("unix:{}", memory.path().display());
        plan.to.vgpu = vgpu.path().to_owned();
        let mut journal = self.journal()?;
        let site = &mut self.sites[there];
        let mut act = || match cut {
            Cut::Machine => to.kill(),
            Cut::Server => site.kill(),
            Cut::Link => {
                memory.cut();
                vgpu.cut();
            }
        };
        let result = migrate(&plan, &mut journal, &mut AtStep { step, act: &mut act });
        let failed: Box<NotMoved> = match result {
            Ok(moved) => bail!("it was migrated all the same: {moved:?}"),
            Err(failed) => failed,
        };
        let wanted = if step == Step::Connect { Whose::Untouched } else { Whose::Source };
        ensure!(failed.whose == wanted, "{failed}");
        drop(to);
        if cut == Cut::Server {
            self.sites[there].restart()?;
        }
        self.await_rounds(2).with_context(|| failed.to_string())?;
        Ok(())
    }

    /// Begins to migrate the machine, and takes longer in a step than its guest may stand still: it
    /// goes on at the source.
    ///
    /// # Errors
    ///
    /// When it does not, or it was migrated, or failed for something else.
    pub fn migrate_slowly(&mut self, slow: Step) -> Result<()> {
        let to = self.start_vm(1 - self.at, true)?;
        let most = Duration::from_secs(2);
        let plan = Migrate { max_downtime: Some(most), ..self.plan(&to)? };
        let mut journal = self.journal()?;
        let mut act = || thread::sleep(most);
        match migrate(&plan, &mut journal, &mut AtStep { step: slow, act: &mut act }) {
            Ok(moved) => bail!("it was migrated all the same: {moved:?}"),
            Err(failed) => {
                ensure!(matches!(failed.why, VmError::Downtime { .. }), "{failed}");
                ensure!(failed.whose == Whose::Source, "{failed}");
            }
        }
        drop(to);
        self.await_rounds(2)?;
        Ok(())
    }

    /// Migrates the machine, and cuts all links to the destination so long after it has begun.
    /// Where nobody knows afterwards where it runs, what is seen decides. Returns what has become
    /// of it.
    ///
    /// # Errors
    ///
    /// When it does not run at exactly one site, or something is wrong there.
    pub fn migrate_torn(&mut self, after: Duration) -> Result<String> {
        let to = self.start_vm(1 - self.at, true)?;
        let mut plan = self.plan(&to)?;
        let (ends, path) = (plan.to.clone(), |name: &str| self.folder.path().join(name));
        let links = [
            Link::new(path("tornram"), path("ram"), |_| false)?,
            Link::new(path("tornmig"), ends.vgpu.clone(), |_| false)?,
            Link::new(path("tornqmp"), ends.qmp.clone(), |_| false)?,
        ];
        plan.incoming_uri = Some(plan.uri.clone());
        plan.uri = format!("unix:{}", links[0].path().display());
        plan.to.vgpu = links[1].path().to_owned();
        plan.to.qmp = links[2].path().to_owned();
        let (mut journal, state) = (self.journal()?, self.state());
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(after);
                links.iter().for_each(Link::cut);
            });
            migrate_recorded(&plan, &mut journal, &state, &mut Quiet)
        });
        drop((links, journal));
        let failed = match result {
            Ok(_) => {
                self.arrive(to)?;
                return Ok("it was migrated".to_owned());
            }
            Err(failed) => failed,
        };
        let runs = to.command("query-status").is_ok_and(|said| said.contains("\"running\": true"));
        let what = format!("{:?}: {failed}", failed.step);
        match failed.whose {
            Whose::Untouched | Whose::Source if !runs => {
                drop(to);
                self.await_rounds(2).context(what.clone())?;
            }
            Whose::Unknown => {
                let ways = [(&ends.vgpu, &plan.to.vgpu), (&ends.qmp, &plan.to.qmp)];
                ways.iter().try_for_each(|(to, path)| symlink(to, path))?;
                let whose = if runs { "gone" } else { "run-here" };
                let decided = self.resolve(&["--token", &failed.token, whose])?;
                ways.iter().try_for_each(|(_, path)| fs::remove_file(path))?;
                ensure!(decided.success, "{what}: {decided:?}");
                if runs {
                    self.arrive(to)?;
                } else {
                    drop(to);
                    self.await_rounds(2).context(what.clone())?;
                }
                return Ok(format!("{what}; by decision: {whose}"));
            }
            _ => bail!("{what}; it runs at the destination: {runs}"),
        }
        Ok(what)
    }

    /// Migrates the machine, of whose start at the destination nothing is heard. Returns the
    /// failure and the machine at the source.
    ///
    /// # Errors
    ///
    /// When it is not so.
    pub fn migrate_unheard(&mut self) -> Result<(Box<NotMoved>, Vm)> {
        let to = self.start_vm(1 - self.at, true)?;
        let mut plan = self.plan(&to)?;
        let hears = |bytes: &[u8]| {
            let wanted = b"\"cont\"";
            bytes.windows(wanted.len()).any(|part| part == wanted)
        };
        let qmp = Link::new(self.folder.path().join("qmplink"), plan.to.qmp.clone(), hears)?;
        plan.to.qmp = qmp.path().to_owned();
        let mut journal = self.journal()?;
        let failed = match migrate_recorded(&plan, &mut journal, &self.state(), &mut Quiet) {
            Ok(moved) => bail!("all of it was heard: {moved:?}"),
            Err(failed) => failed,
        };
        let from = self.vm.replace(to).context("there was a machine")?;
        self.at = 1 - self.at;
        Ok((failed, from))
    }

    /// The way to the machine that was migrated unheard is there again.
    ///
    /// # Errors
    ///
    /// When there is no such machine.
    pub fn mend_link(&mut self) -> Result<()> {
        let (to, path) = (self.vm()?.qmp().to_owned(), self.folder.path().join("qmplink"));
        Ok(symlink(to, path)?)
    }
}
