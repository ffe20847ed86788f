//! A card with its vGPUs, as calls have it.

use crate::boundary::guarded;
use crate::failure::Failure;
use crate::types::{
    Event, GODWIT_EVENT_ABUSE, GODWIT_EVENT_FIRMWARE_LOST, GODWIT_EVENT_NOTE, Vgpu,
};
use godwit_shim::vfio::{MigrationDevice, MigrationState};
use godwit_shim::{AttachedMcu, Host, Mcu};
use godwit_sim_gpu::{GpuConfig, Stop};
use godwit_types::{Gfid, Profile, Share};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_char;

/// Events that wait to be taken; of more the oldest are dropped.
const EVENTS_MAX: usize = 1024;
/// Where nothing is known to happen on a card, somebody looks again after so long.
const IDLE_STEP_NS: u64 = 100_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) host: Host,
    pub(crate) vgpus: BTreeMap<u64, MigrationDevice>,
    events: VecDeque<Event>,
    /// Losses of the firmware that were told.
    losses: usize,
    /// A call has panicked: nothing is as it should be.
    is_broken: bool,
}

impl Machine {
    /// Powers a card on, whose firmware is in this process or behind a window.
    pub(crate) fn new(config: GpuConfig, window: Option<AttachedMcu>) -> Result<Self, Failure> {
        let host = Host::new(config, &window.map_or(Mcu::Native, Mcu::Attached))?;
        let (vgpus, events) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { host, vgpus, events, losses: 0, is_broken: false })
    }

    /// Does something that may have a bug.
    pub(crate) fn attempt<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.is_broken {
            return Err(Failure::broken("a call before has panicked; close the device"));
        }
        let result = guarded(|| {
            // What is told of a vGPU is not of the next one in its place.
            self.note_abuses();
            let result = body(self);
            self.note_abuses();
            // What is left in memory that is given back is of interest to tests only.
            self.host.card_mut().gpu_mut().take_residues();
            result
        });
        self.is_broken = result.is_err();
        result.and_then(|result| result)
    }

    /// Does something for which firmware is needed: without it there is no answer, or none that is
    /// of use.
    pub(crate) fn with_firmware<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.gone() {
            Some(gone) => Err(gone),
            None => body(self).map_err(|failure| self.gone().unwrap_or(failure)),
        }
    }

    /// That the firmware is gone for good.
    fn gone(&self) -> Option<Failure> {
        let card = self.host.card();
        let why = || card.losses().last().map_or_else(String::new, |(_, loss)| loss.to_string());
        card.is_lost().then(|| Failure::new(Errno::NODEV, why()))
    }

    /// A vGPU, and the host that it is on.
    pub(crate) fn vgpu(
        &mut self,
        vgpu: Vgpu,
    ) -> Result<(&mut MigrationDevice, &mut Host), Failure> {
        let device = self.vgpus.get_mut(&vgpu.raw).ok_or_else(|| Failure::handle("vGPU"))?;
        Ok((device, &mut self.host))
    }

    /// Its number on the card.
    pub(crate) fn gfid(&mut self, vgpu: Vgpu) -> Result<Gfid, Failure> {
        self.vgpu(vgpu).map(|(device, _)| device.gfid())
    }

    /// Puts a vGPU there, which runs.
    pub(crate) fn create(
        &mut self,
        vgpu: Vgpu,
        profile: Profile,
        share: Share,
        uuid: [u8; 16],
    ) -> Result<(), Failure> {
        let gfid = self.host.create_running(profile, share, None)?;
        if self.host.card().gpu().partition(gfid).is_none() {
            self.host.release(gfid)?;
            let why = "the system gives no memory for its framebuffer";
            return Err(Failure::new(Errno::NOMEM, why));
        }
        self.adopt(vgpu, gfid, uuid, 0)
    }

    /// Has a vGPU that runs on the host from now on.
    pub(crate) fn adopt(
        &mut self,
        vgpu: Vgpu,
        gfid: Gfid,
        uuid: [u8; 16],
        token: u64,
    ) -> Result<(), Failure> {
        let device = MigrationDevice::new(&self.host, gfid, uuid, token);
        let device = device.ok_or_else(|| Failure::new(Errno::IO, "the vGPU is gone"))?;
        self.vgpus.insert(vgpu.raw, device);
        Ok(())
    }

    /// Scrubs a vGPU and makes it absent, whatever state it is in.
    pub(crate) fn destroy(&mut self, vgpu: Vgpu) -> Result<(), Failure> {
        let (device, host) = self.vgpu(vgpu)?;
        let has_session = device.state().saves() || device.state() == MigrationState::Resuming;
        if has_session {
            // What a session has under way comes to an end with it.
            device.reset(host)?;
        }
        let gfid = device.gfid();
        if host.vgpu(gfid).is_some() {
            host.release(gfid)?;
        }
        self.vgpus.remove(&vgpu.raw);
        Ok(())
    }

    /// Lets the card work for so long.
    pub(crate) fn run(&mut self, ns: u64) {
        let until_ns = self.host.now_ns().saturating_add(ns);
        self.host.settle();
        while self.host.now_ns() < until_ns && self.host.run(until_ns) != Stop::Reached {}
        self.host.settle();
    }

    /// Lets the card go on to the next thing that happens there.
    pub(crate) fn go_on(&mut self) {
        let host = &mut self.host;
        let now_ns = host.now_ns();
        let next_ns = host.card().gpu().next_event_ns().unwrap_or(now_ns + IDLE_STEP_NS);
        host.run(next_ns.clamp(now_ns + 1, now_ns + IDLE_STEP_NS));
        host.settle();
    }

    /// Notes something for people.
    pub(crate) fn note(&mut self, text: &str) {
        let event = Event { kind: GODWIT_EVENT_NOTE, ..Event::default() };
        self.push(event, text);
    }

    fn push(&mut self, event: Event, text: &str) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        let mut event = Event { at_ns: self.host.now_ns(), ..event };
        let most = event.text.len() - 1;
        let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        for (place, byte) in event.text.iter_mut().zip(&text.as_bytes()[..end.unwrap_or(0)]) {
            *place = *byte as c_char;
        }
        self.events.push_back(event);
    }

    /// The next event, if there is one.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let losses = self.host.card().losses().iter().skip(self.losses);
        let told: Vec<(u64, String)> = losses.map(|(at, loss)| (*at, loss.to_string())).collect();
        self.losses += told.len();
        for (_, text) in told {
            let event = Event { kind: GODWIT_EVENT_FIRMWARE_LOST, ..Event::default() };
            self.push(event, &text);
        }
        self.events.pop_front()
    }

    /// Takes what vGPUs have done too much of.
    fn note_abuses(&mut self) {
        for report in self.host.take_abuses() {
            let found = self.vgpus.iter().find(|(_, device)| device.gfid() == report.gfid);
            let vgpu = Vgpu { raw: found.map_or(0, |(raw, _)| *raw) };
            let (abuse, measure) = (report.abuse as u32, report.measure as u32);
            let event =
                Event { kind: GODWIT_EVENT_ABUSE, vgpu, abuse, measure, ..Event::default() };
            let (gfid, what) = (report.gfid.raw(), (report.abuse, report.measure));
            self.push(event, &format!("vGPU {gfid} has done too much: {:?}, {:?}", what.0, what.1));
        }
    }
}
