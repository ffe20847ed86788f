//! A vGPU as a device: who has connected to it, and what they ask.

use crate::config_space::{ConfigSpace, MSIX_BAR};
use crate::connection::Message;
use crate::cut::Cut;
use crate::irqs::Irqs;
use crate::memory::Mappings;
use crate::migration::Stopping;
use crate::notes::Note;
use crate::peer::{DATA_BYTES_MIN, Peer, offer};
use crate::refusal::Refusal;
use crate::table::TableWrite;
use crate::wire::Outstanding;
use godwit_control::EventKind;
use godwit_shim::Host;
use godwit_shim::vfio::{MigrationDevice, MigrationState};
use godwit_types::{Gfid, VECTOR_COUNT};
use godwit_vfio_proto::{
    Command, DeviceFlags, DeviceInfo, Header, IrqFlags, IrqInfo, MessageKind, Reply, Request,
    Writes, irq, region,
};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Messages that are taken from a peer before others have their turn.
const TURN_MESSAGES: usize = 64;
/// Time that they may take, of the card's and of ours: then the last of them is the last.
const TURN_CARD_NS: u64 = 50_000;
const TURN: Duration = Duration::from_millis(1);

/// Which of the two who may connect to a vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The virtual machine that has the device.
    Machine,
    /// Whoever migrates it.
    Manager,
}

impl Who {
    pub(crate) const BOTH: [Self; 2] = [Self::Machine, Self::Manager];

    fn name(self) -> &'static str {
        match self {
            Self::Machine => "the machine",
            Self::Manager => "the migration manager",
        }
    }

    /// Whether it may ask this. A manager does nothing that is the machine's to do.
    fn may(self, request: &Request<'_>) -> bool {
        match request {
            Request::DmaMap(_)
            | Request::DmaUnmap(_)
            | Request::SetIrqs(_)
            | Request::RegionWriteMulti(_) => self == Self::Machine,
            // What the machine's QEMU keeps of the function and does not migrate.
            Request::RegionWrite(access, _) => self == Self::Machine || access.region == MSIX_BAR,
            Request::RegionRead(access) => self == Self::Machine || access.region == region::CONFIG,
            Request::RegionInfo { index, .. } => {
                // With the answer goes the framebuffer.
                self == Self::Machine || *index == region::CONFIG
            }
            _ => true,
        }
    }
}

/// What becomes of a command.
pub(crate) enum Answer {
    /// This message goes back, with a descriptor.
    Now(Vec<u8>, Option<OwnedFd>),
    /// It comes later.
    Later,
}

/// A vGPU as a device, for whoever has a loop of its own ([`crate::Server`] is one): connections
/// are handed in, and [`Self::step`] does what they ask, without waiting.
#[derive(Debug)]
pub struct Device {
    pub(crate) name: String,
    pub(crate) gfid: Gfid,
    pub(crate) migration: MigrationDevice,
    pub(crate) config: ConfigSpace,
    pub(crate) bar2_bytes: u64,
    pub(crate) irqs: Irqs,
    pub(crate) mappings: Mappings,
    pub(crate) machine: Option<Peer>,
    pub(crate) manager: Option<Peer>,
    /// Whether somebody was given the framebuffer.
    pub(crate) is_mapped: bool,
    /// A change of state that is not answered yet.
    pub(crate) stopping: Option<Stopping>,
    /// A manager's write to the MSI-X table that is not answered yet.
    pub(crate) table: Option<TableWrite>,
    /// Messages to the machine that it has not answered, by their numbers.
    pub(crate) outstanding: BTreeMap<u16, Outstanding>,
    pub(crate) last_id: u16,
    /// Requests for channels that the guest has made while the vGPU stood still: they are made when
    /// it runs, since firmware refuses them before. QEMU lets its guest run on by itself where a
    /// migration fails, before anybody has started the vGPU.
    pub(crate) held: Vec<(u32, u32)>,
    /// It has come from elsewhere and has not run here yet.
    pub(crate) has_arrived: bool,
    /// What happened that somebody may want to know.
    pub(crate) notes: Vec<Note>,
    /// What is done to it: nobody is let in meanwhile.
    pub(crate) busy: Option<&'static str>,
}

impl Device {
    /// A vGPU that runs on a host, by its name and its own id. `None`: there is none. Its aperture
    /// is a power of two of bytes, since a BAR is.
    pub fn new(host: &mut Host, name: &str, gfid: Gfid, uuid: [u8; 16]) -> Option<Self> {
        Self::of(host, name, gfid, (uuid, 0))
    }

