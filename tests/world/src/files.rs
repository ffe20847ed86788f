//! Files of partitions. Whoever has mapped one keeps seeing it, so each is one vGPU's, once: when
//! it is released it holds zeros for good, and nobody is given it again.

use crate::world::{HostId, VgpuId, World};
use godwit_sys::MemFile;
use godwit_types::Gfid;
use std::io;

/// Files that are kept: the latest ones, and all that are somebody's. A process may have so many
/// open only.
const FILES_MAX: usize = 64;

/// The file of a partition, kept as a virtual machine monitor keeps it that has it mapped.
#[derive(Debug)]
pub(crate) struct PartitionFile {
    vgpu: VgpuId,
    at: (HostId, Gfid),
    file: MemFile,
    inode: u64,
}

impl World {
    /// Takes note of the file of a partition that a vGPU was given.
    pub(crate) fn keep_file(&mut self, vgpu: VgpuId, host: HostId, gfid: Gfid) {
        let Some(inode) = self.partition_inode(host, gfid) else { return };
        if let Some(kept) = self.files.iter().find(|kept| kept.inode == inode) {
            if (kept.vgpu, kept.at) != (vgpu, (host, gfid)) {
                let [whose, before] = [vgpu, kept.vgpu].map(|id| self.vgpu_name(id).to_owned());
                let host = self.host_name(host);
                self.problem(format!("{host}: {whose} has the file that {before} had"));
            }
            return;
        }
        let partition = self.hosts[host.0].host.card().gpu().partition(gfid);
        match partition.map(|partition| partition.file().try_clone()) {
            Some(Ok(file)) => {
                let released = self.files.iter().position(|kept| self.is_released(kept));
                if let Some(oldest) = released.filter(|_| self.files.len() >= FILES_MAX) {
                    self.files.remove(oldest);
                }
                self.files.push(PartitionFile { vgpu, at: (host, gfid), file, inode });
            }
            Some(Err(error)) => self.problem(format!("the file of a partition: {error}")),
            None => {}
        }
    }

    fn partition_inode(&self, host: HostId, gfid: Gfid) -> Option<u64> {
        self.hosts[host.0].host.card().gpu().partition(gfid)?.file().inode().ok()
    }

    fn is_released(&self, kept: &PartitionFile) -> bool {
        let (host, gfid) = kept.at;
        self.partition_inode(host, gfid) != Some(kept.inode)
    }

    /// What is found in files of partitions that are nobody's any more.
    pub(crate) fn released_files(&self) -> Vec<String> {
        let released = self.files.iter().filter(|kept| self.is_released(kept));
        let told = |kept: &PartitionFile| {
            let what = match first_byte(&kept.file) {
                Ok(None) => return None,
                Ok(Some(at)) => format!("holds data at {at:#x}"),
                Err(error) => format!("cannot be read: {error}"),
            };
            let (host, vgpu) = (self.host_name(kept.at.0), self.vgpu_name(kept.vgpu));
            Some(format!("{host}: the file that {vgpu} had {what}"))
        };
        released.filter_map(told).collect()
    }
}

/// The first byte that is not zero.
fn first_byte(file: &MemFile) -> io::Result<Option<u64>> {
    let mut found = None;
    file.for_each_data(&mut |at, bytes| {
        let first = bytes.iter().position(|byte| *byte != 0);
        found = found.or(first.map(|place| at + place as u64));
    })?;
    Ok(found)
}
