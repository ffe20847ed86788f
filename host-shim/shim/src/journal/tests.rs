//! The rules of the journal, whatever keeps it.

use super::*;
use crate::link::LinkMessage;

fn token(number: u64) -> Token {
    Token { uuid: [1; 16], number }
}

/// A journal in which a move went through these stages.
fn at(stages: &[MoveStage]) -> Journal {
    let mut journal = Journal::in_memory();
    for stage in stages {
        journal.record(token(5), *stage).unwrap();
    }
    journal
}

const COMMITTED: [MoveStage; 2] = [MoveStage::Offered, MoveStage::Committed];
const READY: [MoveStage; 2] = [MoveStage::Restoring, MoveStage::Ready];
const RUNNING: [MoveStage; 3] = [MoveStage::Restoring, MoveStage::Ready, MoveStage::Running];
const STARTED: [MoveStage; 4] =
    [MoveStage::Restoring, MoveStage::Ready, MoveStage::Running, MoveStage::Started];

#[test]
fn a_number_is_used_once_on_either_side() {
    let mut journal = at(&[MoveStage::Offered, MoveStage::Aborted]);
    for stage in [MoveStage::Offered, MoveStage::Restoring] {
        for number in [0, 4, 5] {
            if (number, stage) == (5, MoveStage::Offered) {
                continue;
            }
            let error = journal.record(token(number), stage).unwrap_err();
            assert!(matches!(error, JournalError::Stale { newest: 5, .. }), "{error}");
        }
    }
    assert!(journal.record(token(5), MoveStage::Offered).is_err());
    let other = Token { uuid: [2; 16], number: 1 };
    journal.record(other, MoveStage::Restoring).unwrap();
    assert_eq!(journal.next_token([1; 16]), token(6));
    assert_eq!(journal.next_token([3; 16]).number, 1);
}

#[test]
fn a_move_that_was_answered_with_no_is_never_committed() {
    let mut journal = at(&[MoveStage::Offered]);
    let no = Some(LinkMessage::Answer(token(5), false));
    assert_eq!(journal.reply(&LinkMessage::Query(token(5))).unwrap(), no);
    let error = journal.record(token(5), MoveStage::Committed).unwrap_err();
    assert!(matches!(error, JournalError::Stage { from: MoveStage::Aborted, .. }), "{error}");
    assert_eq!(journal.reply(&LinkMessage::Query(token(9))).unwrap().unwrap().token(), &token(9));
    assert_eq!(journal.newest(&[1; 16]), Some(5), "a question is no entry");
}

#[test]
fn the_source_answers_for_moves_that_nobody_carries_any_more() {
    let commit = LinkMessage::Commit(token(5));
    let closed = LinkMessage::Closed(token(5));
    let mut journal = at(&COMMITTED);
    assert_eq!(journal.reply(&LinkMessage::Ready(token(5))).unwrap(), Some(commit));
    for _ in 0..2 {
        let done = journal.reply(&LinkMessage::Done(token(5))).unwrap();
        assert_eq!(done.as_ref(), Some(&closed));
        assert_eq!(journal.stage(Side::Source, &token(5)), Some(MoveStage::Done));
    }
    let mut journal = at(&COMMITTED);
    let back = LinkMessage::give_back(token(5), "lost");
    assert_eq!(journal.reply(&back).unwrap(), None);
    assert_eq!(journal.stage(Side::Source, &token(5)), Some(MoveStage::Aborted));
    let abort = Some(LinkMessage::Abort(token(5)));
    assert_eq!(journal.reply(&LinkMessage::Ready(token(5))).unwrap(), abort);
    let no = Some(LinkMessage::Answer(token(5), false));
    assert_eq!(journal.reply(&LinkMessage::Query(token(5))).unwrap(), no);
}

#[test]
fn a_decline_says_nothing_of_what_is_committed() {
    let mut journal = at(&COMMITTED);
    let decline = LinkMessage::decline(token(5), "stale");
    assert_eq!(journal.reply(&decline).unwrap(), None);
    assert_eq!(journal.stage(Side::Source, &token(5)), Some(MoveStage::Committed));
}

