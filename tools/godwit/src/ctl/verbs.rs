//! What may be asked, as the command line has it.

use crate::scenario::{parse_percent, parse_time};
use clap::builder::RangedU64ValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use godwit_control::{
    Ask, Create, Decision, Evacuate, Events, KindOfMove, Migrate, Policy, PolicyName, Resume,
    Share, Sizes, Suspend,
};

/// Milliseconds that a vGPU may be allowed to stand still.
const DOWNTIME_MS_MAX: u64 = 3_600_000;

/// A question to a server, or one that needs none.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Lists the vGPUs, or the hosts.
    #[command(after_help = "\
Examples:
  godwit ctl list
  godwit ctl list --hosts
  godwit ctl list --json | jq -r '.vgpus[].name'")]
    List {
        /// The hosts instead.
        #[arg(long)]
        hosts: bool,
    },
    /// Shows all that is known of a vGPU, or of a host.
    #[command(after_help = "\
Examples:
  godwit ctl show v0
  godwit ctl show --host a")]
    Show {
        /// The vGPU.
        #[arg(required_unless_present = "host", conflicts_with = "host")]
        vgpu: Option<String>,
        /// The host.
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
    },
    /// Shows what can be created: profiles, how many of each, and where.
    #[command(after_help = "\
Examples:
  godwit ctl profiles
  godwit ctl profiles a")]
    Profiles {
        /// The host; without it, all.
        host: Option<String>,
    },
    /// Creates a vGPU.
    #[command(after_help = "\
Examples:
  godwit ctl create v1 --profile GW512-64Q
  godwit ctl create v1 --profile GW512-64Q --host a --placement 4 --weight 2")]
    Create(CreateOptions),
    /// Destroys a vGPU, with all that it has.
    #[command(after_help = "\
Examples:
  godwit ctl destroy v1")]
    Destroy {
        /// The vGPU; no machine has it.
        vgpu: String,
    },
    /// Changes how the vGPUs of a host take turns, and of which sizes they may be.
    #[command(after_help = "\
Examples:
  godwit ctl policy a --policy fixed-share --slice '2 ms'
  godwit ctl policy a --slice 0 --averaging 33
  godwit ctl policy a --sizes homogeneous")]
    #[command(group = some_of("turns", &["policy", "slice", "averaging", "sizes"]))]
    Policy(PolicyOptions),
    /// Changes what a vGPU is due of the engines.
    #[command(after_help = "\
Examples:
  godwit ctl share v0 --weight 4
  godwit ctl share v0 --share '25 %' --cap '50 %'")]
    #[command(group = some_of("due", &["weight", "share", "cap"]))]
    Share(ShareOptions),
    /// Saves a vGPU to a file of the server, and removes it.
    #[command(after_help = "\
Examples:
  godwit ctl suspend v0
  godwit ctl suspend v0 --file monday")]
    Suspend {
        /// The vGPU; no machine has it.
        vgpu: String,
        /// The file's name in the server's folder of states, without `.state`; without it, the
        /// vGPU's.
        #[arg(long, value_name = "NAME")]
        file: Option<String>,
    },
    /// Makes a vGPU of such a file, which goes on.
    #[command(after_help = "\
Examples:
  godwit ctl resume v0
  godwit ctl resume monday --host b --vgpu v7")]
    Resume {
        /// The file's name in the server's folder of states, without `.state`.
        file: String,
        /// The host; without it, the one where it leaves the least room.
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// The vGPU's name; without it, the file's.
        #[arg(long, value_name = "NAME")]
        vgpu: Option<String>,
    },
    /// Moves a vGPU to another host, or to another server, while it runs.
    #[command(after_help = "\
Examples:
  godwit ctl migrate v0 --to b
  godwit ctl migrate v0 --to b --max-downtime 20
  godwit ctl migrate v0 --to unix:/run/other/ctl --host c --stop-and-copy")]
    Migrate(MigrateOptions),
    /// Moves all vGPUs of a host to others.
    #[command(after_help = "\
