//! Shows what is in a state file, and whether it is sound.

use crate::units::{about_size, exact_size, exact_time};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use godwit_shim::stream::{Body, Reader, Record};
use godwit_shim::{FileError, Mark, SealKey, StateReader};
use godwit_wire::record;
use serde::Serialize;
use std::io;
use std::path::Path;

/// What a state file holds, up to its end or its first damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Whether it is sealed; `None`: it is no state file.
    pub sealed: Option<bool>,
    /// Whether its vGPU has come out of it; `None`: nobody knows.
    pub spent: Option<bool>,
    /// Version of the stream: the newest that a record has; 0: there is none.
    pub version: u8,
    /// What its records say; those that belong together are one entry.
    pub records: Vec<Entry>,
    /// Whether the whole file is sound.
    pub sound: bool,
    /// Why not.
    pub problem: Option<String>,
}

/// One record, or several that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Entry {
    /// Which vGPU this is.
    Descriptor {
        /// The vGPU's own id, in hexadecimal.
        uuid: String,
        /// Number of this transfer of the vGPU.
        token: u64,
        /// Bytes of the partition.
        framebuffer: u64,
        /// Bytes of the aperture.
        aperture: u64,
        /// Channels.
        channels: u16,
        /// Bytes of each channel's context buffer.
        context: u32,
        /// Version of what the device writes to a context buffer.
        context_layout: u32,
    },
    /// All pages of one round.
    Pages {
        /// Which round.
        round: u32,
        /// Records.
        records: u64,
        /// Pages with bytes.
        pages: u64,
        /// Pages that are zero.
        zero_pages: u64,
        /// Bytes of payload.
        bytes: u64,
    },
    /// The vGPU as a whole.
    Vgpu {
        /// The guest's time when it was stopped.
        guest_time_ns: u64,
        /// Interrupts that were raised and not taken, by bit.
        pending_vectors: u32,
        /// Channel records that follow.
        channels: u16,
        /// Channels whose contexts follow.
        contexts: u16,
        /// What it has had too much of each engine's time, compute and copy.
        debts_ns: [u32; 2],
    },
    /// One channel.
    Channel {
        /// The guest's number.
        channel: u16,
        /// Its group.
        tsg: u16,
        /// Its engine.
        engine: &'static str,
        /// Base of its ring in the partition.
        ring_base: u64,
        /// Entries of its ring.
        ring_entries: u64,
        /// The number of the fault that stopped it, or 0.
        fault: u8,
        /// Whether its group has work.
        pending: bool,
        /// Whether its context follows.
        used: bool,
        /// The boundary at which its group left the engine.
        left_at: &'static str,
    },
    /// One channel's context.
    Context {
        /// The guest's number.
        channel: u16,
        /// Records.
        records: u64,
        /// Bytes of payload.
        bytes: u64,
    },
    /// The registers that the guest has written.
    Function {
        /// Channels that have words.
        channels: u16,
        /// Bytes of payload.
        bytes: u64,
    },
    /// The end.
    Trailer {
        /// Records before it.
        records: u64,
        /// SHA-256 over their headers, in hexadecimal.
        digest: String,
    },
}

/// Reads a state file, holding one record at a time. A sealed one is opened with its key.
///
/// # Errors
///
/// When the file cannot be read; damage is no error but a finding.
pub fn inspect(path: &Path, key: Option<&SealKey>) -> io::Result<Inspection> {
    let mut found = Inspection {
        sealed: None,
        spent: None,
        version: 0,
        records: Vec::new(),
        sound: false,
        problem: None,
    };
    match read(path, key, &mut found) {
        Ok(()) => found.sound = true,
        Err(FileError::Io { error, .. }) => return Err(error),
        Err(FileError::Head { error, .. }) => found.problem = Some(format!("the file {error}")),
        Err(FileError::Stream { error, .. }) => found.problem = Some(error.to_string()),
        Err(FileError::Seal { error, .. }) => found.problem = Some(error.to_string()),
        Err(other) => found.problem = Some(other.to_string()),
    }
    Ok(found)
}

fn read(path: &Path, key: Option<&SealKey>, found: &mut Inspection) -> Result<(), FileError> {
    let mut file = StateReader::look(path, key)?;
    let sealed = file.is_sealed();
    let sealed = sealed.map_err(|error| FileError::Io { path: path.to_path_buf(), error })?;
    found.sealed = Some(sealed);
    found.spent = match file.mark() {
        Mark::Fresh => Some(false),
        Mark::Spent => Some(true),
        Mark::Unknown => None,
    };
    let bad = |error| FileError::Stream { path: path.to_path_buf(), error };
    let mut reader = Reader::new();
    while let Some(bytes) = file.next_bytes()? {
        reader.feed_owned(bytes);
        while let Some(record) = reader.next_record().map_err(bad)? {
            found.version = found.version.max(record.version);
            add(&mut found.records, &record);
        }
    }
    reader.finish().map_err(bad)?;
    match file.mark() {
        Mark::Unknown => Err(FileError::Unmarked(path.to_path_buf())),
        Mark::Fresh | Mark::Spent => Ok(()),
    }
}

/// Adds a record to the entry that it belongs to, or as an entry of its own.
fn add(entries: &mut Vec<Entry>, record: &Record) {
    let new = entry(record);
    match (entries.last_mut(), &new) {
        (
            Some(Entry::Pages { round, records, pages, zero_pages, bytes }),
            Entry::Pages { round: same, pages: more, zero_pages: zeros, bytes: length, .. },
        ) if round == same => {
            *records += 1;
            *pages += more;
            *zero_pages += zeros;
            *bytes += length;
        }
        (
            Some(Entry::Context { channel, records, bytes }),
            Entry::Context { channel: same, bytes: length, .. },
        ) if channel == same => {
            *records += 1;
            *bytes += length;
        }
        _ => entries.push(new),
    }
}

