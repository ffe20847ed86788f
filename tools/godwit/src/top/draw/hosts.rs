//! Hosts, a line each.

use super::{BAD, Column, FAINT, HEADER, bar, fitting, shown_on};
use crate::ctl::{policy_name, sizes_name};
use crate::top::model::Model;
use crate::units::{exact_size, exact_time};
use godwit_control::HostStatus;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::widgets::{Row, Table};

/// Cells of a bar.
const BAR: u16 = 8;

/// The columns, the most important first.
fn columns<'a>() -> Vec<Column<'a, HostStatus>> {
    vec![
        ("host", 12, Box::new(|host| host.name.clone())),
        ("framebuffer", 27, Box::new(framebuffer)),
        ("vGPUs", 8, Box::new(vgpus)),
        ("policy", 11, Box::new(|host| policy_name(host.policy).to_owned())),
        ("slice", 6, Box::new(|host| exact_time(host.slice_ns))),
        ("firmware", 12, Box::new(firmware)),
        ("sizes", 11, Box::new(|host| sizes_name(host.sizes).to_owned())),
        ("came", 6, Box::new(|host| host.moves.came.to_string())),
        ("gone", 6, Box::new(|host| host.moves.gone.to_string())),
        ("failed", 6, Box::new(|host| host.moves.failed.to_string())),
    ]
}

fn framebuffer(host: &HostStatus) -> String {
    let room = &host.framebuffer;
    let used = room.total.saturating_sub(room.free);
    let part = if room.total == 0 { 0.0 } else { used as f64 / room.total as f64 };
    format!("{} {} of {}", bar(part, BAR), exact_size(used), exact_size(room.total))
}

fn vgpus(host: &HostStatus) -> String {
    format!("{} of {}", host.vgpus.total.saturating_sub(host.vgpus.free), host.vgpus.total)
}

fn firmware(host: &HostStatus) -> String {
    match (host.firmware.lost, host.firmware.losses) {
        (true, _) => "LOST".to_owned(),
        (false, 0) => "runs".to_owned(),
        (false, losses) => format!("restarted {losses}×"),
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let columns = fitting(columns(), model.hosts.iter(), area.width);
    let header = Row::new(columns.iter().map(|(title, ..)| *title)).style(HEADER);
    let lines = usize::from(area.height.saturating_sub(1));
    let (count, more) = shown_on(lines, model.hosts.len());
    let rows = model.hosts.iter().take(count).map(|host| {
        let style = if host.firmware.lost { BAD } else { Style::new() };
        Row::new(columns.iter().map(|(.., shown)| shown(host))).style(style)
    });
    let rows = rows.chain(more.map(|more| Row::new([more]).style(FAINT)));
    let widths = columns.iter().map(|(_, width, _)| Constraint::Length(*width));
    frame.render_widget(Table::new(rows, widths).header(header), area);
}
