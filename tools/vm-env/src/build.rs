//! Making the folder.

use crate::recipe::{
    BACKPORTS, COMPILER_PACKAGES, GUEST_PACKAGES, MODULE, QEMU_PACKAGE, Recipe, SUITE, UIO,
};
use crate::steps::Steps;
use crate::{EnvError, apt, qemu};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the module's sources lie while it is built, as the folder's programs see it.
const MODULE_DIR: &str = "/usr/src/godwit";

/// Makes `folder`, which is not there, in another one beside it, which is renamed when it is
/// whole. Nobody else does so at the same time.
pub(crate) fn build(
    folder: &Path,
    recipe: Recipe,
    say: &mut dyn FnMut(&str),
) -> Result<(), EnvError> {
    if !rustix::process::geteuid().is_root() {
        return Err(EnvError::Root);
    }
    if Command::new("debootstrap").arg("--version").output().is_err() {
        return Err(EnvError::Debootstrap);
    }
    let mirrors = apt::mirrors();
    if mirrors.is_empty() {
        return Err(EnvError::NoMirror);
    }
    let half = folder.with_extension("half");
    // Of one who was killed.
    clear(&half)?;
    let made = make(&half, recipe, &mirrors, say);
    if let Err(error) = made {
        // Why it failed matters more than what is left.
        let _ = clear(&half);
        return Err(error);
    }
    fs::rename(&half, folder).map_err(EnvError::io("cannot name", folder))
}

fn make(
    half: &Path,
    recipe: Recipe,
    mirrors: &[String],
    say: &mut dyn FnMut(&str),
) -> Result<(), EnvError> {
    fs::create_dir_all(half).map_err(EnvError::io("cannot make", half))?;
    let root = half.join("root");
    let log = half.join("log");
    let settings = apt::settings();
    let mut maker = Maker { root: &root, steps: Steps::new(log.clone(), say) };
    let mirror = maker.bootstrap(mirrors, &settings)?;
    maker.configure(mirror, &settings)?;
    maker.packages(recipe)?;
    let version = maker.kernel_version()?;
    maker.module(&version)?;
    maker.take_guest(&version, &half.join("guest"))?;
    maker.shrink(&version)?;
    if recipe.with_qemu && !qemu::will_do(|| qemu::of_folder(&root)) {
        let what = "a QEMU that runs, of version 10.1 or later, with `vfio-user-pci`".to_owned();
        let hint = "install such a QEMU on this machine, and it will be used";
        return Err(EnvError::Unfit { what, hint });
    }
    fs::remove_file(&log).map_err(EnvError::io("cannot remove", &log))
}

/// A folder in the making.
struct Maker<'a> {
    root: &'a Path,
    steps: Steps<'a>,
}

