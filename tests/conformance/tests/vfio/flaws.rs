//! What can be wrong with a device, and the rule that it breaks.

macro_rules! flaws {
    ($($(#[doc = $doc:literal])+ $flaw:ident caught_by $check:literal;)+) => {
        /// What is wrong with a device.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Flaw {
            $($(#[doc = $doc])+ $flaw,)+
        }

        impl Flaw {
            /// Every flaw.
            pub(crate) const ALL: &[Self] = &[$(Self::$flaw),+];

            /// The check that has to see it.
            pub(crate) const fn caught_by(self) -> &'static str {
                match self {
                    $(Self::$flaw => $check,)+
                }
            }
        }
    };
}

flaws! {
    /// Only single arcs can be asked for.
    TakesNoLongWays caught_by "arcs::every_state_leads_to_every_other";
    /// A transition is answered before it is done.
    AnswersTooEarly caught_by "arcs::every_state_leads_to_every_other";
    /// A saving group that was read from cannot be left.
    StaysInASession caught_by "arcs::a_way_leads_on_from_the_middle_of_a_session";
    /// Nor one that was read out.
    StaysAtTheEnd caught_by "arcs::a_way_leads_on_from_the_end_of_a_session";
    /// Asked for the state that it is in, it begins a new session.
    BeginsTheSameStateAnew caught_by "arcs::the_same_state_again_keeps_its_session";
    /// It can be asked for ERROR.
    CanBeAskedForError caught_by "arcs::error_cannot_be_asked_for";
    /// Of a state's number only three bits count.
    TakesAnyNumber caught_by "arcs::states_that_there_are_not_are_refused";
    /// A state that there is not ends its session.
    EndsItsSessionForNothing caught_by "arcs::states_that_there_are_not_are_refused";
    /// STOP_COPY leads to pre-copy, by way of RUNNING.
    LeadsBackToPrecopy caught_by "arcs::stop_copy_does_not_lead_back_to_precopy";
    /// RUNNING leads out of ERROR.
    LeavesError caught_by "arcs::nothing_but_a_reset_leads_out_of_error";
    /// It runs on in STOP.
    RunsInStop caught_by "standstill::nothing_runs_in_stop";
    /// It runs on in STOP_COPY.
    RunsInStopCopy caught_by "standstill::nothing_runs_in_stop_copy";
    /// It runs as soon as some of its state was read.
    RunsWhileItIsRead caught_by "standstill::nothing_runs_while_the_state_is_read";
    /// It runs in RESUMING until something is written.
    RunsInResuming caught_by "standstill::nothing_runs_in_resuming";
    /// It writes to its guest's memory in STOP.
    WritesToItsGuestInStop caught_by "standstill::nothing_reaches_the_guests_memory";
    /// It raises interrupts in STOP.
    InterruptsInStop caught_by "standstill::no_interrupt_comes";
    /// It begins each state of the saving group with a new session.
    HasASessionForEachState caught_by "session::the_saving_group_shares_one";
    /// A session that is begun again goes on where the one before was left.
    GoesOnWithALeftSession caught_by "session::precopy_that_is_left_begins_afresh";
    /// The same, in STOP_COPY.
    GoesOnWithALeftStopCopy caught_by "session::stop_copy_that_is_left_begins_afresh";
    /// Each read but those of a page or more loses a byte.
    LosesAByteOfSmallReads caught_by "session::it_may_be_read_in_any_parts";
    /// A read gives no more than a hundred bytes.
    ReadsShort caught_by "session::a_short_read_is_an_end";
    /// Without data for now it says that there is no more.
    EndsForNowWithNothing caught_by "session::the_end_for_now_is_enomsg";
    /// After the end for now there is no more.
    EndsForGoodTooSoon caught_by "session::more_may_come_after_the_end_for_now";
    /// The end in STOP_COPY is an end for now.
    NeverEndsForGood caught_by "session::the_end_for_good_is_0_bytes_again_and_again";
    /// It is told once.
    EndsForGoodOnce caught_by "session::the_end_for_good_is_0_bytes_again_and_again";
    /// A read in any state finds nothing.
    ReadsAnywhere caught_by "session::a_read_is_refused_outside_of_the_saving_group";
    /// A write in any state is dropped.
    WritesAnywhere caught_by "session::a_write_is_refused_outside_of_resuming";
    /// STOP_COPY is reached by way of pre-copy only.
    NeedsPrecopy caught_by "session::a_state_can_be_read_without_precopy";
    /// It takes no less than a record's header.
    TakesNoSmallParts caught_by "restore::a_state_is_taken_byte_by_byte";
    /// It takes whole words only, and drops the rest.
    TakesWordsOnly caught_by "restore::a_state_is_taken_in_odd_parts";
    /// It drops what is beyond a page.
    TakesAPageOnly caught_by "restore::a_state_is_taken_as_a_whole";
    /// A state of no bytes is fine.
    TakesNothing caught_by "restore::nothing_is_no_state";
    /// It takes a state that was cut.
    TakesACutState caught_by "restore::a_state_that_was_cut_is_not_taken";
    /// It takes one that is damaged.
    TakesDamage caught_by "restore::a_state_with_a_bit_flipped_is_not_taken";
    /// It takes that of another kind of device.
    TakesAnothersState caught_by "restore::a_state_of_another_kind_of_device_is_not_taken";
    /// It drops what is behind the end of a state.
    TakesMore caught_by "restore::a_state_with_bytes_behind_it_is_not_taken";
    /// It takes a state in any order.
    TakesAnyOrder caught_by "restore::a_state_in_another_order_is_not_taken";
    /// It takes one with holes.
    TakesHoles caught_by "restore::a_state_with_bytes_missing_is_not_taken";
    /// After a state that is none it is in STOP.
    StopsAfterABadState caught_by "restore::a_state_that_was_cut_is_not_taken";
    /// A reset in RESUMING ends nothing.
    KeepsResuming caught_by "restore::a_session_is_given_up_by_a_reset";
    /// P2P states do not differ from those without.
    ReachesPeersInP2p caught_by "peers::a_peer_is_not_reached_in_p2p";
    /// A P2P state is answered before accesses to peers have ended.
    AnswersP2pTooEarly caught_by "peers::nothing_is_under_way_when_the_call_returns";
    /// In P2P states it stands still.
    StopsInP2p caught_by "peers::own_work_goes_on_in_p2p";
    /// The way to peers stays closed.
    NeverReopensPeers caught_by "peers::work_for_a_peer_goes_on_afterwards";
    /// One that was stopped reaches its peers in RUNNING_P2P.
    StartsWithPeers caught_by "peers::a_stopped_device_leads_to_p2p_first";
    /// It has no bytes that are to be read first.
    HasNoInitialBytes caught_by "precopy::initial_bytes_begin_above_0";
    /// Bytes that are to be read first stay as many.
    InitialBytesStay caught_by "precopy::initial_bytes_fall_to_0_as_data_is_read";
    /// All of its bytes count as dirty from the start.
    IsDirtyAtFirst caught_by "precopy::dirty_bytes_begin_at_0";
    /// Nothing is ever dirty.
    IsNeverDirty caught_by "precopy::dirty_bytes_are_what_was_written_since";
    /// It tells of fewer bytes than there are.
    TellsOfTooLittle caught_by "precopy::without_bytes_there_is_no_data";
    /// It tells of data in any state.
    InformsAnywhere caught_by "precopy::it_is_refused_outside_of_precopy";
    /// It drops what there is to be read when it is asked how much that is.
    DropsDataWhenAsked caught_by "precopy::asking_changes_nothing";
    /// It does not tell that its data begins anew.
    NeverReinits caught_by "precopy::a_restart_of_the_firmware_begins_anew";
    /// It tells so again and again.
    ReinitsAgain caught_by "precopy::a_restart_of_the_firmware_begins_anew";
    /// Its size is known in STOP_COPY only.
    HasASizeInStopCopyOnly caught_by "size::it_is_told_in_every_state";
    /// It tells of no bytes that are left.
    IsSmall caught_by "size::it_is_no_less_than_what_is_read_then";
    /// It counts its memory, and nothing else.
    CountsItsMemoryOnly caught_by "size::it_counts_what_precopy_has_left";
    /// Its size stays what it was.
    NeverGetsSmaller caught_by "size::it_falls_as_data_is_read";
    /// Every write is missed by its log.
    LogsNothing caught_by "dma log::what_is_written_is_logged";
    /// All memory counts as written.
    LogsEverything caught_by "dma log::what_is_only_read_is_not_logged";
    /// The page of its log is none.
    LogsByOddPages caught_by "dma log::a_page_is_not_smaller_than_was_asked_for";
    /// What was reported is reported again.
    KeepsWhatItReported caught_by "dma log::a_report_clears_what_it_tells";
    /// A report clears all of the log.
    ClearsAllOfTheLog caught_by "dma log::a_report_clears_only_what_it_tells";
    /// A report clears the caller's bits.
    ClearsTheCallersBits caught_by "dma log::a_report_sets_bits_and_clears_none";
    /// A report is always by pages of 4 KiB.
    ReportsByOnePage caught_by "dma log::a_report_may_have_pages_of_another_size";
    /// A log that is started twice is fine.
    StartsALogTwice caught_by "dma log::a_log_is_not_started_twice";
    /// So is one that is stopped and was not started.
    StopsNoLog caught_by "dma log::a_log_that_is_not_started_is_not_stopped";
    /// Without a log nothing was written.
    ReportsNoLog caught_by "dma log::a_log_that_is_not_started_is_not_reported";
    /// A log ends when the device stops.
    LogsUntilItStops caught_by "dma log::it_goes_on_in_every_state";
    /// The source of a move does not run again.
    EndsAtTheSource caught_by "moves::a_job_goes_on_at_the_source_if_it_is_not_moved";
    /// A state can be written once.
    TakesAStateOnce caught_by "moves::a_state_can_be_written_again";
    /// A reset leads to STOP.
    ResetsToStop caught_by "reset::it_leads_to_running_from_every_state";
    /// A reset leaves the memory as it is.
    ResetsItsStateOnly caught_by "reset::it_leads_to_running_from_every_state";
    /// A session outlives a reset.
    KeepsItsSession caught_by "reset::it_ends_every_session";
    /// A reset does not lead out of ERROR.
    StaysInError caught_by "reset::it_leads_out_of_a_state_that_was_not_taken";
    /// It can be reset once.
    ResetsOnce caught_by "reset::it_may_be_done_again";
}