#[test]
fn the_destination_answers_for_moves_that_nobody_carries_any_more() {
    let commit = LinkMessage::Commit(token(5));
    let mut journal = at(&RUNNING);
    assert_eq!(journal.reply(&commit).unwrap(), None, "who has it says when it runs");
    let mut journal = at(&STARTED);
    let done = Some(LinkMessage::Done(token(5)));
    assert_eq!(journal.reply(&commit).unwrap(), done);
    assert_eq!(journal.reply(&LinkMessage::Closed(token(5))).unwrap(), None);
    assert_eq!(journal.stage(Side::Destination, &token(5)), Some(MoveStage::Closed));
    assert_eq!(journal.reply(&commit).unwrap(), done, "it ran here, whatever came after");
    let mut journal = at(&READY);
    assert_eq!(journal.reply(&commit).unwrap(), None, "who has it takes it");
    assert_eq!(journal.host_started().unwrap(), []);
    let back = journal.reply(&commit).unwrap();
    assert!(matches!(back, Some(LinkMessage::Return(..))), "{back:?}");
    assert_eq!(journal.reply(&LinkMessage::Commit(token(6))).unwrap(), None, "never heard of");
}

#[test]
fn an_offer_is_declined_when_its_number_was_used() {
    let mut journal = at(&[MoveStage::Restoring, MoveStage::Released]);
    for number in [1, 5] {
        let answer = journal.reply(&LinkMessage::Offer(token(number), 2)).unwrap();
        assert!(matches!(answer, Some(LinkMessage::Decline(..))), "{number}: {answer:?}");
    }
    assert_eq!(journal.reply(&LinkMessage::Offer(token(6), 2)).unwrap(), None);
    // Declining what runs here would say that it does not.
    assert_eq!(at(&RUNNING).reply(&LinkMessage::Offer(token(5), 2)).unwrap(), None);
}

/// A journal of a host that has started anew, at a move that was about to start.
fn unsure() -> Journal {
    let mut journal = at(&RUNNING);
    let open = journal.host_started().unwrap();
    assert_eq!(open.len(), 1, "its operator is told");
    assert_eq!((open[0].token, open[0].stage), (token(5), MoveStage::Running));
    journal
}

#[test]
fn whether_a_vgpu_has_started_is_not_said_by_a_host_that_cannot_know() {
    let (commit, yes) = (LinkMessage::Commit(token(5)), LinkMessage::Answer(token(5), true));
    let mut journal = unsure();
    for message in [&commit, &yes] {
        let said = journal.reply(message).unwrap();
        assert!(matches!(said, Some(LinkMessage::Decline(..))), "{said:?}");
    }
    assert_eq!(journal.resolve(Side::Destination, &token(5), Decision::RunHere).unwrap(), {
        MoveStage::Started
    });
    assert_eq!(journal.reply(&commit).unwrap(), Some(LinkMessage::Done(token(5))));
    let mut journal = unsure();
    let decided = journal.resolve(Side::Destination, &token(5), Decision::Gone).unwrap();
    assert_eq!(decided, MoveStage::Released);
    let said = journal.reply(&commit).unwrap();
    assert!(matches!(said, Some(LinkMessage::Return(..))), "{said:?}");
    // What the source's operator has decided needs no decision here.
    for (message, then) in [
        (LinkMessage::Abort(token(5)), MoveStage::Released),
        (LinkMessage::Answer(token(5), false), MoveStage::Released),
        (LinkMessage::Closed(token(5)), MoveStage::Closed),
    ] {
        let mut journal = unsure();
        assert_eq!(journal.reply(&message).unwrap(), None);
        assert_eq!(journal.stage(Side::Destination, &token(5)), Some(then));
        assert!(!journal.is_unsure(&token(5)));
    }
    // One that is about to start just now is another matter.
    let conflict = at(&RUNNING).reply(&LinkMessage::Abort(token(5))).unwrap_err();
    assert!(matches!(conflict, JournalError::Conflict { .. }), "{conflict}");
    let refusal = at(&RUNNING).resolve(Side::Destination, &token(5), Decision::Gone);
    assert!(refusal.unwrap_err().to_string().contains("about to start"));
}

