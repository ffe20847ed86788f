//! Events about a host's firmware.

use super::events::Course;
use super::{Checker, Span, raw};
use crate::files;
use crate::scenario::model::Action;
use crate::scenario::raw::CrashKind;
use crate::units;
use godwit_shim::Mishap;

/// Instructions of a call before its firmware ends, unless the scenario says otherwise: it has
/// begun, and most calls have more.
const INSTRUCTIONS: u64 = 200;
/// Most of them: each is stepped, and no call has nearly as many.
const INSTRUCTIONS_MAX: u64 = 100_000;
/// Largest image.
const IMAGE_BYTES_MAX: u64 = godwit_shim::IMAGE_BYTES_MAX as u64;

impl Course<'_> {
    pub(super) fn restart_firmware(
        &self,
        at: &Span,
        event: &raw::RestartFirmware,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let host = self.host(at, &event.host, "host", checker)?;
        Some(Action::RestartFirmware { host })
    }

    pub(super) fn crash_firmware(
        &self,
        at: &Span,
        event: &raw::CrashFirmware,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let host = self.host(at, &event.host, "host", checker);
        let kinds = "`cut`, `trap`, `hang`, `stack-overflow`";
        let mishap =
            checker.required(at, &event.kind, "kind", kinds).map(|kind| match kind.get_ref() {
                CrashKind::Cut => Mishap::Cut,
                CrashKind::Trap => Mishap::Trap,
                CrashKind::Hang => Mishap::Hang,
                CrashKind::StackOverflow => Mishap::StackOverflow,
            });
        let instructions = match &event.instructions {
            Some(count) => checker.count(count, "instructions", 1..=INSTRUCTIONS_MAX),
            None => Some(INSTRUCTIONS),
        };
        let instructions = u32::try_from(instructions?).ok()?;
        Some(Action::CrashFirmware { host: host?, mishap: mishap?, instructions })
    }

    pub(super) fn update_firmware(
        &self,
        at: &Span,
        event: &raw::UpdateFirmware,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let host = self.host(at, &event.host, "host", checker);
        let image = checker.required(at, &event.image, "image", "the path of an ELF file")?;
        let (shown, path) = (image.get_ref(), checker.path(image.get_ref()));
        checker.note_input(&path);
        match files::read(&path, IMAGE_BYTES_MAX) {
            Ok(bytes) => Some(Action::UpdateFirmware {
                host: host?,
                shown: shown.clone(),
                image: bytes.into(),
            }),
            Err(why) => {
                let allowed = format!("a file of up to {}", units::exact_size(IMAGE_BYTES_MAX));
                checker.wrong(image.span(), format!("`{shown}` {why}"), allowed)
            }
        }
    }
}
