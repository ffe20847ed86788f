//! How a vGPU that is transferred comes to a stop, and for how long.

use super::{Checker, TIME_NS_MAX, raw};
use crate::scenario::model::{MoveKind, Stop};
use crate::scenario::value::Nanos;
use godwit_shim::{Downtime, Otherwise};
use godwit_types::PreemptMode;
use toml::Spanned;

/// How long a stop may take unless the scenario says otherwise: the preempt timeout of
/// Linux's drm/xe.
pub(super) const STOP_TIMEOUT_NS: u64 = 640_000_000;

/// The bound on how long a live move lets its vGPU stand still, if there is one.
pub(super) fn downtime(
    max_downtime: &raw::Field<Nanos>,
    otherwise: &raw::Field<raw::Otherwise>,
    kind: MoveKind,
    checker: &mut Checker<'_>,
) -> Option<Option<Downtime>> {
    let how = match otherwise.as_ref().map(Spanned::get_ref) {
        None | Some(raw::Otherwise::GiveUp) => Otherwise::GiveUp,
        Some(raw::Otherwise::Move) => Otherwise::Move,
    };
    match (max_downtime, otherwise) {
        (None, None) => Some(None),
        (None, Some(written)) => {
            let wrong = "`otherwise` says what happens when a bound cannot be kept";
            checker.wrong(written.span(), wrong, "it beside `max_downtime`")
        }
        (Some(written), _) if kind == MoveKind::StopAndCopy => {
            let wrong = "a vGPU that is stopped first stands still as long as it takes";
            checker.wrong(written.span(), wrong, "`max_downtime` with `kind = \"live\"`")
        }
        (Some(written), _) => {
            let max_ns = checker.time(written, "max_downtime", 1..=TIME_NS_MAX)?;
            Some(Some(Downtime { max_ns, otherwise: how }))
        }
    }
}

/// How a vGPU is brought to a stop.
pub(super) fn stop(
    preempt: Option<raw::Preempt>,
    timeout: Option<&Spanned<Nanos>>,
    checker: &mut Checker<'_>,
) -> Option<Stop> {
    let mode = match preempt {
        None | Some(raw::Preempt::Instruction) => Some(PreemptMode::Instruction),
        Some(raw::Preempt::Cta) => Some(PreemptMode::Cta),
        Some(raw::Preempt::Wfi) => Some(PreemptMode::Wfi),
        Some(raw::Preempt::Escalate) => None,
    };
    let timeout_ns = match timeout {
        Some(time) => checker.time(time, "timeout", 1..=TIME_NS_MAX)?,
        None => STOP_TIMEOUT_NS,
    };
    Some(Stop { mode, timeout_ns })
}
