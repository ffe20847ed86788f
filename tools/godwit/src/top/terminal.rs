//! The terminal: taken, drawn to, and given back, whatever happens.

use super::draw::draw;
use super::feed;
use super::model::Model;
use super::view::View;
use crate::ctl::ConnectOptions;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a key is waited for until it is seen what is new.
const LOOK: Duration = Duration::from_millis(100);

/// Gives the terminal back when it is dropped.
struct Taken(DefaultTerminal);

impl Drop for Taken {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows a server until a key or a signal ends it.
///
/// # Errors
///
/// When the terminal cannot be taken, or fails.
pub(super) fn show(options: &ConnectOptions) -> io::Result<()> {
    let ends = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ends))?;
    }
    // From here on a panic gives it back, too.
    let mut taken = Taken(ratatui::try_init()?);
    let (begin, address) = (Instant::now(), options.address());
    let updates = feed::begin(options);
    let (mut model, mut view) = (Model::new(), View::default());
    while !ends.load(Ordering::Acquire) {
        for update in updates.try_iter() {
            model.take(update, begin.elapsed());
        }
        let now = begin.elapsed();
        taken.0.draw(|frame| draw(frame, &model, &view, &address, now))?;
        if event::poll(LOOK)?
            && let Event::Key(key) = event::read()?
            && !view.handle_key(key, &model)
        {
            break;
        }
    }
    Ok(())
}
