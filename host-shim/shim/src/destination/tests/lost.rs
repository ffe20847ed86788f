//! Firmware that is gone for good while a move is under way.

use super::*;
use crate::host::HostError;
use crate::mcu::{Mishap, MishapAt};

fn lose(node: &mut Node) {
    while !node.host.card().is_lost() {
        node.host.card_mut().arrange(MishapAt { mishap: Mishap::Trap, call: 0, instructions: 0 });
    }
}

fn is_restoring(rig: &Rig, _: &SourceState, _: Option<&DestinationState>) -> bool {
    rig.destination.as_ref().is_some_and(|it| it.home().is_some())
}

fn is_undone(source: &SourceState, destination: Option<&DestinationState>) -> bool {
    matches!(source, SourceState::Undone(_))
        && matches!(destination, None | Some(DestinationState::Undone(_)))
}

/// What both sides say of it, once that is all there is to say.
fn both_undone(rig: &mut Rig) -> String {
    rig.until(|_, source, destination| is_undone(source, destination));
    assert_eq!(rig.stage(Side::Source), Some(MoveStage::Aborted));
    assert!(matches!(rig.stage(Side::Destination), None | Some(MoveStage::Released)));
    match rig.step().0 {
        SourceState::Undone(why) => why,
        state => panic!("{state:?}"),
    }
}

#[test]
fn a_destination_whose_firmware_is_gone_leaves_it_where_it_is() {
    for is_so in [is_restoring, is_ready] {
        let mut rig = Rig::new();
        rig.until(is_so);
        lose(&mut rig.to);
        both_undone(&mut rig);
        let lost = HostError::Lost.to_string();
        assert_eq!(rig.step().1, Some(DestinationState::Undone(lost)));
        rig.stayed();
        assert_eq!(rig.to.host.vgpus().count(), 0);
    }
}

#[test]
fn a_destination_that_never_heard_of_the_commit_gives_it_back_when_its_firmware_is_gone() {
    let mut rig = Rig::new();
    rig.until(is_ready);
    rig.until_committed_and_cut();
    lose(&mut rig.to);
    rig.pass(ALIVE_NS);
    assert_eq!(rig.stage(Side::Source), Some(MoveStage::Committed));
    assert_eq!(rig.stage(Side::Destination), Some(MoveStage::Released));
    rig.mend();
    both_undone(&mut rig);
    rig.stayed();
}

#[test]
fn a_start_whose_firmware_is_gone_is_left_to_operators() {
    for decision in [Decision::RunHere, Decision::Gone] {
        let mut rig = Rig::new();
        rig.until(is_starting);
        lose(&mut rig.to);
        rig.until(|_, _, it| matches!(it, Some(DestinationState::Stuck(_))));
        rig.pass(SILENCE_MAX_NS);
        let told = &rig.troubles[0];
        assert!(told.len() == 1 && told[0].contains("lost"), "{told:?}");
        rig.resolve(Side::Destination, decision).unwrap();
        rig.pass(SILENCE_MAX_NS);
        match decision {
            Decision::Gone => rig.stayed(),
            // There is nothing that could run it.
            Decision::RunHere => {
                assert!(matches!(rig.step().1, Some(DestinationState::Stuck(_))));
                assert_eq!(rig.stage(Side::Source), Some(MoveStage::Committed));
            }
        }
    }
}

#[test]
fn a_source_whose_firmware_is_gone_is_off_before_the_commit() {
    let offering =
        |rig: &Rig, _: &SourceState, _: Option<&DestinationState>| rig.destination.is_some();
    for is_so in [offering, is_restoring] {
        let mut rig = Rig::new();
        rig.until(is_so);
        lose(&mut rig.from);
        let why = both_undone(&mut rig);
        assert_eq!(why, HostError::Lost.to_string());
        assert_eq!((rig.to.running(), rig.to.host.vgpus().count()), (0, 0));
    }
}

#[test]
fn a_source_whose_firmware_is_gone_has_given_it_away_after_the_commit() {
    let mut rig = Rig::new();
    rig.until(is_committed);
    lose(&mut rig.from);
    rig.moved();
    assert_eq!(rig.from.host.vgpus().count(), 0);
}

#[test]
fn what_comes_back_to_a_source_whose_firmware_is_gone_is_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    for is_lost in [true, false] {
        let mut rig = Rig::new();
        rig.source.keep_state(&path, None).unwrap();
        rig.until(is_ready);
        rig.until_committed_and_cut();
        lose(&mut rig.to);
        if is_lost {
            lose(&mut rig.from);
        }
        rig.pass(ALIVE_NS);
        rig.mend();
        let why = both_undone(&mut rig);
        assert_eq!(path.exists(), is_lost, "{why}");
        if is_lost {
            assert!(why.ends_with(&format!("its state is in {}", path.display())), "{why}");
            std::fs::remove_file(&path).unwrap();
        }
    }
}
