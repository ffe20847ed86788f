//! Faults: what breaks, and what each kind needs to be told.

use super::events::Course;
use super::{Checker, Span, TIME_NS_MAX, raw};
use crate::scenario::model::Action;
use crate::scenario::raw::{Engine, FaultKind};
use godwit_sim_gpu::Fault;
use godwit_types::RunlistId;
use toml::Spanned;

/// How many times slower than usual a copy can be made.
const FACTOR_MAX: u64 = 1_000_000;

impl Course<'_> {
    pub(super) fn fault(
        &self,
        at: &Span,
        fault: &raw::Fault,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let host = self.host(at, &fault.host, "host", checker);
        let kinds = "`ack-lost`, `ack-late`, `ack-doubled`, `ack-wrong`, `engine-hang`, \
                     `copy-error`, `copy-bad-crc`, `copy-slow`, `bar-stuck`";
        let kind = *checker.required(at, &fault.kind, "kind", kinds)?.get_ref();
        let uses = uses(kind);
        let delay = match uses.delay {
            true => checker
                .required(at, &fault.delay, "delay", "a time such as \"1 ms\"")
                .and_then(|time| checker.time(time, "delay", 1..=TIME_NS_MAX)),
            false => unused(fault.delay.as_ref(), "delay", checker).map(|()| 0),
        };
        let factor = match uses.factor {
            true => checker
                .required(at, &fault.factor, "factor", "how many times slower")
                .and_then(|count| checker.count(count, "factor", 2..=FACTOR_MAX)),
            false => unused(fault.factor.as_ref(), "factor", checker).map(|()| 0),
        };
        let engine = match uses.engine {
            true => checker
                .required(at, &fault.engine, "engine", "`compute` or `copy`")
                .map(|engine| runlist(*engine.get_ref())),
            false => unused(fault.engine.as_ref(), "engine", checker).map(|()| RunlistId::COMPUTE),
        };
        let fault = made(kind, engine?, delay?, factor?);
        Some(Action::Fault { host: host?, fault })
    }
}

/// Which keys a kind of fault has besides its host.
struct Uses {
    engine: bool,
    delay: bool,
    factor: bool,
}

const fn uses(kind: FaultKind) -> Uses {
    let (engine, delay, factor) = match kind {
        FaultKind::AckLost
        | FaultKind::AckDoubled
        | FaultKind::AckWrong
        | FaultKind::EngineHang => (true, false, false),
        FaultKind::AckLate => (true, true, false),
        FaultKind::CopyError | FaultKind::CopyBadCrc => (false, false, false),
        FaultKind::CopySlow => (false, false, true),
        FaultKind::BarStuck => (false, true, false),
    };
    Uses { engine, delay, factor }
}

/// Checks that a key is not there.
fn unused<T>(field: Option<&Spanned<T>>, key: &str, checker: &mut Checker<'_>) -> Option<()> {
    match field {
        None => Some(()),
        Some(value) => {
            let wrong = format!("this kind of fault has no `{key}`");
            checker.wrong(value.span(), wrong, "the key left out")
        }
    }
}

const fn runlist(engine: Engine) -> RunlistId {
    match engine {
        Engine::Compute => RunlistId::COMPUTE,
        Engine::Copy => RunlistId::COPY,
    }
}

const fn made(kind: FaultKind, engine: RunlistId, delay_ns: u64, factor: u64) -> Fault {
    match kind {
        FaultKind::AckLost => Fault::AckLost(engine),
        FaultKind::AckLate => Fault::AckLate(engine, delay_ns),
        FaultKind::AckDoubled => Fault::AckDoubled(engine),
        FaultKind::AckWrong => Fault::AckWrong(engine),
        FaultKind::EngineHang => Fault::EngineHang(engine),
        FaultKind::CopyError => Fault::CopyError,
        FaultKind::CopyBadCrc => Fault::CopyBadCrc,
        FaultKind::CopySlow => Fault::CopySlow(factor),
        FaultKind::BarStuck => Fault::BarStuckNs(delay_ns),
    }
}
