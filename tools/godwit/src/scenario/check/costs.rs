//! The cost model of a run.

use super::{Checker, raw};
use crate::scenario::mistake::listed;
use crate::scenario::model::CostModel;
use godwit_sim_gpu::Costs;

/// Largest numerator and denominator of a scale.
const SCALE_MAX: u64 = 1_000;
/// Largest cost that a scenario may give, in the unit of its name.
const COST_MAX: u64 = 1_000_000_000;

/// Scales first, then sets what the scenario gives.
pub(super) fn check(document: &raw::Document, checker: &mut Checker<'_>) -> Option<CostModel> {
    let mut scale = Some((1, 1));
    if let Some(written) = &document.costs_scale {
        let fraction = written.get_ref();
        let (numerator, denominator) = (fraction.numerator, fraction.denominator);
        let fine = 1..=SCALE_MAX;
        scale = if fine.contains(&numerator) && fine.contains(&denominator) {
            Some((numerator, denominator))
        } else {
            let wrong = format!("`costs_scale` is {numerator}/{denominator}");
            let allowed = format!("a fraction of two numbers from 1 to {SCALE_MAX}");
            checker.wrong(written.span(), wrong, allowed)
        };
    }
    let mut given = Vec::new();
    for (name, value) in &document.costs {
        let known = Costs::default().rows().find(|row| row.name == name.get_ref());
        match known {
            Some(row) => {
                let value = checker.count(value, row.name, 1..=COST_MAX);
                given.extend(value.map(|value| (row.name, value)));
            }
            None => {
                let wrong = format!("no cost has the name `{}`", name.get_ref());
                let known = Costs::default().rows().map(|row| row.name).collect::<Vec<_>>();
                checker.wrong::<()>(name.span(), wrong, listed(known.into_iter()));
            }
        }
    }
    let (numerator, denominator) = scale?;
    let mut costs = Costs::default().scaled(numerator, denominator);
    for (name, value) in &given {
        set(&mut costs, name, *value);
    }
    Some(CostModel {
        costs,
        scale: (numerator, denominator),
        given: given.into_iter().map(|(name, _)| name).collect(),
    })
}

/// Sets the cost of that name.
fn set(costs: &mut Costs, name: &str, value: u64) {
    let cost = match name {
        "kernel_instruction_ps" => &mut costs.kernel_instruction_ps,
        "context_byte_fs" => &mut costs.context_byte_fs,
        "copied_byte_fs" => &mut costs.copied_byte_fs,
        "staged_byte_ps" => &mut costs.staged_byte_ps,
        "hashed_byte_fs" => &mut costs.hashed_byte_fs,
        "copy_setup_ns" => &mut costs.copy_setup_ns,
        "entry_ns" => &mut costs.entry_ns,
        "bar_bind_ns" => &mut costs.bar_bind_ns,
        "engine_reset_ns" => &mut costs.engine_reset_ns,
        "engine_instruction_ps" => &mut costs.engine_instruction_ps,
        "link_byte_ps" => &mut costs.link_byte_ps,
        "link_latency_ns" => &mut costs.link_latency_ns,
        other => unreachable!("`{other}` is among the rows and cannot be set"),
    };
    *cost = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cost_can_be_set_and_sets_no_other() {
        for row in Costs::default().rows() {
            let mut costs = Costs::default();
            set(&mut costs, row.name, row.value + 7);
            for (before, after) in Costs::default().rows().zip(costs.rows()) {
                let more = if before.name == row.name { 7 } else { 0 };
                assert_eq!(after.value, before.value + more, "{} by {}", after.name, row.name);
            }
        }
    }
}