impl Maker<'_> {
    /// Unpacks a small Debian from the first mirror that has it.
    fn bootstrap<'m>(
        &mut self,
        mirrors: &'m [String],
        settings: &[String],
    ) -> Result<&'m str, EnvError> {
        let mut last = EnvError::NoMirror;
        for mirror in mirrors {
            let mut command = Command::new("debootstrap");
            command.args(["--variant=minbase", "--force-check-gpg", SUITE]);
            command.arg(self.root).arg(mirror);
            if let Some(proxy) = apt::proxy(settings) {
                command.env("http_proxy", proxy);
            }
            let unpacked = self.steps.run("Unpacking a small Debian", &mut command);
            // It mounts the kernel's folders for a while, and may have been killed meanwhile.
            unmount_below(self.root)?;
            match unpacked {
                Ok(()) => return Ok(mirror),
                Err(error) => last = error,
            }
            clear(self.root)?;
        }
        Err(last)
    }

    /// Tells the folder's apt where its packages are.
    fn configure(&mut self, mirror: &str, settings: &[String]) -> Result<(), EnvError> {
        let suites = [SUITE.to_owned(), format!("{SUITE}-updates"), BACKPORTS.to_owned()];
        let sources: String =
            suites.iter().map(|suite| format!("deb {mirror} {suite} main\n")).collect();
        self.write("etc/apt/sources.list", &sources)?;
        let settings: String = settings.iter().map(|line| format!("{line}\n")).collect();
        self.write("etc/apt/apt.conf.d/90godwit", &settings)?;
        // Nothing that a package brings is to be started.
        let path = self.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")?;
        self.steps.run("Making it start nothing", Command::new("chmod").arg("755").arg(path))?;
        let mut update = self.chroot("apt-get");
        update.args(["update", "--quiet"]);
        self.steps.run("Reading the lists of packages", &mut update)
    }

    /// Installs what is needed to run and to build.
    fn packages(&mut self, recipe: Recipe) -> Result<(), EnvError> {
        let mut guest = self.install(SUITE);
        guest.args(GUEST_PACKAGES).args(COMPILER_PACKAGES);
        self.steps.run("Installing a guest's kernel and a compiler for it", &mut guest)?;
        if !recipe.with_qemu {
            return Ok(());
        }
        // After the kernel, whose tools must not meet newer libraries than they name.
        let mut qemu = self.install(BACKPORTS);
        qemu.arg(QEMU_PACKAGE);
        self.steps.run("Installing QEMU", &mut qemu)
    }

    /// The kernel's version, which its packages put into names.
    fn kernel_version(&self) -> Result<String, EnvError> {
        let modules = self.root.join("usr/lib/modules");
        let unread = EnvError::io("cannot read", &modules);
        let mut versions: Vec<String> = fs::read_dir(&modules)
            .map_err(unread)?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        match (versions.pop(), versions.is_empty()) {
            (Some(version), true) => Ok(version),
            _ => Err(EnvError::Unfit {
                what: "one kernel".to_owned(),
                hint: "correct the recipe of `godwit-vm-env`",
            }),
        }
    }

    /// Builds the guest's module.
    fn module(&mut self, version: &str) -> Result<(), EnvError> {
        let inside = MODULE_DIR.trim_start_matches('/');
        let sources = self.root.join(inside);
        fs::create_dir_all(&sources).map_err(EnvError::io("cannot make", &sources))?;
        for (name, text) in MODULE {
            self.write(&format!("{inside}/{name}"), text)?;
        }
        let mut make = self.chroot("make");
        make.args(["-C", &format!("/usr/lib/modules/{version}/build"), "modules"]);
        make.arg(format!("M={MODULE_DIR}")).arg(format!("KCFLAGS={}", Recipe::module_flags()));
        self.steps.run("Building the guest's module", &mut make)
    }

    /// Puts what a guest is made from into a folder of its own.
    fn take_guest(&mut self, version: &str, guest: &Path) -> Result<(), EnvError> {
        fs::create_dir_all(guest).map_err(EnvError::io("cannot make", guest))?;
        let uio = format!("/usr/lib/modules/{version}/{UIO}");
        let mut unpack = self.chroot("unxz");
        unpack.arg(&uio);
        self.steps.run("Unpacking a module of the kernel", &mut unpack)?;
        let module = format!("{MODULE_DIR}/godwit_uio.ko");
        for (from, name) in [
            (format!("/boot/vmlinuz-{version}").as_str(), "vmlinuz"),
            ("/bin/busybox", "busybox"),
            (uio.trim_end_matches(".xz"), "uio.ko"),
            (&module, "godwit_uio.ko"),
        ] {
            let from = self.root.join(from.trim_start_matches('/'));
            fs::copy(&from, guest.join(name)).map_err(EnvError::io("cannot copy", &from))?;
        }
        Ok(())
    }

    /// Removes what only the making needed.
    fn shrink(&mut self, version: &str) -> Result<(), EnvError> {
        let mut purge = self.chroot("apt-get");
        purge.args(["purge", "--quiet", "--yes", "--auto-remove"]);
        purge.args(GUEST_PACKAGES).args(COMPILER_PACKAGES);
        // Which apt would never remove only because nothing needs them.
        purge.args(["image", "headers"].map(|part| format!("linux-{part}-{version}")));
        self.steps.run("Removing the compiler", &mut purge)?;
        let mut clean = self.chroot("apt-get");
        self.steps.run("Removing files of packages", clean.arg("clean"))?;
        for left in ["var/lib/apt/lists", &MODULE_DIR[1..]] {
            let left = self.root.join(left);
            fs::remove_dir_all(&left).map_err(EnvError::io("cannot remove", &left))?;
        }
        Ok(())
    }

    fn install(&self, suite: &str) -> Command {
        let mut command = self.chroot("apt-get");
        command.args(["install", "--quiet", "--yes", "--no-install-recommends"]);
        command.args(["--target-release", suite]);
        command
    }

    /// A program of the folder's, which sees the folder as its root.
    fn chroot(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.root).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        // The kernel's package would make an initial file system that nobody boots.
        command.env("INITRD", "No");
        command
    }

    fn write(&self, path: &str, text: &str) -> Result<PathBuf, EnvError> {
        let path = self.root.join(path);
        fs::write(&path, text).map_err(EnvError::io("cannot write", &path))?;
        Ok(path)
    }
}

/// Removes a folder, and first what is mounted below it.
fn clear(folder: &Path) -> Result<(), EnvError> {
    unmount_below(folder)?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EnvError::io("cannot remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Unmounts what is mounted below a folder: whoever removed it with that in place would remove
/// what is the system's.
fn unmount_below(folder: &Path) -> Result<(), EnvError> {
    let table = "/proc/self/mountinfo";
    let mounts = fs::read_to_string(table).map_err(EnvError::io("cannot read", table))?;
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    // The last one mounted first.
    for point in mount_points(&mounts, &folder).into_iter().rev() {
        let ended = Command::new("umount").arg(&point).status();
        if !ended.is_ok_and(|status| status.success()) {
            let error = std::io::Error::other("unmount it by hand");
            return Err(EnvError::io("cannot unmount", point)(error));
        }
    }
    Ok(())
}

/// Where something is mounted below a folder, in the order of mounting (`man 5
/// proc_pid_mountinfo`: the fifth field, with spaces and the like as octal numbers).
fn mount_points(mounts: &str, folder: &Path) -> Vec<PathBuf> {
    let point = |line: &str| {
        let field = line.split(' ').nth(4)?;
        let plain = field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
        Some(PathBuf::from(plain))
    };
    mounts.lines().filter_map(point).filter(|point| point.starts_with(folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_folder_are_found_and_no_others() {
        let mounts = "\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 0:5 / /t/a\\040b/root/proc rw - proc proc rw
31 22 0:6 / /t/a\\040b/root/sys rw - sysfs sysfs rw
32 22 0:6 / /t/a\\040bc rw - sysfs sysfs rw
";
        let found = mount_points(mounts, Path::new("/t/a b"));
        assert_eq!(found, ["/t/a b/root/proc", "/t/a b/root/sys"].map(PathBuf::from));
    }

    #[test]
    fn what_is_half_made_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let half = folder.path().join("x.half");
        fs::create_dir_all(half.join("root/proc")).unwrap();
        clear(&half).unwrap();
        assert!(!half.exists());
        clear(&half).unwrap();
    }
}