    /// The same for one that may have come from elsewhere, with the number of its last transfer.
    pub(crate) fn of(
        host: &mut Host,
        name: &str,
        gfid: Gfid,
        (uuid, token): ([u8; 16], u64),
    ) -> Option<Self> {
        let migration = MigrationDevice::new(host, gfid, uuid, token)?;
        // Who has mapped the aperture does not map it anew after a reset.
        host.card_mut().gpu_mut().keep_memory(gfid, true);
        let bar2_bytes = host.vgpu(gfid)?.profile.bar_bytes;
        Some(Self {
            name: name.to_owned(),
            gfid,
            migration,
            config: ConfigSpace::new(bar2_bytes),
            bar2_bytes,
            irqs: Irqs::default(),
            mappings: Mappings::default(),
            machine: None,
            manager: None,
            is_mapped: false,
            stopping: None,
            table: None,
            outstanding: BTreeMap::new(),
            last_id: 0,
            held: Vec::new(),
            has_arrived: false,
            notes: Vec::new(),
            busy: None,
        })
    }

    pub(crate) fn note(&mut self, what: impl std::fmt::Display) {
        self.note_as(EventKind::Note, what);
    }

    fn note_as(&mut self, kind: EventKind, what: impl std::fmt::Display) {
        self.notes.push(Note { kind, text: what.to_string() });
    }

    pub(crate) fn peer(&mut self, who: Who) -> &mut Option<Peer> {
        match who {
            Who::Machine => &mut self.machine,
            Who::Manager => &mut self.manager,
        }
    }

    /// Somebody has connected. One at a time may.
    pub fn attach(&mut self, host: &mut Host, who: Who, stream: UnixStream) {
        if self.peer(who).is_some() {
            let why = format_args!("{} is connected already: refused", who.name());
            return self.note_as(EventKind::Refused, why);
        }
        if let Some(busy) = self.busy {
            let why = format_args!("{} is refused while it is under way: {busy}", who.name());
            return self.note_as(EventKind::Refused, why);
        }
        if who == Who::Machine {
            if std::mem::take(&mut self.is_mapped)
                && let Err(error) = host.card_mut().gpu_mut().renew_memory(self.gfid)
            {
                // Whoever was there before may see what comes: then nobody is let in.
                self.is_mapped = true;
                return self.note(format_args!("the machine is refused: {error}"));
            }
            host.card_mut().gpu_mut().dma_note_unseen(self.gfid, true);
        }
        *self.peer(who) = Some(Peer::new(stream));
        self.note_as(EventKind::Attached, format_args!("{} has connected", who.name()));
    }

    /// Somebody has gone. What the machine has mapped and bound goes with it; the vGPU stays.
    fn detach(&mut self, host: &mut Host, who: Who, why: &Cut) {
        *self.peer(who) = None;
        self.note_as(EventKind::Detached, format_args!("{} is cut off: {why}", who.name()));
        if who == Who::Machine {
            host.dma_unmap_all(self.gfid);
            host.card_mut().gpu_mut().dma_note_unseen(self.gfid, false);
            self.outstanding.clear();
            self.irqs.clear();
        }
        if self.stopping.as_ref().is_some_and(|stopping| stopping.who == who) {
            self.stopping = None;
        }
        if who == Who::Manager {
            self.table = None;
        }
    }

    /// Does what both have asked, as far as it can be done now, and signals and carries what the
    /// vGPU has to tell them. The card's time does not pass by itself here, but for what a change
    /// of state takes.
    pub fn step(&mut self, host: &mut Host) {
        for who in Who::BOTH {
            let result = self.serve(host, who);
            let silent = self.peer(who).as_ref().map(Peer::check_silence);
            if let Err(why) = result.and(silent.unwrap_or(Ok(()))) {
                self.detach(host, who, &why);
            }
        }
        self.tell(host);
    }

    /// The second half of it, after the card's time has passed.
    pub(crate) fn tell(&mut self, host: &mut Host) {
        self.deliver(host);
        self.carry(host);
        self.step_stopping(host);
        self.step_table();
        for who in Who::BOTH {
            let flushed = self.peer(who).as_mut().map(|peer| peer.connection.flush());
            if let Some(Err(why)) = flushed {
                self.detach(host, who, &why);
            }
        }
    }

