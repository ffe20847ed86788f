//! What the command says about itself: examples, exit statuses, man pages, completions.

use clap::Command;
use clap::error::ErrorKind;
use godwit::Cli;
use std::fs;
use std::process;

const README: &str = include_str!("../../../README.md");

/// A command and all below it, each with its words, the first of which is `godwit`.
fn commands() -> Vec<(String, Command)> {
    let mut todo = vec![("godwit".to_owned(), Cli::documented())];
    let mut all = Vec::new();
    while let Some((words, command)) = todo.pop() {
        for below in command.get_subcommands() {
            todo.push((format!("{words} {}", below.get_name()), below.clone()));
        }
        all.push((words, command));
    }
    all
}

/// What stands under a help text.
fn after(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

/// The command lines of the examples in a text; one that goes on after a backslash is one.
fn examples(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| line.starts_with("  godwit "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The words of a command line, as a shell has them, without where its output goes to.
fn words(line: &str) -> Vec<String> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("not of a shell: {line}"));
    words.into_iter().take_while(|word| word != ">" && word != "|").collect()
}

#[test]
fn every_command_has_examples_that_it_understands() {
    for (name, command) in commands() {
        let lines = examples(&after(&command));
        let own = lines.iter().any(|line| line.starts_with(&name));
        assert!(own, "`{name} --help` shows no example; src/help/examples.rs has those of others");
        for line in lines {
            match Cli::documented().try_get_matches_from(words(&line)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::DisplayHelp => {}
                Err(error) => panic!("an example of `{name}` is wrong: {line}\n{error}"),
            }
        }
    }
}

#[test]
fn every_command_says_how_it_exits_and_the_readme_says_the_same() {
    for (name, command) in commands() {
        let text = after(&command);
        let (_, statuses) = text
            .split_once("Exit status:\n")
            .unwrap_or_else(|| panic!("`{name} --help` does not say what its exit statuses mean"));
        assert!(statuses.lines().count() >= 3, "{name}: {statuses}");
        for line in statuses.lines() {
            let (status, meaning) = line.trim().split_once("  ").expect("a number and a text");
            let row = format!("| {status} | {meaning} |");
            assert!(README.contains(&row), "README.md lacks what `{name} --help` says: {row}");
        }
    }
}

/// The variables that a command reads from the environment, by a section of its help.
fn variables(text: &str) -> Vec<&str> {
    let Some((_, section)) = text.split_once("\n\nEnvironment:\n") else { return Vec::new() };
    let lines = section.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn every_command_names_the_variables_that_it_reads() {
    let mut built = Cli::documented();
    built.build();
    for (name, command) in commands() {
        // Options of the command above count as well, once all is put together.
        let words = name.split(' ').skip(1);
        let built = words.fold(&built, |it, word| it.find_subcommand(word).unwrap());
        let mut wanted: Vec<&str> = built
            .get_arguments()
            .filter_map(|option| option.get_env().and_then(|variable| variable.to_str()))
            .collect();
        let text = after(&command);
        let mut told = variables(&text);
        told.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(told, wanted, "{name}");
    }
    let of = |words: &str| {
        let all = commands();
        let (_, command) = all.into_iter().find(|(name, _)| name == words).unwrap();
        variables(&after(&command)).join(" ")
    };
    let tls = "GODWIT_TLS_CERT GODWIT_TLS_KEY GODWIT_TLS_CA";
    for words in ["godwit ctl", "godwit ctl migrate", "godwit top"] {
        assert_eq!(of(words), format!("GODWIT_CONNECT {tls}"), "{words}");
    }
    assert_eq!(of("godwit send"), tls);
    assert_eq!(of("godwit run"), "");
}

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("man1");
    let man = process::Command::new(env!("CARGO_BIN_EXE_godwit"))
        .arg("man")
        .arg(&folder)
        .output()
        .unwrap();
    assert!(man.status.success(), "{}", String::from_utf8_lossy(&man.stderr));
    let commands = commands();
    for (name, command) in &commands {
        let path = folder.join(format!("{}.1", name.replace(' ', "-")));
        let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS"] {
            let quoted = format!(".SH \"{section}\"\n");
            let plain = format!(".SH {section}\n");
            assert!(page.contains(&plain) || page.contains(&quoted), "{path:?}: no {section}");
        }
        for variable in variables(&after(command)) {
            let (_, section) = page.split_once("\n.SH ENVIRONMENT\n").unwrap();
            let (section, _) = section.split_once("\n.SH ").unwrap();
            assert!(section.contains(variable), "{path:?}: no {variable}");
        }
        // In roff a stroke has a backslash in front of it.
        let options = command.get_arguments().filter_map(|arg| arg.get_long());
        for option in options.map(|option| format!("--{option}").replace('-', "\\-")) {
            assert!(page.contains(&option), "{path:?}: no {option}");
        }
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), commands.len(), "a page of no command");
}

#[test]
fn a_folder_that_cannot_be_made_is_told_with_what_to_do() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let man = process::Command::new(env!("CARGO_BIN_EXE_godwit"))
        .arg("man")
        .arg(file.path().join("man1"))
        .output()
        .unwrap();
    assert_eq!(man.status.code(), Some(1));
    let told = String::from_utf8_lossy(&man.stderr).into_owned();
    assert!(told.trim_end().ends_with("name another folder"), "{told}");
}

fn completions(shell: &str) -> String {
    let printed = process::Command::new(env!("CARGO_BIN_EXE_godwit"))
        .args(["completions", shell])
        .output()
        .unwrap();
    assert!(printed.status.success(), "{shell}: {}", String::from_utf8_lossy(&printed.stderr));
    String::from_utf8(printed.stdout).unwrap()
}

#[test]
fn completions_of_every_shell_have_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = completions(shell);
        for (name, _) in commands() {
            let last = name.split(' ').next_back().unwrap_or_default();
            assert!(script.contains(last), "{shell}: no `{name}`");
        }
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("godwit.bash");
    fs::write(&script, completions("bash")).unwrap();
    let complete = |typed: &[&str]| {
        let line = format!(
            "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; _godwit godwit '{}' '{}'; \
             echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            typed.join(" "),
            typed.len() - 1,
            typed[typed.len() - 1],
            typed[typed.len() - 2],
        );
        let bash = process::Command::new("bash").args(["--norc", "-c", &line]).output().unwrap();
        assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
        String::from_utf8(bash.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete(&["godwit", "ser"]), "serve");
    assert_eq!(complete(&["godwit", "serve", "--lib"]), "--libvirt");
    assert_eq!(complete(&["godwit", "image", "conf"]), "confirm");
}
