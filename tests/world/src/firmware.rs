//! What becomes of the hosts' firmware.

use crate::world::{HostId, World};
use godwit_regs::bits::OnCrash;
use godwit_regs::boot::Booted;
use godwit_shim::stream::StreamVersion;
use godwit_shim::{Loss, Mishap, MishapAt};

impl World {
    /// Keeps a host to streams of up to this version, as one of an earlier build is.
    pub fn set_stream_version(&mut self, host: HostId, version: StreamVersion) {
        self.hosts[host.0].host.set_stream_version(version);
    }

    /// Restarts a host's firmware.
    pub fn restart_firmware(&mut self, host: HostId) {
        self.hosts[host.0].host.restart_firmware();
        self.hosts[host.0].restarts += 1;
    }

    /// Makes a host's firmware end, after so many instructions of its next call that has as
    /// many. Firmware in this process ends at once.
    pub fn crash_firmware(&mut self, host: HostId, mishap: Mishap, instructions: u32) {
        self.arrange(host, MishapAt { mishap, call: 0, instructions });
    }

    /// Makes a host's firmware end at a certain call.
    pub fn arrange(&mut self, host: HostId, mishap: MishapAt) {
        let node = &mut self.hosts[host.0];
        node.host.card_mut().arrange(mishap);
        node.restarts += 1;
    }

    /// Cuts a host's power again, while firmware in this process takes over after what was
    /// arranged, when it has written so many words.
    pub fn arrange_takeover(&mut self, host: HostId, words: u32) {
        self.hosts[host.0].host.card_mut().arrange_takeover(words);
    }

    /// Takes back what was arranged, if it has not happened; whether that was so.
    pub fn call_off(&mut self, host: HostId) -> bool {
        let card = self.hosts[host.0].host.card_mut();
        let was = card.is_crash_arranged();
        card.call_off();
        was
    }

    /// Calls of a host to its firmware so far; `None`: it is in this process.
    pub fn calls(&self, host: HostId) -> Option<u32> {
        self.hosts[host.0].host.card().calls()
    }

    /// Replaces a host's firmware by this ELF file.
    ///
    /// # Errors
    ///
    /// Says why when the firmware before is back.
    pub fn update_firmware(&mut self, host: HostId, image: &[u8]) -> Result<(), String> {
        let updated = self.hosts[host.0].host.update_firmware(image);
        updated.map_err(|error| error.to_string())
    }

    /// What a host's engines do when its firmware ends by itself.
    pub fn set_on_crash(&mut self, host: HostId, on_crash: OnCrash) {
        self.hosts[host.0].host.card_mut().set_on_crash(on_crash);
    }

    /// What a host's boot stage has started last, where there is one.
    pub fn booted(&self, host: HostId) -> Option<Booted> {
        self.hosts[host.0].host.card().booted()
    }

    /// Every loss of a firmware: the host, its device's time then, and what was lost how.
    pub fn losses(&self) -> impl Iterator<Item = (HostId, u64, &Loss)> {
        self.hosts.iter().enumerate().flat_map(|(at, node)| {
            let losses = node.host.card().losses().iter();
            losses.map(move |(at_ns, loss)| (HostId(at), *at_ns, loss))
        })
    }

    /// A host whose firmware is gone for good, and how it was lost.
    pub fn lost_host(&self) -> Option<(HostId, &Loss)> {
        let at = self.hosts.iter().position(|node| node.host.card().is_lost())?;
        let (_, loss) = self.hosts[at].host.card().losses().last()?;
        Some((HostId(at), loss))
    }
}
