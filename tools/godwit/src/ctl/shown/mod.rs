//! What a server says, for people.

mod events;
mod hosts;
mod outcomes;
mod vgpus;

pub(crate) use events::{sentence, time_of_day};
pub(super) use hosts::profiles;
pub(crate) use hosts::{policy_name, sizes_name};
pub(super) use outcomes::refusal;
pub(super) use vgpus::made;

use crate::table::table;
use godwit_control::Told;

/// Tables and sentences, each line with its end.
pub(super) fn told(told: &Told) -> String {
    match told {
        Told::Vgpus(all) => vgpus::list(all),
        Told::Vgpu(vgpu) => vgpus::one(vgpu),
        Told::Hosts(all) => hosts::list(all),
        Told::Host(host) => hosts::one(host),
        Told::Destroyed(vgpu) => format!("`{vgpu}` is gone\n"),
        Told::Suspended(suspended) => outcomes::suspended(suspended),
        Told::Resolved(vgpu) => format!("what was decided about `{vgpu}` is done\n"),
        Told::Receiving(host) => format!("a vGPU is awaited on `{host}`\n"),
        Told::Moved(moved) => outcomes::moved(moved),
        Told::Evacuated(evacuation) => outcomes::evacuated(evacuation),
        Told::Events(all) => all.iter().map(events::line).collect(),
        Told::Event(event) => events::line(event),
        Told::Progress(progress) => format!("`{}` is on its way\n", progress.vgpu),
        Told::Error(why) => refusal(why) + "\n",
    }
}

/// A table of names and values.
fn facts(of: &str, name: &str, facts: &[(&str, String)]) -> String {
    let mut table = table(&[of, name], 0..0, None);
    for (what, value) in facts {
        table.add_row([*what, value]);
    }
    table.to_string()
}

/// What is there, or a dash.
fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
