//! The last events, the newest below.

use super::{BAD, FAINT, HEADER, draw_lines};
use crate::ctl::{sentence, time_of_day};
use crate::top::model::Model;
use godwit_control::{Event, EventKind};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let room = usize::from(area.height.saturating_sub(1));
    let first = model.events.len().saturating_sub(room);
    let header = Line::styled("events, in UTC", HEADER);
    let lines = model.events.range(first..).map(line);
    draw_lines(frame, area, std::iter::once(header).chain(lines));
}

fn line(event: &Event) -> Line<'static> {
    let style = match event.kind {
        EventKind::Failed
        | EventKind::Refused
        | EventKind::Abuse
        | EventKind::FirmwareLost
        | EventKind::Missed => BAD,
        _ => Style::new(),
    };
    Line::from(vec![
        Span::styled(time_of_day(event.at_ms), FAINT),
        Span::raw("  "),
        Span::styled(sentence(event), style),
    ])
}
