//! `godwit ctl` and `godwit top`: what is asked, what is printed where, and the exit status.
//!
//! `failures` has servers that answer what no server should; the rest asks a real one.

mod bridge;
mod failures;
mod fake;
mod json;
mod mistakes;
mod refusals;
mod resolving;
mod schema;
mod screen;
mod serving;
mod tls;
mod transcripts;

use snapbox::cmd::{Command, cargo_bin};
use std::path::Path;

/// The command, in a folder with the socket `ctl`.
fn godwit(folder: &Path) -> Command {
    // No colours, and nobody's terminal or server.
    Command::new(cargo_bin!("godwit"))
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .env("GODWIT_CONNECT", "unix:ctl")
        .current_dir(folder)
}

/// `godwit ctl` with these words.
fn ctl(folder: &Path, words: &[&str]) -> Command {
    godwit(folder).arg("ctl").args(words)
}
