//! What this machine's apt is told of mirrors and proxies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where apt is told of its sources (`man 5 sources.list`).
const LIST: &str = "/etc/apt/sources.list";
const PARTS: &str = "/etc/apt/sources.list.d";

/// Names of releases of Debian that any mirror of its main archive has, besides this machine's.
const SUITES: [&str; 6] = ["stable", "oldstable", "testing", "unstable", "sid", "trixie"];

/// Settings of apt that say how to reach a mirror, by how they begin.
const SETTINGS: [&str; 3] =
    ["Acquire::Check-Valid-Until ", "Acquire::http::Proxy ", "Acquire::Retries "];

/// One entry for binary packages: a mirror with what is taken from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

/// The mirrors of Debian's main archive that this machine uses, without repetitions, over plain
/// HTTP: the packages are signed, and a small Debian has no certificates.
pub(crate) fn mirrors() -> Vec<String> {
    let mut files = vec![PathBuf::from(LIST)];
    if let Ok(entries) = fs::read_dir(PARTS) {
        let mut parts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        files.extend(parts);
    }
    let sources: Vec<Source> = files.iter().flat_map(|file| sources_of(file)).collect();
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let uris = archive(&sources, codename(&system));
    let mut mirrors = Vec::new();
    for uri in uris.iter().flat_map(|uri| expanded(uri)) {
        if let Some(mirror) = plain_http(&uri)
            && !mirrors.contains(&mirror)
        {
            mirrors.push(mirror);
        }
    }
    mirrors
}

/// The lines of apt's settings that also count in the folder.
pub(crate) fn settings() -> Vec<String> {
    let said = Command::new("apt-config").arg("dump").output();
    let dump = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    settings_of(&dump.unwrap_or_default())
}

/// The proxy of these settings, for a program that takes it from its environment.
pub(crate) fn proxy(settings: &[String]) -> Option<&str> {
    let value = settings.iter().find_map(|line| line.strip_prefix("Acquire::http::Proxy "))?;
    let value = value.trim_end_matches(';').trim_matches('"');
    (!value.is_empty() && value != "DIRECT").then_some(value)
}

fn settings_of(dump: &str) -> Vec<String> {
    let wanted = |line: &&str| SETTINGS.iter().any(|setting| line.starts_with(setting));
    dump.lines().filter(wanted).map(str::to_owned).collect()
}

/// What a file names; one that cannot be read names nothing.
fn sources_of(file: &Path) -> Vec<Source> {
    let text = || fs::read_to_string(file).unwrap_or_default();
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("list") => text().lines().filter_map(one_line).collect(),
        Some("sources") => stanzas(&text()),
        _ => Vec::new(),
    }
}

/// `deb [options] uri suite component…`.
fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(|c: char| c.is_ascii_whitespace())?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_ascii_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Source { uris: vec![uri], suites: vec![suite], components: words.collect() })
}

/// The paragraphs of the other format, each with fields, one to several lines long.
fn stanzas(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).filter_map(stanza).collect()
}

fn stanza(lines: &[&str]) -> Option<Source> {
    let field = |name: &str| -> Vec<String> {
        let mut words = Vec::new();
        let mut inside = false;
        for line in lines {
            let value = if line.starts_with([' ', '\t']) {
                *line
            } else {
                let (key, value) = line.split_once(':').unwrap_or((line, ""));
                inside = key.trim().eq_ignore_ascii_case(name);
                value
            };
            if inside {
                words.extend(value.split_ascii_whitespace().map(str::to_owned));
            }
        }
        words
    };
    let enabled = field("Enabled").first().is_none_or(|value| !value.eq_ignore_ascii_case("no"));
    let binary = field("Types").iter().any(|kind| kind == "deb");
    let source =
        Source { uris: field("URIs"), suites: field("Suites"), components: field("Components") };
    (enabled && binary).then_some(source)
}

