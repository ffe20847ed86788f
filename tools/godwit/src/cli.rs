//! The command line: what may be asked for, and what it exits with.

use crate::ctl::CtlOptions;
use crate::help::{CompletionsOptions, ManOptions};
use crate::image::{Failure, ImageCommand};
use crate::inspect::inspect;
use crate::mcu::McuOptions;
use crate::progress::{Bars, Plain, Progress, Silent};
use crate::remote::{self, ReceiveOptions, ResolveOptions, SendOptions};
use crate::scenario::{EvacuateOptions, Scenario, ScenarioError};
use crate::serve::{ServeError, ServeOptions};
use crate::top::TopOptions;
use crate::vm::{MigrateOptions, ResumeOptions, SuspendOptions};
use crate::{DEMO, run};
use annotate_snippets::Renderer;
use clap::{Args, Parser, Subcommand};
use godwit_shim::SealKey;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit statuses, for `--help`.
pub(crate) const EXIT_STATUSES: &str = "\
Exit status:
  0  it was done, and everything was verified
  1  something was not: a job's bytes, an event's end, a state file; or a server refused, or failed
  2  the command line or the scenario has a mistake, a file cannot be read, a server not reached";

/// Moves running vGPUs between simulated GPUs, and checks that no job notices.
#[derive(Debug, Parser)]
#[command(name = "godwit", version, after_help = EXIT_STATUSES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the built-in scenario: six vGPUs on two hosts, a live move and a suspend.
    #[command(after_help = EXIT_STATUSES)]
    Demo {
        #[command(flatten)]
        options: Options,
        /// Print the built-in scenario and do nothing else.
        #[arg(long, conflicts_with_all = ["seed", "json", "mcu", "log"])]
        print: bool,
    },
    /// Runs a scenario.
    #[command(after_help = EXIT_STATUSES)]
    Run {
        /// The scenario, a TOML file; `godwit demo --print` shows one.
        scenario: PathBuf,
        #[command(flatten)]
        options: Options,
        /// Resumes state files whether or not they were resumed before, and leaves them usable: one
        /// vGPU may then run twice, which is yours to prevent.
        #[arg(long)]
        keep: bool,
    },
    /// Runs a scenario, and moves all vGPUs of a host to others meanwhile.
    #[command(after_help = EXIT_STATUSES)]
    Evacuate {
        /// The scenario, a TOML file.
        scenario: PathBuf,
        #[command(flatten)]
        evacuation: EvacuateOptions,
        #[command(flatten)]
        options: Options,
    },
    /// Shows the records of a state file and whether they are sound.
    #[command(after_help = EXIT_STATUSES)]
    Inspect {
        /// The state file of a suspended vGPU.
        file: PathBuf,
        /// What it is sealed with: a file of 64 hexadecimal digits, which others may not access.
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Sends a vGPU of a scenario to another process, in the middle of its job.
    #[command(after_help = EXIT_STATUSES)]
    Send {
        /// The scenario, a TOML file; its events do not happen.
        scenario: PathBuf,
        /// Where all randomness comes from, in place of the scenario's own seed.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        #[command(flatten)]
        options: SendOptions,
    },
    /// Takes a vGPU in that another process sends, and lets its job come to its end.
    #[command(after_help = EXIT_STATUSES)]
    Receive {
        /// The scenario, the same as the sender's.
        scenario: PathBuf,
        /// Where all randomness comes from, in place of the scenario's own seed.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        #[command(flatten)]
        options: ReceiveOptions,
    },
    /// Decides whose a vGPU is when the peer of its move is gone for good.
    #[command(after_help = EXIT_STATUSES)]
    Resolve(ResolveOptions),
    /// Serves vGPUs as devices of virtual machines, over vfio-user, until it is told to end.
    #[command(after_help = EXIT_STATUSES)]
    Serve(ServeOptions),
    /// Asks a server that runs what there is, and tells it what to do.
    #[command(after_help = crate::ctl::AFTER_HELP)]
    Ctl(CtlOptions),
    /// Shows what a server does, live, on the terminal.
    #[command(after_help = crate::top::AFTER_HELP)]
    Top(TopOptions),
    /// Migrates a running virtual machine with its vGPU to another QEMU and another server.
    #[command(after_help = EXIT_STATUSES)]
    VmMigrate(MigrateOptions),
    /// Suspends a virtual machine with its vGPU to a folder.
    #[command(after_help = EXIT_STATUSES)]
    VmSuspend(SuspendOptions),
    /// Resumes a virtual machine with its vGPU from a folder.
    #[command(after_help = EXIT_STATUSES)]
    VmResume(ResumeOptions),
    /// Image files, and flash files to boot them from.
    #[command(subcommand, after_help = EXIT_STATUSES)]
    Image(ImageCommand),
    /// Prints what makes a shell complete this command.
    #[command(after_help = EXIT_STATUSES)]
    Completions(CompletionsOptions),
    /// Writes a man page for each command to a folder.
    #[command(after_help = EXIT_STATUSES)]
    Man(ManOptions),
}

#[derive(Clone, Debug, Args)]
struct Options {
    /// Where all randomness comes from, in place of the scenario's own seed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mcu: McuOptions,
}

/// Something is not verified.
const NOT_VERIFIED: u8 = 1;
/// The user's mistake.
const MISTAKE: u8 = 2;