fn entry(record: &Record) -> Entry {
    let bytes = record.payload.len() as u64;
    match &record.body {
        Body::Descriptor(it) => Entry::Descriptor {
            uuid: hex(&it.uuid),
            token: it.token,
            framebuffer: it.fb_bytes,
            aperture: it.bar_bytes,
            channels: it.channel_count,
            context: it.context_bytes,
            context_layout: it.context_layout,
        },
        Body::Pages(it) => {
            let count = |zero| {
                let runs = it.runs.iter().filter(|run| run.zero == zero);
                runs.map(|run| u64::from(run.count)).sum()
            };
            let (pages, zero_pages) = (count(false), count(true));
            Entry::Pages { round: it.round, records: 1, pages, zero_pages, bytes }
        }
        Body::Vgpu(it) => Entry::Vgpu {
            guest_time_ns: it.guest_time_ns,
            pending_vectors: it.pending_vectors,
            channels: it.channel_count,
            contexts: it.context_count,
            debts_ns: it.debts_ns,
        },
        Body::Channel(it) => channel(it),
        Body::Context(it) => Entry::Context { channel: it.channel, records: 1, bytes },
        Body::Function(it) => Entry::Function { channels: it.channel_count, bytes },
        Body::Trailer(it) => Entry::Trailer { records: it.record_count, digest: hex(&it.digest) },
    }
}

fn channel(it: &record::Channel) -> Entry {
    Entry::Channel {
        channel: it.channel,
        tsg: it.tsg,
        engine: match it.runlist {
            0 => "compute",
            1 => "copy",
            _ => "unknown",
        },
        ring_base: it.ring_base,
        ring_entries: 1_u64.checked_shl(it.ring_log2.into()).unwrap_or(0),
        fault: it.fault,
        pending: it.pending,
        used: it.used,
        left_at: match it.left_at {
            0 => "work done",
            1 => "wfi",
            2 => "cta",
            3 => "instruction",
            _ => "unknown",
        },
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Entry {
    /// Its kind, how many records, what they say, and their payload.
    fn row(&self) -> [String; 4] {
        let row = |kind: &str, records: u64, what: String, bytes: u64| {
            let payload = if bytes == 0 { "-".to_owned() } else { about_size(bytes) };
            [kind.to_owned(), records.to_string(), what, payload]
        };
        match self {
            Self::Descriptor { uuid, token, framebuffer, aperture, channels, context, .. } => {
                let sizes = format!(
                    "framebuffer {}, aperture {}, {channels} channels of {}",
                    exact_size(*framebuffer),
                    exact_size(*aperture),
                    exact_size((*context).into())
                );
                row("descriptor", 1, format!("vGPU {uuid}, transfer {token}: {sizes}"), 0)
            }
            Self::Pages { round, records, pages, zero_pages, bytes } => {
                let what = format!("round {round}: {pages} pages, and {zero_pages} that are zero");
                row("pages", *records, what, *bytes)
            }
            Self::Vgpu { guest_time_ns, pending_vectors, channels, contexts, debts_ns } => {
                let time = exact_time(*guest_time_ns);
                let [compute, copy] = debts_ns.map(|ns| exact_time(ns.into()));
                let what = format!(
                    "stopped at {time} of its time, {channels} channels, {contexts} contexts, \
                     pending vectors {pending_vectors:#x}, owes {compute} of compute and {copy} of \
                     copy"
                );
                row("vgpu", 1, what, 0)
            }
            Self::Channel { channel, engine, ring_base, ring_entries, fault, left_at, .. } => {
                let fault = match fault {
                    0 => String::new(),
                    number => format!(", stopped by fault {number}"),
                };
                let what = format!(
                    "{engine} channel {channel}, {ring_entries} entries at {ring_base:#x}, left \
                     the engine at: {left_at}{fault}"
                );
                row("channel", 1, what, 0)
            }
            Self::Context { channel, records, bytes } => {
                row("context", *records, format!("of channel {channel}"), *bytes)
            }
            Self::Function { channels, bytes } => {
                row("function", 1, format!("registers of {channels} channels"), *bytes)
            }
            Self::Trailer { records, digest } => {
                row("trailer", 1, format!("{records} records before, SHA-256 {digest}"), 0)
            }
        }
    }
}

impl Inspection {
    /// One JSON object on lines of its own.
    ///
    /// # Panics
    ///
    /// Never: everything in it has a form in JSON.
    pub fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("strings, numbers and lists have a form in JSON")
    }

    /// A table and a last line that says whether the file is sound.
    pub fn human(&self) -> String {
        let mut table = Table::new();
        let header = ["record", "count", "what it says", "payload"];
        table.load_style(UTF8_FULL_CONDENSED).set_header(header);
        for at in [1, 3] {
            if let Some(column) = table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.add_rows(self.records.iter().map(Entry::row));
        let verdict = match &self.problem {
            None => "sound: every record has its CRC, and the trailer agrees".to_owned(),
            Some(problem) => format!("NOT SOUND: {problem}"),
        };
        let sealed = match self.sealed {
            Some(true) => "sealed",
            Some(false) => "not sealed",
            None => "no state file",
        };
        let spent = match self.spent {
            Some(true) => "resumed before",
            Some(false) => "not resumed",
            None => "not known whether it was resumed",
        };
        let version = self.version;
        format!("{table}\n\nversion {version}, {sealed}, {spent}\n{verdict}\n")
    }
}