/// Where Debian's main archive is: what has the component `main` of a release. Security updates
/// and other people's archives have other names for theirs.
fn archive(sources: &[Source], codename: Option<&str>) -> Vec<String> {
    let main = |source: &&Source| {
        let suite =
            |suite: &String| SUITES.contains(&suite.as_str()) || Some(suite.as_str()) == codename;
        source.components.iter().any(|it| it == "main") && source.suites.iter().any(suite)
    };
    sources.iter().filter(main).flat_map(|source| source.uris.clone()).collect()
}

/// The name of this machine's release.
fn codename(system: &str) -> Option<&str> {
    let name = system.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(name.trim_matches('"'))
}

/// A list of mirrors in a file is those mirrors.
fn expanded(uri: &str) -> Vec<String> {
    let Some(file) = uri.strip_prefix("mirror+file:") else { return vec![uri.to_owned()] };
    let path = format!("/{}", file.trim_start_matches('/'));
    let text = fs::read_to_string(path).unwrap_or_default();
    let first = |line: &str| line.split_ascii_whitespace().next().map(str::to_owned);
    text.lines().filter_map(first).collect()
}

fn plain_http(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
    Some(format!("http://{}", rest.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
Types: deb deb-src
# URIs: http://old.example/debian
URIs: http://one.example/debian
 https://two.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://one.example/security
Suites: bookworm-security
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example/node
Suites: nodistro
Components: main
";

    #[test]
    fn the_archive_is_found_among_stanzas() {
        let found = archive(&stanzas(STANZAS), Some("bookworm"));
        assert_eq!(found, ["http://one.example/debian", "https://two.example/debian/"]);
        assert_eq!(archive(&stanzas(STANZAS), Some("trixie")), [""; 0]);
    }

    #[test]
    fn the_archive_is_found_among_lines() {
        let text = "\
# deb http://old.example/debian trixie main
deb-src http://sources.example/debian trixie main
deb http://docker.example/linux/debian trixie stable
deb\t[arch=amd64 signed-by=/a b] http://one.example/debian  trixie main contrib # mine
deb http://one.example/security trixie-security main
debug http://no.example/debian trixie main
deb http://short.example/debian
";
        let sources: Vec<Source> = text.lines().filter_map(one_line).collect();
        assert_eq!(sources.len(), 3);
        assert_eq!(archive(&sources, Some("trixie")), ["http://one.example/debian"]);
    }

    #[test]
    fn mirrors_are_reached_over_plain_http() {
        let plain = plain_http("https://two.example/debian/").unwrap();
        assert_eq!(plain, "http://two.example/debian");
        assert_eq!(plain_http("cdrom:[Debian]/"), None);
    }

    #[test]
    fn a_list_of_mirrors_is_those_in_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "http://one.example/d priority:1\n\nhttp://two.example/d\n")
            .unwrap();
        for slashes in ["", "//"] {
            let uri = format!("mirror+file:{slashes}{}", file.path().display());
            assert_eq!(expanded(&uri), ["http://one.example/d", "http://two.example/d"]);
        }
        assert_eq!(expanded("mirror+file:/no/such/file"), [""; 0]);
    }

    #[test]
    fn settings_of_the_network_are_kept_and_no_others() {
        let dump = "\
APT::Architecture \"amd64\";
Acquire::http \"\";
Acquire::http::Proxy \"http://cache.example:3142\";
Acquire::http::Proxy-Auto-Detect \"/usr/bin/find\";
Acquire::Check-Valid-Until \"false\";
";
        let settings = settings_of(dump);
        assert_eq!(settings.len(), 2, "{settings:?}");
        assert_eq!(proxy(&settings), Some("http://cache.example:3142"));
        assert_eq!(proxy(&["Acquire::http::Proxy \"DIRECT\";".to_owned()]), None);
    }

    #[test]
    fn the_release_is_named_by_the_system() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=trixie\n"), Some("trixie"));
        assert_eq!(codename("ID=other\n"), None);
    }
}
