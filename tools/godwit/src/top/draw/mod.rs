//! Draws what is shown. It changes nothing, and every size will do.

mod events;
mod hosts;
mod vgpus;

use super::model::{Link, Model};
use super::view::View;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};
use std::time::Duration;

/// Hosts that are shown at a time, at most.
const HOSTS_SHOWN: usize = 8;
/// vGPUs to which something is done that are shown at a time, at most.
const DOING_SHOWN: usize = 4;

/// Lines of the details of the one that is selected.
const DETAILS: usize = 3;
/// With fewer lines only hosts and vGPUs are shown, and with fewer still only vGPUs.
const LOW: u16 = 12;
const TINY: u16 = 7;

const TITLE: Style = Style::new().add_modifier(Modifier::BOLD);
const HEADER: Style = Style::new().fg(Color::Cyan);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// Draws it; `now` is the time since the begin.
pub(super) fn draw(frame: &mut Frame<'_>, live: &Model, view: &View, address: &str, now: Duration) {
    let shown = view.shown(live);
    let (rows, selected) = view.rows(shown);
    let height = frame.area().height;
    let length = |wanted: bool, lines: usize| {
        Constraint::Length(if wanted { u16::try_from(lines).unwrap_or(u16::MAX) } else { 0 })
    };
    let (is_low, is_tiny) = (height < LOW, height < TINY);
    let doing = rows.iter().filter(|row| row.doing.is_some()).count();
    let doing = lines_for(doing, DOING_SHOWN);
    let hosts = lines_for(shown.hosts.len().max(1), HOSTS_SHOWN) + 1;
    let [title, hosts, vgpus, details, doing, events, foot] = Layout::vertical([
        Constraint::Length(1),
        length(!is_tiny, hosts),
        Constraint::Fill(2),
        length(!is_low && selected.is_some(), DETAILS),
        length(!is_low, doing),
        if is_low { Constraint::Length(0) } else { Constraint::Fill(1) },
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(live, view, address, now), title);
    hosts::draw(frame, hosts, shown);
    vgpus::draw(frame, vgpus, &shown.engines(), &rows, selected);
    if let Some(row) = selected.and_then(|at| rows.get(at)) {
        vgpus::draw_details(frame, details, row);
    }
    vgpus::draw_doing(frame, doing, &rows, now);
    events::draw(frame, events, shown);
    frame.render_widget(foot_line(view), foot);
    if view.help {
        draw_help(frame);
    }
}

/// Lines for so many things, of which at most so many are shown: one more says that there are more.
fn lines_for(count: usize, most: usize) -> usize {
    if count > most { most + 1 } else { count }
}

/// How many of so many things are shown on these lines, and what the last line says of the rest.
fn shown_on(lines: usize, count: usize) -> (usize, Option<String>) {
    if count <= lines {
        return (count, None);
    }
    let shown = lines.saturating_sub(1);
    (shown, Some(format!("and {} more", count - shown)))
}

fn title_line<'a>(live: &Model, view: &View, address: &'a str, now: Duration) -> Line<'a> {
    let mut spans = vec![Span::styled("godwit top", TITLE), Span::raw(format!("  {address}  "))];
    spans.push(match &live.link {
        Link::Awaited => Span::raw("connects …"),
        Link::Live(_) => Span::raw(format!(
            "{}, {}",
            counted(live.hosts.len(), "host"),
            counted(live.vgpus.len(), "vGPU")
        )),
        Link::Lost(since, why) => {
            let seconds = now.saturating_sub(*since).as_secs();
            Span::styled(format!("LOST for {seconds} s: {why}"), BAD)
        }
    });
    if view.is_paused() {
        spans.insert(1, Span::styled("  PAUSED", BAD));
    }
    Line::from(spans)
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn foot_line(view: &View) -> Line<'static> {
    let keys = format!("q end  ↑↓ select  s order: {}  p hold  ? help", view.sort.name());
    Line::styled(keys, FAINT)
}

fn draw_help(frame: &mut Frame<'_>) {
    let lines = [
        "q, Esc, Ctrl-C      end",
        "↑ ↓ j k g G         select a vGPU",
        "s                   another order",
        "p                   hold what is shown, and go on",
        "? Esc               close this",
        "",
        "engines    part of their time in the last second",
        "slices     turns on an engine, of the last 10 s",
        "let go     until it let go of an engine with work left",
        "debt       what it has had too much, and pays back",
        "≤          at most so long, by a histogram's bounds",
    ];
    let text: Vec<Line<'_>> = lines.into_iter().map(Line::raw).collect();
    let (width, height) = (58, u16::try_from(text.len() + 2).unwrap_or(u16::MAX));
    let area = middle(frame.area(), width, height);
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title("help")), area);
}

/// A column of a table: its title, its cells at least, and what it shows.
type Column<'a, T> = (&'a str, u16, Box<dyn Fn(&T) -> String + 'a>);

/// As many of the columns as there is room for, from the first on, which is always there. Each is
/// as wide as its longest cell at least: a number that is cut is another number.
fn fitting<'a, 'r, T: 'r>(
    mut all: Vec<Column<'a, T>>,
    rows: impl Iterator<Item = &'r T> + Clone,
    room: u16,
) -> Vec<Column<'a, T>> {
    for (_, width, shown) in &mut all {
        let longest = rows.clone().map(|row| shown(row).chars().count()).max();
        *width = (*width).max(u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX));
    }
    let mut end = 0_u16;
    let fits = |(at, (_, width, _)): &(usize, Column<'_, T>)| {
        end = end.saturating_add(*width);
        let fits = *at == 0 || end <= room;
        end = end.saturating_add(1);
        fits
    };
    all.into_iter().enumerate().take_while(fits).map(|(_, column)| column).collect()
}

/// Lines, one below the other, as far as there is room; what is too long is cut.
fn draw_lines<'a>(frame: &mut Frame<'_>, area: Rect, lines: impl Iterator<Item = Line<'a>>) {
    for (row, line) in area.rows().zip(lines) {
        frame.render_widget(line, row);
    }
}

/// The middle of an area, so wide and high at most.
fn middle(of: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(of.width), height.min(of.height));
    let (x, y) = (of.x + (of.width - width) / 2, of.y + (of.height - height) / 2);
    Rect { x, y, width, height }
}

/// A bar of so many cells for a part of a whole.
fn bar(part: f64, cells: u16) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    // A part that is no number is none.
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    let eighths = (part * f64::from(cells) * 8.0).round() as usize;
    let (full, rest) = (eighths / 8, eighths % 8);
    let shown = format!("{}{}", "█".repeat(full), EIGHTHS[rest]);
    format!("{shown:<0$}", usize::from(cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_part() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.53, 4), "██▏ ");
        assert_eq!(bar(1.0, 4), "████");
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(bar(odd, 2), "  ", "{odd}");
        }
        assert_eq!(bar(7.0, 2), "██");
    }
}
