//! `godwit top`: what a server does, live, on a terminal.
//!
//! ```text
//!  feed ── Update ──▶ Model ──┐
//!  keys ───────────▶ View ───┴──▶ draw ──▶ terminal
//! ```

mod draw;
mod feed;
mod model;
mod rates;
mod terminal;
mod view;

#[cfg(test)]
mod tests;

use crate::ctl::ConnectOptions;
use crate::remote::{Failure, Shown};
use clap::Args;
use std::io::{self, IsTerminal as _};

/// Keys and examples, for `--help`.
pub(crate) const AFTER_HELP: &str = "\
Keys:
  q, Esc, Ctrl-C          end
  arrows, j, k, g, G      select a vGPU, whose details are shown
  s                       another order
  p                       hold what is shown, and go on
  ?                       help

Examples:
  godwit top
  godwit top --connect unix:/run/other/ctl";

/// What `godwit top` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct TopOptions {
    #[command(flatten)]
    connect: ConnectOptions,
}

impl TopOptions {
    /// Shows it until somebody ends it. A server that is lost is shown, and asked again.
    ///
    /// # Errors
    ///
    /// When there is no terminal, or it fails.
    pub(crate) fn run(&self) -> Result<Shown, Failure> {
        if !io::stdout().is_terminal() {
            let why = "standard output is no terminal\n\
                       help: `godwit ctl list` and `godwit ctl events --follow` print lines";
            return Err(Failure::Mistake(why.to_owned()));
        }
        match terminal::show(&self.connect) {
            Ok(()) => Ok((String::new(), true)),
            Err(error) => Err(Failure::Refused(format!("the terminal has failed: {error}"))),
        }
    }
}
