//! `godwit man`: a man page for each command.

use crate::Cli;
use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where man pages are written to.
#[derive(Clone, Debug, Args)]
pub(crate) struct ManOptions {
    /// The folder, which is made if it is not there; pages of the same names in it are replaced.
    folder: PathBuf,
}

/// The section of the manual: commands of users.
const SECTION: &str = "1";

impl ManOptions {
    /// Writes a page for each command; what is returned says how many.
    pub(crate) fn run(&self) -> Result<String, String> {
        let failed = |path: &Path, error: io::Error| {
            let path = path.display();
            format!("{path}: a man page cannot be written there: {error}; name another folder")
        };
        fs::create_dir_all(&self.folder).map_err(|error| failed(&self.folder, error))?;
        let pages = pages(Cli::documented()).map_err(|error| failed(&self.folder, error))?;
        for (name, text) in &pages {
            let path = self.folder.join(name);
            fs::write(&path, text).map_err(|error| failed(&path, error))?;
        }
        Ok(format!("{} man pages are in {}\n", pages.len(), self.folder.display()))
    }
}

/// The pages of a command and all commands below it: names of files, and what is in them.
fn pages(command: Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    // `help` says what the pages say.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, None, &mut pages)?;
    Ok(pages)
}

fn add_pages(
    command: &Command,
    above: Option<&str>,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    pages.push((format!("{name}.{SECTION}"), page(command, above)?));
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    below.into_iter().try_for_each(|command| add_pages(command, Some(&name), pages))
}

/// A page. What stands under the help text has sections of its own here.
fn page(command: &Command, above: Option<&str>) -> io::Result<Vec<u8>> {
    let version = concat!("godwit ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).section(SECTION).source(version).manual("Godwit");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut rest = Roff::new();
    if let Some(text) = command.get_after_help() {
        add_sections(&text.to_string(), &mut rest);
    }
    if let Some(above) = above {
        rest.control("SH", ["SEE ALSO"]).text([roman(format!("{above}({SECTION})"))]);
    }
    rest.to_writer(&mut page)?;
    Ok(page)
}

/// Adds a section for each line that begins at the margin and ends with a colon, with the lines
/// below it as they are.
fn add_sections(text: &str, page: &mut Roff) {
    let mut is_open = false;
    for line in text.lines() {
        match line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            Some(heading) => {
                end_section(&mut is_open, page);
                page.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
                is_open = true;
            }
            None if line.is_empty() => end_section(&mut is_open, page),
            None => {
                page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
        }
    }
    end_section(&mut is_open, page);
}

/// From here on lines are filled again.
fn end_section(is_open: &mut bool, page: &mut Roff) {
    if std::mem::take(is_open) {
        page.control("fi", []);
    }
}
