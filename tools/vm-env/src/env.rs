//! The folder: where it is, and what is in it.

use crate::build::build;
use crate::recipe::Recipe;
use crate::{EnvError, qemu};
use cargo_metadata::MetadataCommand;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a virtual machine is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmEnv {
    folder: PathBuf,
    recipe: Recipe,
}

impl VmEnv {
    /// The one in the folder that cargo builds this workspace in.
    ///
    /// # Errors
    ///
    /// When there is none: [`Self::make`] makes it.
    pub fn find() -> Result<Self, EnvError> {
        Self::find_in(&target_dir()?)
    }

    /// The one below `target_dir`.
    ///
    /// # Errors
    ///
    /// When there is none: [`Self::make`] makes it.
    pub fn find_in(target_dir: &Path) -> Result<Self, EnvError> {
        let env = Self::planned(target_dir)?;
        match env.folder.is_dir() {
            true => Ok(env),
            false => Err(EnvError::Missing { folder: env.folder }),
        }
    }

    /// Makes it below `target_dir`, unless it is there; `say` is told what is done meanwhile. Who
    /// else makes it is waited for.
    ///
    /// # Errors
    ///
    /// What cannot be had, and how to get it. Nothing half made is left where it would be found.
    pub fn make(target_dir: &Path, say: &mut dyn FnMut(&str)) -> Result<Self, EnvError> {
        let env = Self::planned(target_dir)?;
        if env.folder.is_dir() {
            return Ok(env);
        }
        let all = folder_of_all(target_dir);
        fs::create_dir_all(&all).map_err(EnvError::io("cannot make", &all))?;
        let path = all.join("lock");
        let lock = File::create(&path).map_err(EnvError::io("cannot make", &path))?;
        lock.lock().map_err(EnvError::io("cannot lock", &path))?;
        if !env.folder.is_dir() {
            build(&env.folder, env.recipe, say)?;
        }
        Ok(env)
    }

    fn planned(target_dir: &Path) -> Result<Self, EnvError> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err(EnvError::Platform);
        }
        let recipe = Recipe { with_qemu: !qemu::system_will_do() };
        Ok(Self { folder: folder_of_all(target_dir).join(recipe.key()), recipe })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// QEMU for x86-64, 10.1 or later and with `vfio-user-pci`, still without arguments.
    pub fn qemu(&self) -> Command {
        match self.recipe.with_qemu {
            true => qemu::of_folder(&self.folder.join("root")),
            false => qemu::system(),
        }
    }

    /// The guest's kernel, for `-kernel`.
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("guest/vmlinuz")
    }

    /// A static busybox for the guest.
    pub fn busybox(&self) -> PathBuf {
        self.folder.join("guest/busybox")
    }

    /// The kernel's modules that hand the vGPU to a program, in the order to load them in.
    pub fn modules(&self) -> [PathBuf; 2] {
        ["uio.ko", "godwit_uio.ko"].map(|name| self.folder.join("guest").join(name))
    }
}

fn folder_of_all(target_dir: &Path) -> PathBuf {
    target_dir.join("vm")
}

/// Where cargo builds this workspace, as its own settings and the user's have it.
fn target_dir() -> Result<PathBuf, EnvError> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
    Ok(metadata.target_directory.into_std_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = VmEnv::find_in(folder.path()).unwrap_err();
        assert!(matches!(error, EnvError::Missing { .. }));
        assert!(error.to_string().contains("`cargo xtask vm`"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "looking makes nothing");
    }

    #[test]
    fn a_folder_that_is_there_is_found_and_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let planned = VmEnv::planned(folder.path()).unwrap();
        fs::create_dir_all(&planned.folder).unwrap();
        assert_eq!(VmEnv::find_in(folder.path()).unwrap(), planned);
        let mut said = 0;
        assert_eq!(VmEnv::make(folder.path(), &mut |_| said += 1).unwrap(), planned);
        assert_eq!(said, 0);
    }
}
