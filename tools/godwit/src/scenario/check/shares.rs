//! How vGPUs share the engines: policies, slices, weights and parts.

use super::{Checker, Span, raw};
use crate::scenario::model::Action;
use crate::scenario::value::{Count, Nanos, Percent};
use godwit_types::{Policy, SLICE_NS_MAX, SLICE_NS_MIN, Scheduling, Share};
use toml::Spanned;

/// How a host's vGPUs take turns; what is not said is as a device starts.
pub(super) fn scheduling(
    policy: Option<raw::Policy>,
    slice: Option<&Spanned<Nanos>>,
    averaging: Option<&Spanned<Count>>,
    checker: &mut Checker<'_>,
) -> Option<Scheduling> {
    let slice_ns = match slice {
        Some(time) => Some(checker.time(time, "slice", SLICE_NS_MIN..=SLICE_NS_MAX)?),
        None => None,
    };
    let averaging = match averaging {
        Some(count) => {
            checker.count32(count, "averaging", 1, u32::from(Scheduling::AVERAGING_MAX))? as u8
        }
        None => Scheduling::AVERAGING,
    };
    let policy = match policy {
        None | Some(raw::Policy::BestEffort) => Policy::BestEffort,
        Some(raw::Policy::EqualShare) => Policy::EqualShare,
        Some(raw::Policy::FixedShare) => Policy::FixedShare,
    };
    Some(Scheduling { policy, slice_ns, averaging })
}

/// What a vGPU is due; what is not said is as a device starts.
pub(super) fn share(
    weight: Option<&Spanned<Count>>,
    part: Option<&Spanned<Percent>>,
    cap: Option<&Spanned<Percent>>,
    checker: &mut Checker<'_>,
) -> Option<Share> {
    let weight = match weight {
        Some(count) => checker.count32(count, "weight", 1, u32::from(Share::WEIGHT_MAX))? as u8,
        None => Share::DEFAULT.weight,
    };
    let hundredths = |value: Option<&Spanned<Percent>>, key, checker: &mut Checker<'_>| {
        let Some(value) = value else { return Some(0) };
        let Percent(hundredths) = *value.get_ref();
        if (1..=Share::WHOLE).contains(&hundredths) {
            return Some(hundredths);
        }
        let wrong = format!("`{key}` is {} %", shown(hundredths));
        checker.wrong(value.span(), wrong, "0.01 % to 100 %")
    };
    let part = hundredths(part, "share", checker)?;
    let cap_at = cap;
    let cap = hundredths(cap, "cap", checker)?;
    if cap != 0 && cap < part {
        let span = cap_at.map_or(0..0, Spanned::span);
        let wrong = format!("`cap` is {} %", shown(cap));
        return checker.wrong(span, wrong, format!("no less than the share, {} %", shown(part)));
    }
    Some(Share { weight, part, cap })
}

/// Hundredths of a percent, in percent.
fn shown(hundredths: u16) -> String {
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:02}") }
}

impl super::events::Course<'_> {
    pub(super) fn schedule(
        &self,
        at: &Span,
        schedule: &raw::Schedule,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let host = self.host(at, &schedule.host, "host", checker);
        let raw::Schedule { policy, slice, averaging, .. } = schedule;
        let how = scheduling(*policy, slice.as_ref(), averaging.as_ref(), checker);
        Some(Action::Schedule { host: host?, how: how? })
    }

    pub(super) fn share(
        &self,
        at: &Span,
        change: &raw::ShareChange,
        checker: &mut Checker<'_>,
    ) -> Option<Action> {
        let vgpu = self.vgpu(at, &change.vgpu, checker);
        let raw::ShareChange { weight, share: part, cap, .. } = change;
        let due = share(weight.as_ref(), part.as_ref(), cap.as_ref(), checker);
        Some(Action::Share { vgpu: vgpu?, share: due? })
    }
}