Examples:
  godwit ctl evacuate a
  godwit ctl evacuate a --to b --to c --parallel 4 --max-downtime 20")]
    Evacuate(EvacuateOptions),
    /// Decides whose a vGPU is whose move to or from another server does not end, since that server
    /// is gone for good.
    #[command(after_help = "\
Examples:
  godwit ctl resolve v0 run-here
  godwit ctl resolve v0 gone")]
    Resolve {
        /// The vGPU.
        vgpu: String,
        /// This server's (it runs here, and never there), or not (what is left of it here is
        /// removed).
        decision: DecisionWord,
    },
    /// Shows what has happened.
    #[command(after_help = "\
Examples:
  godwit ctl events
  godwit ctl events --follow --json
  godwit ctl events --after 120")]
    Events {
        /// Go on with what happens from then on, until this is ended.
        #[arg(long)]
        follow: bool,
        /// Only what has a number above this one.
        #[arg(long, value_name = "N")]
        after: Option<u64>,
    },
    /// Prints the JSON schema of what a server is asked and answers.
    #[command(after_help = "\
Examples:
  godwit ctl schema > godwit.schema.json")]
    Schema,
}

/// See [`Create`].
#[derive(Clone, Debug, Args)]
pub(crate) struct CreateOptions {
    /// The vGPU's name: 1 to 32 letters, digits, `-` and `_`.
    vgpu: String,
    /// What it is; `godwit ctl profiles` lists what can be created.
    #[arg(long, value_name = "NAME")]
    profile: String,
    /// The host; without it, the one where it leaves the least room.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Where in the framebuffer, by a placement id of the profile; without it, the first that is
    /// free.
    #[arg(long, value_name = "ID")]
    placement: Option<u32>,
    /// Length of its turns relative to the others', 1 to 100.
    #[arg(long, value_name = "N", value_parser = ranged::<u8>(1, 100))]
    weight: Option<u8>,
}

/// See [`Policy`].
#[derive(Clone, Debug, Args)]
pub(crate) struct PolicyOptions {
    /// The host.
    host: String,
    /// Who gets an engine's time.
    #[arg(long, value_name = "POLICY")]
    policy: Option<PolicyWord>,
    /// A turn of average length, such as "2 ms"; a number is nanoseconds, and 0 is the default for
    /// so many vGPUs.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    slice: Option<u64>,
    /// Over how many turns an overshoot is paid back, 1 to 60.
    #[arg(long, value_name = "N", value_parser = ranged::<u8>(1, 60))]
    averaging: Option<u8>,
    /// Of which sizes its vGPUs may be.
    #[arg(long, value_name = "SIZES")]
    sizes: Option<SizesWord>,
}

