//! What became of something.

use crate::table::table;
use crate::units::{about_size, about_time};
use godwit_control::{Evacuation, Moved, Refusal, Suspended};

/// Why something is not done, and what would be, without a last line's end.
pub(in crate::ctl) fn refusal(why: &Refusal) -> String {
    match &why.help {
        Some(help) => format!("{}\nhelp: {help}", why.message),
        None => why.message.clone(),
    }
}

pub(super) fn suspended(it: &Suspended) -> String {
    let (bytes, time) = (about_size(it.bytes), about_time(it.total_ns));
    format!("`{}` is in the file `{}`: {bytes}, {time}\n", it.vgpu, it.file)
}

pub(super) fn moved(it: &Moved) -> String {
    format!("`{}` has moved from `{}` to `{}`: {}\n", it.vgpu, it.from, it.to, how(it))
}

fn how(it: &Moved) -> String {
    let (still, total) = (about_time(it.blackout_ns), about_time(it.total_ns));
    let stopped = about_size(it.stop_bytes);
    let rounds = match it.rounds {
        0 => String::new(),
        1 => format!("{} in 1 round, ", about_size(it.precopy_bytes)),
        rounds => format!("{} in {rounds} rounds, ", about_size(it.precopy_bytes)),
    };
    format!("stood still for {still} of {total}; {rounds}{stopped} while it stood still")
}

pub(super) fn evacuated(it: &Evacuation) -> String {
    let mut table = table(&[&format!("out of {}", it.host), "to", "outcome"], 0..0, None);
    for moved in &it.moved {
        table.add_row([moved.vgpu.clone(), moved.to.clone(), how(moved)]);
    }
    for stayed in &it.stayed {
        table.add_row([
            stayed.vgpu.clone(),
            "-".to_owned(),
            format!("stayed: {}", refusal(&stayed.why)),
        ]);
    }
    let table = match it.moved.is_empty() && it.stayed.is_empty() {
        true => String::new(),
        false => format!("{table}\n\n"),
    };
    match (it.stayed.len(), it.stayed.len() + it.moved.len()) {
        (0, _) => format!("{table}`{}` is empty\n", it.host),
        (stayed, all) => format!("{table}`{}` is NOT EMPTY: {stayed} of {all} stayed\n", it.host),
    }
}
