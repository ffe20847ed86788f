//! vGPUs: a line each, what is done to them, and all of the one that is selected.

use super::{BAD, Column, FAINT, HEADER, bar, draw_lines, fitting, shown_on};
use crate::ctl::Quantile;
use crate::top::model::VgpuRow;
use crate::top::view::debt;
use crate::units::{about_count, about_size, about_time};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Row, Table, TableState};
use std::time::Duration;

/// Cells of a bar.
const BAR: u16 = 6;
/// Cells of an engine's column: a bar, and a part.
const ENGINE: u16 = BAR + 8;
/// Engines that have a column.
const ENGINES_SHOWN: usize = 4;

/// The columns, the most important first.
fn columns<'a>(engines: &[&'a str]) -> Vec<Column<'a, VgpuRow>> {
    let mut all: Vec<Column<'a, VgpuRow>> = vec![
        ("vGPU", 14, Box::new(|row| row.status.name.clone())),
        ("host", 8, Box::new(|row| row.status.host.clone())),
        ("state", 9, Box::new(|row| row.status.state.clone())),
    ];
    for engine in engines.iter().copied().take(ENGINES_SHOWN) {
        all.push((engine, ENGINE, Box::new(move |row| share(row, engine))));
    }
    let done = |row: &VgpuRow| row.status.busy.clone().unwrap_or_default();
    let profile = |row: &VgpuRow| row.status.profile.clone().unwrap_or_default();
    let machine = |row: &VgpuRow| if row.status.attached { "yes" } else { "" }.to_owned();
    let slices = |row: &VgpuRow| format!("{:.0}", row.rates.slices().per_second);
    let rest: [Column<'a, VgpuRow>; 8] = [
        ("done", 9, Box::new(done)),
        ("machine", 7, Box::new(machine)),
        ("profile", 12, Box::new(profile)),
        ("slices/s", 8, Box::new(slices)),
        ("median", 10, Box::new(|row| time(row.rates.slices().median))),
        ("p99", 10, Box::new(|row| time(row.rates.slices().p99))),
        ("debt", 8, Box::new(owed)),
        ("let go p99", 10, Box::new(|row| time(row.rates.preemptions().p99))),
    ];
    all.extend(rest);
    all
}

fn share(row: &VgpuRow, engine: &str) -> String {
    let found = row.status.stats.engines.iter().find(|it| it.engine == engine);
    found.map_or_else(String::new, |it| {
        format!("{} {:>5.1} %", bar(it.share, BAR), it.share * 100.0)
    })
}

fn time(quantile: Option<Quantile>) -> String {
    quantile.map_or_else(String::new, |quantile| quantile.to_string())
}

fn owed(row: &VgpuRow) -> String {
    match debt(row) {
        0 => String::new(),
        ns => about_time(ns),
    }
}

/// As many columns as there is room for, and the rows around the one that is selected.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    engines: &[&str],
    rows: &[&VgpuRow],
    selected: Option<usize>,
) {
    let columns = fitting(columns(engines), rows.iter().copied(), area.width);
    let header = Row::new(columns.iter().map(|(title, ..)| *title)).style(HEADER);
    let lines = rows.iter().map(|row| {
        let style = if row.doing.is_some() { Modifier::BOLD } else { Modifier::empty() };
        Row::new(columns.iter().map(|(.., shown)| shown(row))).style(style)
    });
    let widths = columns.iter().map(|(_, width, _)| Constraint::Length(*width));
    let table = Table::new(lines, widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
}

/// What is being done, a line for each vGPU.
pub(super) fn draw_doing(frame: &mut Frame<'_>, area: Rect, rows: &[&VgpuRow], now: Duration) {
    let all: Vec<_> = rows.iter().filter_map(|row| Some((row, row.doing.as_ref()?))).collect();
    let (count, more) = shown_on(area.height.into(), all.len());
    let lines = all.into_iter().take(count).map(|(row, doing)| {
        let seconds = now.saturating_sub(doing.since).as_secs();
        let busy = row.status.busy.as_deref().unwrap_or_default();
        let text = doing.text.as_deref().unwrap_or_default();
        Line::from(vec![
            Span::styled(format!("{} {busy}, {seconds} s", row.status.name), BAD),
            Span::raw(format!("  {text}")),
        ])
    });
    draw_lines(frame, area, lines.chain(more.map(|more| Line::styled(more, FAINT))));
}

/// More of the one that is selected.
pub(super) fn draw_details(frame: &mut Frame<'_>, area: Rect, row: &VgpuRow) {
    let (it, stats) = (&row.status, &row.status.stats);
    let place = it.placement.map_or_else(String::new, |id| format!(" at placement {id}"));
    let writes = stats.dirty_bytes_per_second.map_or_else(String::new, |bytes| {
        format!(", {} a second written in its last move", about_size(bytes))
    });
    let place = format!(
        "{}  {}  {}{place}, {} channels, weight {}",
        it.name,
        it.uuid,
        about_size(it.framebuffer_bytes),
        it.channels,
        it.share.weight
    );
    let counted = format!(
        "{} slices, {} preemptions, {} faults, {} times too much of something, {} moves, {} \
         failed{writes}",
        about_count(stats.slices.count),
        about_count(stats.preemptions.count),
        stats.faults,
        stats.abuses,
        stats.moves,
        stats.moves_failed,
    );
    let lines = [place, counted, it.socket.display().to_string()];
    draw_lines(frame, area, lines.into_iter().map(|line| Line::styled(line, FAINT)));
}
