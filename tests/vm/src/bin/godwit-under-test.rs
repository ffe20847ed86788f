//! `godwit`, where the tests of this package find it.

#![forbid(unsafe_code)]

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    godwit::Cli::parse().run()
}