    /// Its state of a migration.
    pub fn state(&self) -> MigrationState {
        self.migration.state()
    }

    /// Takes what happened that somebody may want to know, a line each.
    pub fn take_notes(&mut self) -> Vec<String> {
        let notes = std::mem::take(&mut self.notes);
        notes.iter().map(|note| format!("{}: {}", self.name, note.text)).collect()
    }

    /// Takes what a peer has sent.
    fn serve(&mut self, host: &mut Host, who: Who) -> Result<(), Cut> {
        let (began, began_ns) = (Instant::now(), host.now_ns());
        for _ in 0..TURN_MESSAGES {
            if began.elapsed() > TURN || host.now_ns() - began_ns > TURN_CARD_NS {
                break;
            }
            let waits = self.stopping.as_ref().is_some_and(|stopping| stopping.who == who)
                || (self.table.is_some() && who == Who::Manager);
            let Some(peer) = self.peer(who) else { return Ok(()) };
            let is_due = !waits && !peer.connection.is_full();
            if is_due && let Some(message) = peer.waiting.pop_front() {
                self.take(host, who, message)?;
                continue;
            }
            if !peer.is_heard() {
                // Nobody reads that it goes, and the server would be woken by it all the time.
                if peer.connection.is_closed() {
                    return Err(Cut::Closed);
                }
                break;
            }
            let Some(message) = peer.connection.receive()? else { break };
            if let MessageKind::Reply { error } = message.header.kind {
                self.answered(host, who, &message, error);
            } else if waits {
                peer.waiting.push_back(message);
            } else {
                self.take(host, who, message)?;
            }
        }
        self.peer(who).as_mut().map_or(Ok(()), |peer| peer.connection.flush())
    }

    /// Does what a message asks.
    fn take(&mut self, host: &mut Host, who: Who, message: Message) -> Result<(), Cut> {
        let Message { header, body, fds } = message;
        let Some(peer) = self.peer(who) else { return Ok(()) };
        if !peer.is_known() && header.command != Command::Version as u16 {
            return Err(Cut::NoVersion(header.command));
        }
        let limits = *peer.connection.limits();
        let wants_answer = header.kind == MessageKind::Command { no_reply: false };
        let parsed = Request::parse(&header, &body, fds.len(), &limits);
        let answer = match parsed {
            Ok(request) if who.may(&request) => self.ask(host, who, &header, request, fds),
            Ok(request) => {
                let why = format!("{:?} is the machine's to ask", request.command());
                Err(Refusal::with(rustix::io::Errno::PERM, why))
            }
            Err(error) => Err(error.into()),
        };
        let (bytes, fd) = match answer {
            Ok(Answer::Now(bytes, fd)) => (bytes, fd),
            Ok(Answer::Later) => return Ok(()),
            Err(refusal) => {
                let (command, asks) = (header.command, who.name());
                let why = format_args!("command {command} of {asks} is refused: {refusal}");
                self.note_as(EventKind::Refused, why);
                (header.failure(refusal.errno).to_vec(), None)
            }
        };
        if wants_answer && let Some(peer) = self.peer(who) {
            peer.connection.send(bytes, fd.into_iter().collect());
        }
        Ok(())
    }

