//! `cargo xtask vm`: what virtual machines with a vGPU are made of.

use anyhow::Result;
use clap::Args;
use godwit_vm_env::VmEnv;

use crate::workspace::Workspace;

/// Makes the folder with QEMU and a guest's kernel, unless it is there. Takes root, a Debian mirror
/// in apt's settings, and two minutes.
#[derive(Debug, Args)]
pub(crate) struct Vm {}

impl Vm {
    /// Makes it and says where it is.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<()> {
        let env = VmEnv::make(workspace.target_dir(), &mut |what| println!("{what}"))?;
        println!("{}", env.folder().display());
        Ok(())
    }
}
