//! The demo on the image: the same digests as in the host's process, and the same twice.

use godwit::progress::Silent;
use godwit::report::Report;
use godwit::{Scenario, execute_on};
use godwit_qemu::mcu;
use godwit_shim::Mcu;

fn demo(mcu: &Mcu) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let scenario = Scenario::demo(folder.path(), None).unwrap();
    execute_on(&scenario, mcu, &mut Silent).unwrap()
}

#[test]
fn the_demo_is_verified_with_the_digests_of_the_hosts_process_and_the_same_twice() {
    let digests = |report: &Report| -> Vec<_> {
        report.jobs.iter().map(|job| (job.name.clone(), job.digest.clone())).collect()
    };
    let native = demo(&Mcu::Native);
    let [first, second] = [(); 2].map(|()| demo(&mcu("qemu-virt-rv64")));
    assert!(native.verified && first.verified, "{:?}", first.problems);
    assert_eq!(digests(&first), digests(&native));
    assert_eq!(first.json(), second.json());
}
