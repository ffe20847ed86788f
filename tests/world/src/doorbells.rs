//! No doorbell is lost: a firmware that has settled holds work for each channel that has entries
//! which the device has not done, since a guest rings for all that it submits.

use crate::bars::HostBars;
use crate::host::HostNode;
use crate::vgpu::Home;
use crate::world::World;

impl World {
    /// Looks at the vGPUs of a host whose firmware has settled since guests acted last.
    pub(crate) fn check_doorbells(&mut self, at: usize) {
        let mut lost = Vec::new();
        for vgpu in &self.vgpus {
            let Home::Host(host, gfid) = vgpu.home else { continue };
            if host.0 != at || vgpu.paused || vgpu.in_transfer {
                continue;
            }
            let HostNode { host, name, .. } = &mut self.hosts[at];
            for job in vgpu.jobs.iter().map(|job| &self.jobs[job.0]) {
                let Some(channel) = job.channel().filter(|_| !job.has_ended()) else { continue };
                // An aperture that is being bound again after a restart cannot be read.
                let Ok(pending @ 1..) = channel.pending(&mut HostBars { host, gfid }) else {
                    continue;
                };
                // Firmware on a microcontroller cannot be asked.
                let pump = host.card().pump();
                let holds = pump.and_then(|pump| pump.engine().holds_work(gfid, channel.id()));
                if holds == Some(false) {
                    let (id, vgpu) = (channel.id().raw(), &vgpu.name);
                    lost.push(format!(
                        "{name} has lost a doorbell: channel {id} of {vgpu} has {pending} entries \
                         to do, and the firmware knows of no work"
                    ));
                }
            }
        }
        for what in lost {
            // It stays lost: told once.
            if !self.problems.iter().any(|known| known.ends_with(&what)) {
                self.problem(what);
            }
        }
    }
}