/// Comments of the variants would make the help long.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PolicyWord {
    BestEffort,
    EqualShare,
    FixedShare,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SizesWord {
    Mixed,
    Homogeneous,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DecisionWord {
    RunHere,
    Gone,
}

/// See [`Share`].
#[derive(Clone, Debug, Args)]
pub(crate) struct ShareOptions {
    /// The vGPU.
    vgpu: String,
    /// Length of its turns relative to the others', 1 to 100.
    #[arg(long, value_name = "N", value_parser = ranged::<u8>(1, 100))]
    weight: Option<u8>,
    /// Its fixed part of each engine, such as "25 %"; "0 %" is as much as its framebuffer is of the
    /// host's.
    #[arg(long, value_name = "PART", value_parser = part)]
    share: Option<u16>,
    /// Up to this much it may have when others do not use theirs; "0 %" is no more than its part.
    #[arg(long, value_name = "PART", value_parser = part)]
    cap: Option<u16>,
}

/// See [`Migrate`].
#[derive(Clone, Debug, Args)]
pub(crate) struct MigrateOptions {
    /// The vGPU; no machine has it.
    vgpu: String,
    /// A host of this server, or the control socket of another one: unix:PATH or tcp:HOST:PORT.
    #[arg(long, value_name = "HOST|ADDRESS")]
    to: String,
    /// The host of the other server; without it, the one where it leaves the least room.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    #[command(flatten)]
    how: HowMoved,
}

/// See [`Evacuate`].
#[derive(Clone, Debug, Args)]
pub(crate) struct EvacuateOptions {
    /// The host that is to be empty.
    host: String,
    /// A host to go to; once for each. Without it, all others.
    #[arg(long, value_name = "NAME")]
    to: Vec<String>,
    /// Moves at a time, 1 to 32; without it, 2.
    #[arg(long, value_name = "N", value_parser = ranged::<u8>(1, 32))]
    parallel: Option<u8>,
    #[command(flatten)]
    how: HowMoved,
}

/// How vGPUs are moved.
#[derive(Clone, Debug, Args)]
struct HowMoved {
    /// Stop it first, and copy its memory then.
    #[arg(long, conflicts_with = "max_downtime")]
    stop_and_copy: bool,
    /// How long it may stand still, in milliseconds; where that cannot be kept, it stays.
    #[arg(long, value_name = "MS", value_parser = ranged::<u64>(1, DOWNTIME_MS_MAX))]
    max_downtime: Option<u64>,
}

impl HowMoved {
    fn kind(&self) -> KindOfMove {
        if self.stop_and_copy { KindOfMove::StopAndCopy } else { KindOfMove::Live }
    }

    fn max_downtime_ns(&self) -> Option<u64> {
        self.max_downtime.map(|ms| ms * 1_000_000)
    }
}

/// At least one of these options.
fn some_of(name: &'static str, options: &'static [&'static str]) -> ArgGroup {
    ArgGroup::new(name).args(options).required(true).multiple(true)
}

fn ranged<T: TryFrom<u64>>(least: u64, most: u64) -> RangedU64ValueParser<T> {
    RangedU64ValueParser::new().range(least..=most)
}

/// Reads a part of the engines.
fn part(text: &str) -> Result<u16, String> {
    let part = parse_percent(text)?;
    if part <= 10_000 { Ok(part) } else { Err("allowed: up to 100 %".to_owned()) }
}

impl Verb {
    /// What the server is asked; nothing, when that is not needed.
    pub(crate) fn ask(&self) -> Option<Ask> {
        Some(match self.clone() {
            Self::List { hosts: false } => Ask::List {},
            Self::List { hosts: true } | Self::Profiles { host: None } => Ask::Hosts {},
            Self::Profiles { host: Some(host) } => Ask::Host { host },
            Self::Show { host: Some(host), .. } => Ask::Host { host },
            // One of the two is there.
            Self::Show { vgpu, host: None } => Ask::Show { vgpu: vgpu? },
            Self::Create(CreateOptions { vgpu, profile, host, placement, weight }) => {
                Ask::Create(Create { vgpu, host, profile, placement, weight })
            }
            Self::Destroy { vgpu } => Ask::Destroy { vgpu },
            Self::Policy(it) => Ask::Policy(Policy {
                host: it.host,
                policy: it.policy.map(|word| match word {
                    PolicyWord::BestEffort => PolicyName::BestEffort,
                    PolicyWord::EqualShare => PolicyName::EqualShare,
                    PolicyWord::FixedShare => PolicyName::FixedShare,
                }),
                slice_ns: it.slice,
                averaging: it.averaging,
                sizes: it.sizes.map(|word| match word {
                    SizesWord::Mixed => Sizes::Mixed,
                    SizesWord::Homogeneous => Sizes::Homogeneous,
                }),
            }),
            Self::Share(ShareOptions { vgpu, weight, share, cap }) => {
                Ask::Share(Share { vgpu, weight, part: share, cap })
            }
            Self::Suspend { vgpu, file } => Ask::Suspend(Suspend { vgpu, file }),
            Self::Resume { file, host, vgpu } => Ask::Resume(Resume { file, host, vgpu }),
            Self::Migrate(it) => Ask::Migrate(Migrate {
                kind: it.how.kind(),
                max_downtime_ns: it.how.max_downtime_ns(),
                vgpu: it.vgpu,
                to: it.to,
                host: it.host,
            }),
            Self::Evacuate(it) => Ask::Evacuate(Evacuate {
                kind: it.how.kind(),
                max_downtime_ns: it.how.max_downtime_ns(),
                host: it.host,
                to: it.to,
                parallel: it.parallel,
            }),
            Self::Resolve { vgpu, decision } => {
                let decision = match decision {
                    DecisionWord::RunHere => Decision::RunHere,
                    DecisionWord::Gone => Decision::Gone,
                };
                Ask::Resolve { vgpu, decision }
            }
            Self::Events { follow, after } => Ask::Events(Events { follow, after }),
            Self::Schema => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use serde_json::{Value, json};

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Verb,
    }

    fn asked(words: &str) -> Option<Value> {
        // A word with a blank in it has `_` here.
        let words = words.split(' ').map(|word| word.replace('_', " "));
        let line = Line::try_parse_from(["ctl".to_owned()].into_iter().chain(words)).unwrap();
        line.verb.ask().map(|ask| serde_json::to_value(ask).unwrap())
    }

    #[test]
    fn a_question_has_what_was_said_and_no_more() {
        let all = [
            ("list", json!({"command": "list"})),
            ("list --hosts", json!({"command": "hosts"})),
            ("show v0", json!({"command": "show", "vgpu": "v0"})),
            ("show --host a", json!({"command": "host", "host": "a"})),
            ("profiles", json!({"command": "hosts"})),
            ("profiles a", json!({"command": "host", "host": "a"})),
            ("create v0 --profile p", json!({"command": "create", "vgpu": "v0", "profile": "p"})),
            ("destroy v0", json!({"command": "destroy", "vgpu": "v0"})),
            ("policy a --slice 0", json!({"command": "policy", "host": "a", "slice_ns": 0})),
            (
                "policy a --sizes mixed --policy fixed-share",
                json!({"command": "policy", "host": "a", "policy": "fixed-share",
                    "sizes": "mixed"}),
            ),
            ("share v0 --weight 7", json!({"command": "share", "vgpu": "v0", "weight": 7})),
            ("suspend v0", json!({"command": "suspend", "vgpu": "v0"})),
            ("resume f", json!({"command": "resume", "file": "f"})),
            (
                "migrate v0 --to b",
                json!({"command": "migrate", "vgpu": "v0", "to": "b", "kind": "live"}),
            ),
            ("evacuate a", json!({"command": "evacuate", "host": "a", "kind": "live"})),
            ("events", json!({"command": "events", "follow": false})),
        ];
        for (words, ask) in all {
            assert_eq!(asked(words), Some(ask), "{words}");
        }
        assert_eq!(asked("schema"), None);
    }

    #[test]
    fn units_are_those_of_the_protocol() {
        let all = [
            (
                "create v0 --profile p --host a --placement 4 --weight 2",
                json!({"command": "create", "vgpu": "v0", "profile": "p", "host": "a",
                    "placement": 4, "weight": 2}),
            ),
            (
                "policy a --policy equal-share --slice 2_ms --averaging 33 --sizes homogeneous",
                json!({"command": "policy", "host": "a", "policy": "equal-share",
                    "slice_ns": 2_000_000, "averaging": 33, "sizes": "homogeneous"}),
            ),
            (
                "share v0 --share 12.5_% --cap 100_%",
                json!({"command": "share", "vgpu": "v0", "part": 1_250, "cap": 10_000}),
            ),
            (
                "migrate v0 --to unix:x --host c --stop-and-copy",
                json!({"command": "migrate", "vgpu": "v0", "to": "unix:x", "host": "c",
                    "kind": "stop-and-copy"}),
            ),
            (
                "migrate v0 --to b --max-downtime 20",
                json!({"command": "migrate", "vgpu": "v0", "to": "b", "kind": "live",
                    "max_downtime_ns": 20_000_000}),
            ),
            (
                "evacuate a --to b --to c --parallel 4 --max-downtime 3600000",
                json!({"command": "evacuate", "host": "a", "to": ["b", "c"], "parallel": 4,
                    "kind": "live", "max_downtime_ns": 3_600_000_000_000_u64}),
            ),
            (
                "events --follow --after 12",
                json!({"command": "events", "follow": true, "after": 12}),
            ),
        ];
        for (words, ask) in all {
            assert_eq!(asked(words), Some(ask), "{words}");
        }
    }
}
