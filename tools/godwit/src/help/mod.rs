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

/// Puts the examples of a command, whose words after `godwit` are `path`, in front of what its help
/// text ends with. A command that says nothing there ends as the
/// one above it, and each with what the exit statuses mean.
fn documented(command: Command, path: &mut Vec<String>, above: Option<&StyledStr>) -> Command {
    let own = command.get_after_help().map(|own| match own.to_string() {
        text if text.contains(EXIT_STATUSES) => own.clone(),
        text => StyledStr::from(format!("{}\n\n{EXIT_STATUSES}", text.trim_end())),
    });
    let own = own.or(above.cloned());
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let mut command = command;
    for name in names {
        path.push(name.clone());
        command = command.mut_subcommand(name, |below| documented(below, path, own.as_ref()));
        path.pop();
    }
    let examples = examples::text(&path.join(" "));
    match (examples, own) {
        (Some(text), Some(own)) => command.after_help(format!("{text}\n\n{own}")),
        (Some(text), None) => command.after_help(text),
        (None, Some(own)) => command.after_help(own),
        (None, None) => command,
    }
}
