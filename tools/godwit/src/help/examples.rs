//! The examples of the help texts and man pages, a list for each command.

/// A command line to type, and what comes of it.
struct Example {
    line: &'static str,
    what: &'static str,
}

const fn example(line: &'static str, what: &'static str) -> Example {
    Example { line, what }
}

/// The examples of each command, by its words after `godwit`. A backslash ends a line that goes on.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            example("godwit demo", "runs the built-in scenario, which takes seconds"),
            example("godwit demo --print > my.toml", "writes it to a file, to start from"),
            example("godwit run my.toml --json", "runs that file, and prints JSON"),
            example(
                "godwit serve --config serve.toml",
                "serves vGPUs to virtual machines, until it is told to end",
            ),
            example("godwit ctl migrate v0 --to b", "moves one of its vGPUs to another host"),
            example("godwit top", "shows what it does"),
            example("godwit help run", "says what `run` takes"),
        ],
    ),
    (
        "demo",
        &[
            example("godwit demo --seed 7", "takes another seed"),
            example(
                "godwit demo --mcu qemu --log",
                "boots the firmware in QEMU, and shows its log",
            ),
            example("godwit demo --print > my.toml", "writes the scenario to a file"),
        ],
    ),
    (
        "run",
        &[
            example("godwit run my.toml", "runs a scenario"),
            example("godwit run my.toml --seed 7 --json", "takes another seed, and prints JSON"),
        ],
    ),
    (
        "evacuate",
        &[example(
            "godwit evacuate my.toml --host alpha --at \"3 ms\" --parallel 4 --max-downtime 20",
            "empties `alpha` from 3 ms on, four moves at a time, none with a pause beyond 20 ms",
        )],
    ),
    (
        "inspect",
        &[
            example("godwit inspect one.state", "shows the records of a state file"),
            example(
                "godwit inspect --key-file state.key one.state",
                "opens one that is sealed with this key",
            ),
        ],
    ),
    (
        "send",
        &[
            example(
                "godwit send my.toml --vgpu one --to unix:/tmp/link --state left.d",
                "sends `one` to a process of this machine, with a journal in `left.d`",
            ),
            example(
                "godwit send my.toml --vgpu one --to tcp:right.example:7000 --state left.d \\\n\
                 --tls-cert left.pem --tls-key left.key --tls-ca ca.pem",
                "sends it to another machine, over TLS",
            ),
        ],
    ),
    (
        "receive",
        &[example(
            "godwit receive my.toml --host right --listen unix:/tmp/link --state right.d",
            "takes in what `godwit send` sends there",
        )],
    ),
    (
        "resolve",
        &[
            example("godwit resolve left.d", "lists the moves that are known"),
            example(
                "godwit resolve left.d --token 6f1c9f0e52d84a7b9c3e0d1f2a4b5c6d:1 run-here",
                "decides that the vGPU of a move is this host's",
            ),
        ],
    ),
    (
        "serve",
        &[
            example(
                "godwit serve --config /etc/godwit/serve.toml",
                "serves, and prints QEMU's arguments for each vGPU",
            ),
            example(
                "godwit serve --config /etc/godwit/serve.toml --libvirt v0",
                "prints libvirt's XML of a domain with `v0`, and ends",
            ),
        ],
    ),
    (
        "vm-migrate",
        &[example(
            "godwit vm-migrate --from-qmp /run/godwit/v0.qmp --from-vgpu /run/godwit/v0.mig \\\n\
             --to-qmp /run/other/v0.qmp --to-vgpu /run/other/v0.mig --uri unix:/tmp/ram \\\n\
             --state journal --max-downtime 50",
            "moves a machine to a QEMU that waits for it, with a pause of 50 ms at most",
        )],
    ),
    (
        "vm-suspend",
        &[example(
            "godwit vm-suspend saved --qmp /run/godwit/v0.qmp --vgpu /run/godwit/v0.mig",
            "suspends a machine to the folder `saved`, which is made",
        )],
    ),
    (
        "vm-resume",
        &[example(
            "godwit vm-resume saved --qmp /run/godwit/v0.qmp --vgpu /run/godwit/v0.mig",
            "resumes it in a QEMU that was started with -S -incoming defer",
        )],
    ),
    (
        "image",
        &[
            example("godwit image verify my.bin", "says whether an image file is what was signed"),
            example("godwit image flash --slot a --flash my.flash my.bin", "puts it into a slot"),
            example("godwit demo --mcu qemu --flash my.flash", "boots it"),
        ],
    ),
    (
        "image verify",
        &[
            example("godwit image verify my.bin", "checks it with the development key"),
            example("godwit image verify --key public.key my.bin", "checks it with your own"),
        ],
    ),
    (
        "image flash",
        &[example(
            "godwit image flash --slot a --flash my.flash my.bin",
            "puts an image into slot a of a flash file, which is made if it is not there",
        )],
    ),
    ("image show", &[example("godwit image show my.flash", "says what boots from it")]),
    (
        "image confirm",
        &[example("godwit image confirm my.flash", "lets nothing older boot from now on")],
    ),
    (
        "image key",
        &[example("godwit image key secret.key > public.key", "writes the key to verify with")],
    ),
    (
        "completions",
        &[
            example(
                "godwit completions bash > ~/.local/share/bash-completion/completions/godwit",
                "completes in every bash that starts from now on",
            ),
            example(
                "godwit completions zsh > ~/.zfunc/_godwit",
                "the same for zsh, where ~/.zfunc is in `fpath`",
            ),
            example(
                "godwit completions fish > ~/.config/fish/completions/godwit.fish",
                "the same for fish",
            ),
        ],
    ),
    (
        "man",
        &[example(
            "godwit man ~/.local/share/man/man1",
            "writes the man pages to where `man godwit` finds them",
        )],
    ),
];

/// What a help text says of a command's examples, if it has any.
pub(super) fn text(command: &str) -> Option<String> {
    let (_, examples) = EXAMPLES.iter().find(|(name, _)| *name == command)?;
    let lines = examples.iter().map(|Example { line, what }| {
        format!("\n  {}\n      {what}", line.replace('\n', "\n    "))
    });
    Some(format!("Examples:{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::EXAMPLES;
    use crate::Cli;

    #[test]
    fn every_list_is_of_a_command() {
        for (name, _) in EXAMPLES {
            let found = name.split_whitespace().try_fold(Cli::documented(), |command, word| {
                command.find_subcommand(word).cloned()
            });
            assert!(found.is_some(), "there is no `godwit {name}`");
        }
    }
}
