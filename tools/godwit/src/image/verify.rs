//! What an image file says of itself, and whether it is so.

use super::DEVELOPMENT;
use crate::inspect::hex;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use godwit_regs::flash;
use godwit_slots::{Header, PublicKey, Refusal, Terms, check_file};
use serde::Serialize;

/// An image file, looked at.
#[derive(Debug, Serialize)]
pub(super) struct Verification {
    /// The header; `None` when it cannot be read.
    header: Option<Fields>,
    /// The public key that it was checked with, in hexadecimal.
    key: String,
    /// Whether that is the development key's.
    development_key: bool,
    /// Whether everything is right.
    pub(super) sound: bool,
    /// What is not.
    pub(super) problem: Option<Problem>,
}

/// What a header says.
#[derive(Debug, Serialize)]
pub(super) struct Fields {
    board: String,
    version: String,
    security_version: u32,
    load: u64,
    entry: u64,
    length: u32,
    sha256: String,
}

/// Why an image is refused.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// Its name.
    reason: &'static str,
    /// A sentence.
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(refusal: Refusal) -> Self {
        Self { reason: refusal.name(), text: refusal.to_string() }
    }
}

impl Fields {
    pub(super) fn of(header: &Header) -> Self {
        Self {
            board: header.board.as_str().to_owned(),
            version: header.version.to_string(),
            security_version: header.security_version,
            load: header.load,
            entry: header.entry,
            length: header.length,
            sha256: hex(&header.sha256),
        }
    }

    pub(super) fn title(&self) -> String {
        format!("{} {}", self.board, self.version)
    }

    pub(super) const fn security_version(&self) -> u32 {
        self.security_version
    }
}

impl Verification {
    /// Checks a file as the board would that it names.
    pub(super) fn of(file: &[u8], key: &PublicKey) -> Self {
        let header = Header::parse(file);
        let problem = match header.as_ref().map(|header| flash::place(header.board.as_str())) {
            Err(refusal) => Some(Problem::new(*refusal)),
            Ok(None) => {
                let known = flash::PLACES.map(|place| place.board).join(", ");
                let text = format!("it is for a board that is not known; there are {known}");
                Some(Problem { reason: Refusal::Board.name(), text })
            }
            Ok(Some(place)) => {
                let checked = check_file(file, &Terms { key, place, guard: 0 });
                checked.err().map(Problem::new)
            }
        };
        Self {
            header: header.ok().as_ref().map(Fields::of),
            key: hex(&key.bytes()),
            development_key: key.is_development(),
            sound: problem.is_none(),
            problem,
        }
    }

    /// One JSON object on lines of its own.
    pub(super) fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("strings, numbers and flags have a form in JSON")
    }

    /// A table, and a last line that says whether the file is sound.
    pub(super) fn human(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["field", "what it says"]);
        if let Some(header) = &self.header {
            table.add_rows([
                ["board", &header.board],
                ["version", &header.version],
                ["security version", &header.security_version.to_string()],
                ["loads at", &format!("{:#x}", header.load)],
                ["starts at", &format!("{:#x}", header.entry)],
                ["bytes", &header.length.to_string()],
                ["SHA-256", &header.sha256],
            ]);
        }
        table.add_row(["checked with key", &self.key]);
        let which = if self.development_key { "the development key" } else { "this key" };
        let verdict = match &self.problem {
            Some(Problem { reason, text }) => {
                format!("NOT SOUND: {text} ({reason}; checked with {which})")
            }
            None if self.development_key => format!("sound, but {DEVELOPMENT}"),
            None => "sound: the key's owner has signed this header and these bytes".to_owned(),
        };
        format!("{table}\n\n{verdict}\n")
    }
}
