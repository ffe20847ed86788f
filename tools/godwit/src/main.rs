//! See the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    godwit::Cli::from_process().run()
}
