//! How the one who looks wants to see it: what keys change.

use super::model::{Model, VgpuRow};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::cmp::Reverse;

/// By what vGPUs are in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// As the server has them: by host and id.
    #[default]
    Host,
    /// By their names.
    Name,
    /// Those first that have most of an engine.
    Share,
    /// Those first that have most debt.
    Debt,
    /// Those first to which something is done.
    Doing,
}

impl Sort {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Name => "name",
            Self::Share => "share",
            Self::Debt => "debt",
            Self::Doing => "what is done",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Host => Self::Name,
            Self::Name => Self::Share,
            Self::Share => Self::Debt,
            Self::Debt => Self::Doing,
            Self::Doing => Self::Host,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) sort: Sort,
    pub(super) help: bool,
    /// What was there when it was stopped.
    paused: Option<Box<Model>>,
    /// The vGPU that is selected, by its own id: it may change its place.
    selected: Option<String>,
}

impl View {
    /// What is to be shown.
    pub(super) fn shown<'a>(&'a self, live: &'a Model) -> &'a Model {
        self.paused.as_deref().unwrap_or(live)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The vGPUs in their order, and which of them is selected.
    pub(super) fn rows<'a>(&self, shown: &'a Model) -> (Vec<&'a VgpuRow>, Option<usize>) {
        let mut rows: Vec<&VgpuRow> = shown.vgpus.iter().collect();
        match self.sort {
            Sort::Host => {}
            Sort::Name => rows.sort_by_key(|row| &row.status.name),
            Sort::Share => rows.sort_by(|a, b| share(b).total_cmp(&share(a))),
            Sort::Debt => rows.sort_by_key(|row| Reverse(debt(row))),
            Sort::Doing => rows.sort_by_key(|row| row.doing.is_none()),
        }
        let selected = self.selected.as_ref();
        let at = rows.iter().position(|row| Some(&row.status.uuid) == selected);
        (rows, at)
    }

    /// Does what a key says. `false`: it is over.
    pub(super) fn handle_key(&mut self, key: KeyEvent, live: &Model) -> bool {
        if key.kind == KeyEventKind::Release {
            return true;
        }
        let held = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if held => return false,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('p') => {
                self.paused = match self.paused.take() {
                    Some(_) => None,
                    None => Some(Box::new(live.clone())),
                }
            }
            KeyCode::Down | KeyCode::Char('j') => self.select(live, |at, _| at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(live, |at, _| at.saturating_sub(1)),
            KeyCode::Home | KeyCode::Char('g') => self.select(live, |_, _| 0),
            KeyCode::End | KeyCode::Char('G') => self.select(live, |_, last| last),
            _ => {}
        }
        true
    }

    /// Selects another vGPU: the first, when none was.
    fn select(&mut self, live: &Model, to: impl Fn(usize, usize) -> usize) {
        let (rows, at) = self.rows(self.shown(live));
        let Some(last) = rows.len().checked_sub(1) else { return };
        let to = at.map_or(0, |at| to(at, last)).min(last);
        self.selected = rows.get(to).map(|row| row.status.uuid.clone());
    }
}

/// The most that it has of an engine.
fn share(row: &VgpuRow) -> f64 {
    row.status.stats.engines.iter().map(|it| it.share).fold(0.0, f64::max)
}

/// What it owes of all engines.
pub(super) fn debt(row: &VgpuRow) -> u64 {
    row.status.stats.engines.iter().fold(0, |sum, it| sum.saturating_add(it.debt_ns))
}