#[test]
fn a_host_that_starts_knows_what_it_gave_away_and_gives_up_the_rest() {
    let open = at(&COMMITTED).host_started().unwrap();
    assert_eq!((open.len(), open[0].token), (1, token(5)));
    for (stages, then) in [
        (&[MoveStage::Offered][..], MoveStage::Aborted),
        (&READY[..1], MoveStage::Released),
        (&READY, MoveStage::Released),
        (&STARTED, MoveStage::Started),
    ] {
        let mut journal = at(stages);
        assert_eq!(journal.host_started().unwrap(), []);
        assert_eq!(journal.stage(then.side(), &token(5)), Some(then));
    }
}

#[test]
fn an_operator_decides_only_where_the_peer_alone_could_say() {
    let resolved = |stages: &[MoveStage], decision| {
        let side = stages[0].side();
        at(stages).resolve(side, &token(5), decision).map_err(|refusal| refusal.to_string())
    };
    assert_eq!(resolved(&COMMITTED, Decision::RunHere), Ok(MoveStage::Aborted));
    assert_eq!(resolved(&COMMITTED, Decision::Gone), Ok(MoveStage::Done));
    assert_eq!(resolved(&READY, Decision::RunHere), Ok(MoveStage::Running));
    assert_eq!(resolved(&READY, Decision::Gone), Ok(MoveStage::Released));
    let done = [MoveStage::Offered, MoveStage::Committed, MoveStage::Done];
    let released = [MoveStage::Restoring, MoveStage::Released];
    for (stages, word) in [
        (&COMMITTED[..1], "ends by itself"),
        (&READY[..1], "ends by itself"),
        (&done, "would run twice"),
        (&RUNNING, "about to start"),
        (&STARTED, "has run here"),
        (&released, "nothing of the vGPU is left"),
    ] {
        for decision in [Decision::RunHere, Decision::Gone] {
            let refusal = resolved(stages, decision).unwrap_err();
            assert!(refusal.contains(word), "{refusal}");
        }
    }
    let unknown = at(&COMMITTED).resolve(Side::Destination, &token(5), Decision::Gone);
    assert!(matches!(unknown, Err(Refusal::Unknown(_))), "{unknown:?}");
}

#[test]
fn what_the_peer_says_against_a_decision_is_a_conflict() {
    let mut journal = at(&COMMITTED);
    journal.resolve(Side::Source, &token(5), Decision::RunHere).unwrap();
    assert!(journal.entry(Side::Source, &token(5)).unwrap().resolved);
    let conflict = journal.reply(&LinkMessage::Done(token(5))).unwrap_err();
    assert!(matches!(conflict, JournalError::Conflict { .. }), "{conflict}");
    // A destination that waits learns that it need not.
    let no = Some(LinkMessage::Answer(token(5), false));
    assert_eq!(journal.reply(&LinkMessage::Query(token(5))).unwrap(), no);

    let mut journal = at(&READY);
    journal.resolve(Side::Destination, &token(5), Decision::RunHere).unwrap();
    for no in [LinkMessage::Abort(token(5)), LinkMessage::Answer(token(5), false)] {
        let conflict = journal.reply(&no).unwrap_err();
        assert!(conflict.to_string().contains("may run on both hosts"), "{conflict}");
    }
    journal.record(token(5), MoveStage::Started).unwrap();
    assert!(journal.entry(Side::Destination, &token(5)).unwrap().resolved);
    let done = Some(LinkMessage::Done(token(5)));
    assert_eq!(journal.reply(&LinkMessage::Commit(token(5))).unwrap(), done);
}

/// Keeps so many entries and then none.
#[derive(Debug)]
struct Failing(usize);

