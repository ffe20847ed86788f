//! A scenario as it is written: everything optional, everything with its place in the text.
//!
//! Nothing here is believed; `check` makes a [`super::Scenario`] of it.

use super::value::{Bytes, Count, Digest, Fraction, Nanos, Percent, User};
use godwit_control::Sizes;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use toml::Spanned;

/// A value that may be there, with its place.
pub(super) type Field<T> = Option<Spanned<T>>;
/// Tables in a row, each with the place of its header.
pub(super) type Tables<T> = Vec<Spanned<Table<T>>>;

/// A table, and nothing else: left to itself, serde would take a list of values too.
#[derive(Debug)]
pub(super) struct Table<T>(T);

impl<T> Deref for Table<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(TableVisitor(PhantomData)).map(Self)
    }
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table: { ... }, or [...] before its lines")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) seed: Field<Count>,
    pub(super) time_limit: Field<Nanos>,
    pub(super) costs_scale: Field<Fraction>,
    #[serde(default)]
    pub(super) costs: BTreeMap<Spanned<String>, Spanned<Count>>,
    #[serde(default)]
    pub(super) host: Tables<Host>,
    #[serde(default)]
    pub(super) vgpu: Tables<Vgpu>,
    #[serde(default)]
    pub(super) job: Tables<Job>,
    #[serde(default)]
    pub(super) event: Tables<Event>,
}

/// What `godwit serve` serves, in the words of a scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) sockets: Field<String>,
    pub(super) states: Field<String>,
    pub(super) sizes: Option<Sizes>,
    pub(super) control: Field<Table<Control>>,
    pub(super) metrics: Option<Table<Metrics>>,
    #[serde(default)]
    pub(super) host: Tables<Host>,
    #[serde(default)]
    pub(super) vgpu: Tables<Vgpu>,
}

/// Who may ask a server what there is, and have it changed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    pub(super) users: Option<Vec<Spanned<User>>>,
    pub(super) socket: Field<String>,
    pub(super) clients: Field<Count>,
    pub(super) listen: Field<String>,
    pub(super) tls_cert: Field<String>,
    pub(super) tls_key: Field<String>,
    pub(super) tls_ca: Field<String>,
    pub(super) insecure_plaintext: Field<bool>,
}

/// Where a service's metrics are had.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) listen: Field<String>,
    #[serde(default)]
    pub(super) insecure_beyond_this_machine: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: Field<String>,
    pub(super) framebuffer: Field<Bytes>,
    pub(super) bar: Field<Bytes>,
    pub(super) context_memory: Field<Bytes>,
    pub(super) timer_start: Field<Nanos>,
    pub(super) engines: Field<Vec<Engine>>,
    #[serde(rename = "firmware")]
    pub(super) _firmware: Option<Firmware>,
    pub(super) on_crash: Option<OnCrash>,
    pub(super) policy: Option<Policy>,
    pub(super) slice: Field<Nanos>,
    pub(super) averaging: Field<Count>,
}

/// How a host's vGPUs take turns.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Policy {
    BestEffort,
    EqualShare,
    FixedShare,
}

/// Where a host's firmware runs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Firmware {
    Native,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vgpu {
    pub(super) name: Field<String>,
    pub(super) host: Field<String>,
    pub(super) profile: Field<Table<Profile>>,
    pub(super) weight: Field<Count>,
    pub(super) share: Field<Percent>,
    pub(super) cap: Field<Percent>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) framebuffer: Field<Bytes>,
    pub(super) aperture: Field<Bytes>,
    pub(super) channels: Field<Count>,
    pub(super) threads: Field<Count>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    pub(super) name: Field<String>,
    pub(super) vgpu: Field<String>,
    pub(super) kernel: Field<Kernel>,
    // Sizes of the kernels that come with Godwit.
    pub(super) seed: Field<Count>,
    pub(super) threads: Field<Count>,
    pub(super) iterations: Field<Count>,
    pub(super) n: Field<Count>,
    pub(super) tile: Field<Count>,
    pub(super) bytes: Field<Bytes>,
    pub(super) rounds: Field<Count>,
    pub(super) pages: Field<Count>,
    // A list for the copy engine.
    pub(super) copies: Field<Copies>,
    // A program of one's own.
    pub(super) elf: Field<String>,
    pub(super) grid: Field<Count>,
    pub(super) args: Field<Vec<Spanned<Count>>>,
    pub(super) shared_bytes: Field<Bytes>,
    pub(super) stack_bytes: Field<Bytes>,
    pub(super) inputs: Field<Tables<Input>>,
    pub(super) arena: Field<Table<Range>>,
    pub(super) output: Field<Table<Range>>,
    pub(super) expected: Field<Table<Expected>>,
    // Of both.
    pub(super) block: Field<Count>,
}