    fn ask(
        &mut self,
        host: &mut Host,
        who: Who,
        header: &Header,
        request: Request<'_>,
        fds: Vec<OwnedFd>,
    ) -> Result<Answer, Refusal> {
        let now = |reply: Reply<'_>| Ok(Answer::Now(reply.encode(header), None));
        match request {
            Request::Version(version) => now(self.meet(who, &version)?),
            Request::DmaMap(map) => self.dma_map(host, &map, fds).and_then(|()| now(Reply::Done)),
            Request::DmaUnmap(unmap) => {
                self.dma_unmap(host, unmap)?;
                now(Reply::Unmapped(unmap))
            }
            Request::DeviceInfo => now(Reply::DeviceInfo(DeviceInfo {
                flags: DeviceFlags::RESET | DeviceFlags::PCI,
                region_count: region::COUNT,
                irq_count: irq::COUNT,
            })),
            Request::RegionInfo { index, room } => {
                let (info, fd) = self.region_info(host, index, room)?;
                Ok(Answer::Now(Reply::RegionInfo(info, room).encode(header), fd))
            }
            Request::IrqInfo(index) => now(Reply::IrqInfo(irq_info(index)?)),
            Request::SetIrqs(set) => self.irqs.set(&set, fds).and_then(|()| now(Reply::Done)),
            Request::RegionRead(access) => {
                let most = self.peer(who).as_ref().map_or(0, Peer::data_bytes);
                if access.count > most {
                    return Err(Refusal::new(format!("{most} bytes are read at once, at most")));
                }
                let data = self.region_read(host, &access)?;
                now(Reply::RegionRead(access, &data))
            }
            Request::RegionWrite(access, data) if who == Who::Manager => {
                self.table_write(header, access, data).map(|()| Answer::Later)
            }
            Request::RegionWrite(access, data) => {
                self.region_write(host, &access, data)?;
                now(Reply::RegionWritten(access))
            }
            Request::RegionWriteMulti(writes) => {
                self.write_all(host, writes);
                now(Reply::RegionsWritten(writes.count()))
            }
            Request::Reset => self.reset(host).and_then(|()| now(Reply::Done)),
            Request::Feature(call) => self.feature(host, who, header, call),
            Request::MigDataRead(size) => {
                let data = self.migration_read(host, who, size)?;
                now(Reply::MigData(&data))
            }
            Request::MigDataWrite(data) => {
                self.migration.write(host, data)?;
                now(Reply::Done)
            }
        }
    }

    /// Several writes, of which each is on its own. What is refused is noted once, since there are
    /// tens of thousands in one message.
    fn write_all(&mut self, host: &mut Host, writes: Writes<'_>) {
        let (mut count, mut first) = (0u32, None);
        let before_ns = host.now_ns();
        for (access, data) in writes.iter() {
            // A reset takes the card's time. What comes right behind it is lost, as on a bus.
            if host.now_ns() != before_ns {
                count += 1;
                first.get_or_insert_with(|| Refusal::new("the function is being reset"));
            } else if let Err(refusal) = self.region_write(host, &access, data) {
                count += 1;
                first.get_or_insert(refusal);
            }
        }
        if let Some(first) = first {
            self.note(format_args!("{count} writes are refused, the first since {first}"));
        }
    }

    fn meet(
        &mut self,
        who: Who,
        version: &godwit_vfio_proto::Version,
    ) -> Result<Reply<'static>, Refusal> {
        let takes = version.capabilities.limits();
        if takes.data_bytes < DATA_BYTES_MIN {
            let why = format!(
                "max_data_xfer_size is {}: {DATA_BYTES_MIN} at least is needed",
                takes.data_bytes
            );
            return Err(Refusal::new(why));
        }
        let Some(peer) = self.peer(who) else { return Ok(Reply::Done) };
        if peer.is_known() {
            return Err(Refusal::new("versions are agreed already"));
        }
        peer.meet(version);
        Ok(Reply::Version(version.answer(offer())))
    }

    /// Makes the vGPU as it was when it was new. In every state of a migration it may be asked for.
    pub(crate) fn reset(&mut self, host: &mut Host) -> Result<(), Refusal> {
        self.fail_stopping(rustix::io::Errno::CANCELED);
        self.config.reset();
        self.has_arrived = false;
        self.held.clear();
        self.migration.reset(host)?;
        Ok(())
    }

    /// Signals what the vGPU has raised, as far as the guest sees what was written before.
    pub(crate) fn deliver(&mut self, host: &mut Host) {
        if self.machine.is_none() {
            return;
        }
        let vectors = host.take_vectors_of(self.gfid, self.irqs.open());
        let gpu = host.card().gpu();
        self.irqs.hold(vectors, gpu.dma_last_request(self.gfid));
        let seen = self.irqs.take_held(gpu.dma_oldest_write(self.gfid));
        self.irqs.signal(seen);
        if self.migration.state() == MigrationState::Running {
            let owed = self.irqs.take_owed();
            self.irqs.signal(owed);
        }
    }
}

fn irq_info(index: u32) -> Result<IrqInfo, Refusal> {
    let (flags, count) = match index {
        irq::MSIX => (IrqFlags::EVENTFD | IrqFlags::MASKABLE, VECTOR_COUNT.into()),
        irq::ERR | irq::REQ => (IrqFlags::EVENTFD, 1),
        irq::INTX | irq::MSI => (IrqFlags::empty(), 0),
        _ => {
            let why = format!("interrupt {index}: 0 to {} are allowed", irq::COUNT - 1);
            return Err(Refusal::new(why));
        }
    };
    Ok(IrqInfo { index, flags, count })
}