impl JournalStorage for Failing {
    fn append(&mut self, _: &JournalEntry) -> io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("no room"))?;
        Ok(())
    }

    fn rewrite(&mut self, _: &[JournalEntry]) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_was_not_written_has_not_happened_and_a_move_can_be_given_up_all_the_same() {
    let mut journal = Journal::with_storage(Box::new(Failing(1)), &[]);
    journal.record(token(5), MoveStage::Offered).unwrap();
    let error = journal.record(token(5), MoveStage::Committed).unwrap_err();
    assert!(matches!(error, JournalError::Storage(_)), "{error}");
    assert_eq!(journal.stage(Side::Source, &token(5)), Some(MoveStage::Offered));
    assert!(journal.record(token(5), MoveStage::Aborted).is_err());
    assert_eq!(journal.stage(Side::Source, &token(5)), Some(MoveStage::Aborted));
    let error = journal.record(token(5), MoveStage::Committed).unwrap_err();
    assert!(matches!(error, JournalError::Stage { .. }), "{error}");
}

#[test]
fn a_decision_that_was_not_written_is_not_made() {
    let sides = [(Side::Source, &COMMITTED), (Side::Destination, &READY)];
    for (side, stages) in sides {
        for decision in [Decision::RunHere, Decision::Gone] {
            let mut journal = Journal::with_storage(Box::new(Failing(2)), &[]);
            for stage in stages {
                journal.record(token(5), *stage).unwrap();
            }
            for _ in 0..2 {
                let refusal = journal.resolve(side, &token(5), decision).unwrap_err();
                assert!(matches!(refusal, Refusal::Journal(JournalError::Storage(_))), "{refusal}");
                assert_eq!(journal.stage(side, &token(5)), Some(stages[1]));
            }
        }
    }
}

#[test]
fn what_is_kept_is_bounded_and_nothing_that_is_under_way_is_forgotten() {
    let id = |at: usize| Token { uuid: (at as u128).to_be_bytes(), number: 1 };
    let mut journal = Journal::in_memory();
    journal.record(token(5), MoveStage::Offered).unwrap();
    journal.record(token(5), MoveStage::Committed).unwrap();
    for at in 0..ENTRIES_MAX + 10 {
        journal.record(id(at), MoveStage::Offered).unwrap();
        journal.record(id(at), MoveStage::Aborted).unwrap();
        assert!(journal.entries.len() <= ENTRIES_MAX);
        assert!(journal.stored <= 2 * ENTRIES_MAX + SPARE_MAX);
    }
    assert_eq!(journal.stage(Side::Source, &token(5)), Some(MoveStage::Committed));
    assert_eq!(journal.stage(Side::Source, &id(0)), None, "the oldest");
    assert!(journal.stage(Side::Source, &id(ENTRIES_MAX + 9)).is_some());

    let mut journal = Journal::in_memory();
    for at in 0..ENTRIES_MAX {
        journal.record(id(at), MoveStage::Offered).unwrap();
    }
    let error = journal.record(id(ENTRIES_MAX), MoveStage::Offered).unwrap_err();
    assert!(matches!(error, JournalError::Full), "{error}");
}

#[test]
fn an_older_move_is_forgotten_only_when_it_is_over_and_nobody_had_to_decide() {
    let mut journal = Journal::in_memory();
    journal.record(token(1), MoveStage::Restoring).unwrap();
    journal.record(token(1), MoveStage::Ready).unwrap();
    journal.record(token(2), MoveStage::Offered).unwrap();
    journal.record(token(2), MoveStage::Committed).unwrap();
    journal.resolve(Side::Source, &token(2), Decision::RunHere).unwrap();
    for number in 3..SPARE_MAX as u64 {
        journal.record(token(number), MoveStage::Offered).unwrap();
        journal.record(token(number), MoveStage::Aborted).unwrap();
    }
    assert!(journal.entries.len() < SPARE_MAX, "{}", journal.entries.len());
    assert_eq!(journal.stage(Side::Destination, &token(1)), Some(MoveStage::Ready));
    assert_eq!(journal.stage(Side::Source, &token(2)), Some(MoveStage::Aborted));
    assert_eq!(journal.newest(&[1; 16]), Some(SPARE_MAX as u64 - 1));
}