impl Cli {
    /// Does what is asked for. Results go to standard output, everything else to standard
    /// error.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Demo { print: true, .. } => shown(DEMO, true),
            Command::Demo { options, .. } => demo(&options),
            Command::Run { scenario, options, keep } => {
                match Scenario::load(&scenario, options.seed) {
                    Ok(mut scenario) => {
                        if keep {
                            scenario.keep_files();
                        }
                        execute(&scenario, &options)
                    }
                    Err(error) => mistaken(&error),
                }
            }
            Command::Evacuate { scenario, evacuation, options } => {
                evacuate(&scenario, &evacuation, &options)
            }
            Command::Inspect { file, key_file, json } => {
                inspected(&file, key_file.as_deref(), json)
            }
            Command::Send { scenario, seed, options } => {
                remote(&scenario, seed, |scenario| options.run(scenario))
            }
            Command::Receive { scenario, seed, options } => {
                remote(&scenario, seed, |scenario| options.run(scenario))
            }
            Command::Resolve(options) => ended(options.run()),
            Command::VmMigrate(options) => ended(options.run()),
            Command::VmSuspend(options) => ended(options.run()),
            Command::VmResume(options) => ended(options.run()),
            Command::Serve(options) => match options.run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(ServeError::Config(error)) => mistaken(&error),
                Err(ServeError::Failure(why)) => ended(Err(why)),
            },
            Command::Ctl(options) => ended(options.run()),
            Command::Top(options) => ended(options.run()),
            Command::Image(command) => match command.run() {
                Ok((text, good)) => shown(&text, good),
                Err(Failure::Refused(why)) => failed(&why),
                Err(Failure::Mistake(why)) => {
                    anstream::eprintln!("error: {why}");
                    ExitCode::from(MISTAKE)
                }
            },
            Command::Completions(options) => shown(&options.text(), true),
            Command::Man(options) => match options.run() {
                Ok(text) => shown(&text, true),
                Err(why) => failed(&why),
            },
        }
    }
}

/// Runs one side of a move between two processes.
fn remote(
    scenario: &Path,
    seed: Option<u64>,
    run: impl FnOnce(&Scenario) -> Result<remote::Shown, remote::Failure>,
) -> ExitCode {
    match Scenario::load(scenario, seed) {
        Ok(scenario) => ended(run(&scenario)),
        Err(error) => mistaken(&error),
    }
}

fn ended(result: Result<remote::Shown, remote::Failure>) -> ExitCode {
    match result {
        Ok((text, good)) => shown(&text, good),
        Err(remote::Failure::Refused(why)) => failed(&why),
        Err(remote::Failure::Mistake(why)) => {
            anstream::eprintln!("error: {why}");
            ExitCode::from(MISTAKE)
        }
    }
}

/// Runs the built-in scenario, with its state files in a folder that is gone afterwards.
fn demo(options: &Options) -> ExitCode {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            return failed(&format!(
                "there is no place for temporary files: {error}; TMPDIR names one"
            ));
        }
    };
    match Scenario::demo(folder.path(), options.seed) {
        Ok(scenario) => execute(&scenario, options),
        Err(error) => mistaken(&error),
    }
}

fn evacuate(path: &Path, evacuation: &EvacuateOptions, options: &Options) -> ExitCode {
    let mut scenario = match Scenario::load(path, options.seed) {
        Ok(scenario) => scenario,
        Err(error) => return mistaken(&error),
    };
    if let Err(why) = evacuation.add_to(&mut scenario) {
        anstream::eprintln!("error: {why}");
        return ExitCode::from(MISTAKE);
    }
    execute(&scenario, options)
}

fn execute(scenario: &Scenario, options: &Options) -> ExitCode {
    let mcu = match options.mcu.mcu() {
        Ok(mcu) => mcu,
        Err(error) => {
            anstream::eprintln!("error: {error}");
            return ExitCode::from(MISTAKE);
        }
    };
    let mut progress: Box<dyn Progress> = match (io::stderr().is_terminal(), options.mcu.log()) {
        (true, _) => Box::new(Bars::new(scenario)),
        (false, true) => Box::new(Plain),
        (false, false) => Box::new(Silent),
    };
    let report = match run::execute_on(scenario, &mcu, progress.as_mut()) {
        Ok(report) => report,
        Err(error) => return failed(&error.to_string()),
    };
    drop(progress);
    let text = if options.json { report.json() + "\n" } else { report.human(None) };
    shown(&text, report.verified)
}

fn inspected(file: &Path, key_file: Option<&Path>, json: bool) -> ExitCode {
    let key = match key_file.map(|path| SealKey::read(path).map_err(|why| (path, why))).transpose()
    {
        Ok(key) => key,
        Err((path, why)) => {
            anstream::eprintln!("error: {}: {why}", path.display());
            return ExitCode::from(MISTAKE);
        }
    };
    let found = match inspect(file, key.as_ref()) {
        Ok(found) => found,
        Err(error) => {
            let then = "name a file that a suspend has written";
            anstream::eprintln!("error: {}: {error}; {then}", file.display());
            return ExitCode::from(MISTAKE);
        }
    };
    let text = if json { found.json() + "\n" } else { found.human() };
    shown(&text, found.sound)
}

fn mistaken(error: &ScenarioError) -> ExitCode {
    anstream::eprint!("{}", error.render(&Renderer::styled()));
    ExitCode::from(MISTAKE)
}

fn failed(error: &str) -> ExitCode {
    anstream::eprintln!("error: {error}");
    ExitCode::from(NOT_VERIFIED)
}

/// Prints a result; the status says whether it is a good one. Who does not read all of it has seen
/// enough, and is told nothing.
fn shown(text: &str, good: bool) -> ExitCode {
    match write(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            failed(&format!("the result cannot be printed: {error}"))
        }
        _ if good => ExitCode::SUCCESS,
        _ => ExitCode::from(NOT_VERIFIED),
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        Cli::documented().debug_assert();
    }
}