/// What a list of copies goes through.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Copies {
    Framebuffer,
    GuestMemory,
}

/// A kernel that comes with Godwit.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kernel {
    Sha256Chain,
    Matmul,
    Histogram,
    PageWriter,
    Spinner,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) file: Field<String>,
    pub(super) at: Field<Bytes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    pub(super) at: Field<Bytes>,
    pub(super) bytes: Field<Bytes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) sha256: Field<Digest>,
    pub(super) file: Field<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    pub(super) at: Field<Nanos>,
    pub(super) after: Field<Table<After>>,
    #[serde(rename = "move")]
    pub(super) move_: Field<Table<Move>>,
    pub(super) evacuate: Field<Table<Evacuate>>,
    pub(super) suspend: Field<Table<Suspend>>,
    pub(super) resume: Field<Table<Resume>>,
    pub(super) fault: Field<Table<Fault>>,
    pub(super) restart_firmware: Field<Table<RestartFirmware>>,
    pub(super) crash_firmware: Field<Table<CrashFirmware>>,
    pub(super) update_firmware: Field<Table<UpdateFirmware>>,
    pub(super) schedule: Field<Table<Schedule>>,
    pub(super) share: Field<Table<ShareChange>>,
    pub(super) expect: Field<Expect>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    pub(super) job: Field<String>,
    pub(super) instructions: Field<Count>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    pub(super) vgpu: Field<String>,
    pub(super) to: Field<String>,
    pub(super) kind: Option<MoveKind>,
    pub(super) preempt: Option<Preempt>,
    pub(super) timeout: Field<Nanos>,
    pub(super) max_downtime: Field<Nanos>,
    pub(super) otherwise: Field<Otherwise>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evacuate {
    pub(super) host: Field<String>,
    pub(super) to: Field<Vec<Spanned<String>>>,
    pub(super) parallel: Field<Count>,
    pub(super) bandwidth: Field<Bytes>,
    pub(super) kind: Option<MoveKind>,
    pub(super) preempt: Option<Preempt>,
    pub(super) timeout: Field<Nanos>,
    pub(super) max_downtime: Field<Nanos>,
    pub(super) otherwise: Field<Otherwise>,
}

/// What happens when a bound on the downtime cannot be kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Otherwise {
    GiveUp,
    Move,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MoveKind {
    Live,
    StopAndCopy,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Preempt {
    Instruction,
    Cta,
    Wfi,
    Escalate,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suspend {
    pub(super) vgpu: Field<String>,
    pub(super) file: Field<String>,
    pub(super) preempt: Option<Preempt>,
    pub(super) timeout: Field<Nanos>,
    pub(super) version: Field<Count>,
    pub(super) key_file: Field<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    pub(super) vgpu: Field<String>,
    pub(super) file: Field<String>,
    pub(super) host: Field<String>,
    pub(super) key_file: Field<String>,
    pub(super) keep: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) host: Field<String>,
    pub(super) kind: Field<FaultKind>,
    pub(super) engine: Field<Engine>,
    pub(super) delay: Field<Nanos>,
    pub(super) factor: Field<Count>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FaultKind {
    AckLost,
    AckLate,
    AckDoubled,
    AckWrong,
    EngineHang,
    CopyError,
    CopyBadCrc,
    CopySlow,
    BarStuck,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Engine {
    Compute,
    Copy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartFirmware {
    pub(super) host: Field<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CrashFirmware {
    pub(super) host: Field<String>,
    pub(super) kind: Field<CrashKind>,
    pub(super) instructions: Field<Count>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CrashKind {
    Cut,
    Trap,
    Hang,
    StackOverflow,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnCrash {
    GoOn,
    Stop,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateFirmware {
    pub(super) host: Field<String>,
    pub(super) image: Field<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schedule {
    pub(super) host: Field<String>,
    pub(super) policy: Option<Policy>,
    pub(super) slice: Field<Nanos>,
    pub(super) averaging: Field<Count>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShareChange {
    pub(super) vgpu: Field<String>,
    pub(super) weight: Field<Count>,
    pub(super) share: Field<Percent>,
    pub(super) cap: Field<Percent>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Expect {
    Done,
    Refused,
    Failed,
    Unmet,
}
