//! What is in a flash file.

use super::DEVELOPMENT;
use super::flash_file::FlashFile;
use super::verify::{Fields, Problem};
use crate::inspect::hex;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use godwit_slots::{Decision, Slot};
use serde::Serialize;

/// A flash file, looked at as its boot stage does.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    board: String,
    /// The public key that images are checked with, in hexadecimal.
    key: String,
    /// Whether that is the development key's.
    development_key: bool,
    /// The lowest security version that boots.
    guard: u32,
    /// The slot that boots if its image is right; `None` when the state is lost.
    preferred: Option<String>,
    slots: Vec<SlotRow>,
    /// The slot that boots.
    pub(super) boots: Option<String>,
}

#[derive(Debug, Serialize)]
struct SlotRow {
    slot: String,
    image: Option<Fields>,
    problem: Option<Problem>,
}

impl SlotRow {
    fn of(decision: &Decision, slot: Slot) -> Self {
        let held = decision.slot(slot);
        Self {
            slot: slot.to_string(),
            image: held.as_ref().ok().map(Fields::of),
            problem: held.err().map(Problem::new),
        }
    }

    fn cells(&self) -> [String; 4] {
        let [title, security] = match &self.image {
            Some(image) => [image.title(), image.security_version().to_string()],
            None => ["-".to_owned(), "-".to_owned()],
        };
        let verdict = match &self.problem {
            Some(problem) => format!("does not boot: {}", problem.text),
            None => "sound".to_owned(),
        };
        [self.slot.clone(), title, security, verdict]
    }
}

impl Shown {
    pub(super) fn of(file: &FlashFile) -> Self {
        let flash = file.view();
        let decision = flash.decide();
        Self {
            board: flash.place().board.to_owned(),
            key: flash.key().map(|key| hex(&key.bytes())).unwrap_or_default(),
            development_key: flash.key().is_some_and(|key| key.is_development()),
            guard: decision.guard(),
            preferred: decision.state.map(|state| state.slot.to_string()),
            slots: [Slot::A, Slot::B].map(|slot| SlotRow::of(&decision, slot)).into(),
            boots: decision.choice.ok().map(|choice| choice.slot.to_string()),
        }
    }

    /// One JSON object on lines of its own.
    pub(super) fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("strings, numbers and lists have a form in JSON")
    }

    /// A table, the key and the guard, and a last line that says what boots.
    pub(super) fn human(&self) -> String {
        let mut table = Table::new();
        let header = ["slot", "image", "security version", "verdict"];
        table.load_style(UTF8_FULL_CONDENSED).set_header(header);
        table.add_rows(self.slots.iter().map(SlotRow::cells));
        let Self { board, key, guard, .. } = self;
        let preferred = match &self.preferred {
            Some(slot) => format!("slot {slot} is preferred"),
            None => "the state is lost, and the newest image is preferred".to_owned(),
        };
        let warning = if self.development_key { format!("\n{DEVELOPMENT}") } else { String::new() };
        let verdict = match &self.boots {
            Some(slot) => format!("boots slot {slot}"),
            None => "NEITHER SLOT BOOTS".to_owned(),
        };
        format!(
            "{table}\nboard {board}, key {key}{warning}\nguard {guard}, {preferred}\n\n{verdict}\n"
        )
    }
}
