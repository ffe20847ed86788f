//! The scenario that is built in.

use crate::scenario::{Scenario, ScenarioError};
use std::path::Path;

/// The text of the built-in scenario, to start one's own from.
pub const DEMO: &str = include_str!("demo.toml");

impl Scenario {
    /// The built-in scenario. State files go into `folder`.
    ///
    /// # Errors
    ///
    /// When the folder does not exist.
    pub fn demo(folder: &Path, seed: Option<u64>) -> Result<Self, ScenarioError> {
        Self::parse(Path::new("demo.toml"), DEMO, folder, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_a_scenario_of_its_promised_length() {
        let folder = tempfile::tempdir().unwrap();
        let scenario = match Scenario::demo(folder.path(), None) {
            Ok(scenario) => scenario,
            Err(error) => panic!("{error}"),
        };
        let on = |host: &str| {
            scenario.vgpus.iter().filter(|vgpu| vgpu.host.of(&scenario).name == host).count()
        };
        assert_eq!((on("alpha"), on("beta")), (4, 2));
        let about: u64 = scenario.jobs.iter().filter_map(|job| job.instructions_about).sum();
        assert!((500_000_000..1_000_000_000).contains(&about), "{about}");
    }

    #[test]
    fn another_seed_gives_other_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = |seed| {
            let scenario = Scenario::demo(folder.path(), seed).unwrap();
            let inputs = |job: &crate::scenario::Job| match &job.work {
                crate::scenario::Work::Program(program) => program.inputs.clone(),
                crate::scenario::Work::Copies(..) => panic!("the demo has kernels only"),
            };
            scenario.jobs.iter().map(inputs).collect::<Vec<_>>()
        };
        assert_eq!(inputs(None), inputs(Some(2026)));
        let (one, two) = (inputs(Some(1)), inputs(Some(2)));
        assert_ne!(one[0], two[0]);
        assert_ne!(one[0], one[4], "jobs of one scenario differ too");
    }
}
