//! What the command line says about itself: examples under each help text, shell completions and
//! man pages, all from the one definition in `cli.rs`.

mod examples;
mod man;

pub(crate) use man::ManOptions;

use crate::Cli;
use crate::cli::EXIT_STATUSES;
use clap::builder::StyledStr;
use clap::{Args, Command, CommandFactory as _, FromArgMatches as _};
use clap_complete::Shell;

/// What completions are printed for.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    shell: Shell,
}

impl CompletionsOptions {
    /// The script that makes the shell complete the command.
    pub(crate) fn text(&self) -> String {
        let mut script = Vec::new();
        let mut command = Cli::documented();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }
}

impl Cli {
    /// The definition of the command line, with examples and exit statuses under every help text.
    pub fn documented() -> Command {
        documented(Self::command(), &mut Vec::new(), None)
    }

    /// What this process was asked for. Help, the version and mistakes are answered, and end it.
    pub fn from_process() -> Self {
        let mut matches = Self::documented().get_matches();
        let read = Self::from_arg_matches_mut(&mut matches);
        read.unwrap_or_else(|error| error.format(&mut Self::documented()).exit())
    }
}

/// Puts the examples of a command, whose words after `godwit` are `path`, and the variables of the
/// environment that it reads in front of what its help text ends with. A command that says nothing
/// there ends as the one above it, and each with what the exit statuses mean.
fn documented(command: Command, path: &mut Vec<String>, above: Option<&Above>) -> Command {
    let own = command.get_after_help().map(|own| match own.to_string() {
        text if text.contains(EXIT_STATUSES) => own.clone(),
        text => StyledStr::from(format!("{}\n\n{EXIT_STATUSES}", text.trim_end())),
    });
    let own = own.or(above.and_then(|above| above.end.clone()));
    let variables = variables(&command).or(above.and_then(|above| above.variables.clone()));
    let own = Above { end: own, variables };
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let mut command = command;
    for name in names {
        path.push(name.clone());
        command = command.mut_subcommand(name, |below| documented(below, path, Some(&own)));
        path.pop();
    }
    let examples = examples::text(&path.join(" "));
    let Above { end, variables } = own;
    let end = end.map(|end| match (end.to_string(), variables) {
        (text, Some(variables)) => text.replace(EXIT_STATUSES, &variables),
        (text, None) => text,
    });
    match (examples, end) {
        (Some(text), Some(end)) => command.after_help(format!("{text}\n\n{end}")),
        (Some(text), None) => command.after_help(text),
        (None, Some(end)) => command.after_help(end),
        (None, None) => command,
    }
}

/// What a command hands to those below it.
struct Above {
    /// What its help text ends with.
    end: Option<StyledStr>,
    /// What is to stand where the exit statuses alone would, if it reads the environment.
    variables: Option<String>,
}

/// The variables that stand for options of a command, with the exit statuses below them.
fn variables(command: &Command) -> Option<String> {
    let lines: Vec<String> = command
        .get_arguments()
        .filter_map(|option| {
            let variable = option.get_env()?.to_str()?;
            Some(format!("\n  {variable:<15}  --{}, where that is not given", option.get_long()?))
        })
        .collect();
    (!lines.is_empty()).then(|| format!("Environment:{}\n\n{EXIT_STATUSES}", lines.concat()))
}
