//! What can be wrong with a driver, and the rule that it breaks.

macro_rules! flaws {
    ($($(#[doc = $doc:literal])+ $flaw:ident caught_by $check:literal;)+) => {
        /// What is wrong with a driver.
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
    /// Every fourth doorbell is lost.
    DropsADoorbell caught_by "no_doorbell_is_lost_between_others";
    /// Doorbells come twice.
    RepeatsADoorbell caught_by "a_doorbell_is_handed_out_once";
    /// Those that rang before the driver was made are lost.
    StartsWithoutBells caught_by "a_doorbell_before_it_is_handed_out_after_it";
    /// Every doorbell is urgent.
    HintsAtEveryDoorbell caught_by "a_plain_doorbell_gives_no_hint";
    /// Hints come twice.
    RepeatsAHint caught_by "an_urgent_doorbell_gives_the_hint_once_and_rings";
    /// Every other hint is lost.
    DropsHints caught_by "each_vgpu_that_rings_urgently_gives_its_own_hint";
    /// Those of before the driver was made are lost.
    StartsWithoutHints caught_by "a_hint_before_it_is_handed_out_after_it";
    /// Faults are not told.
    KeepsFaults caught_by "a_fault_is_handed_out_once_with_its_channel";
    /// A slot reads back without its fault.
    ReadsBackLess caught_by "a_slot_reads_back_as_it_was_bound";
    /// Slots stay bound.
    NeverUnbinds caught_by "a_slot_that_is_unbound_reads_as_nothing";
    /// Preempt requests are answered with another number.
    AnswersAnotherNumber caught_by "an_empty_engine_answers_in_each_mode";
    /// Every preemption is at an instruction.
    PreemptsTooSoon caught_by "wfi_waits_for_all_of_the_entry";
    /// So is a preemption at a thread block.
    PreemptsWithinABlock caught_by "cta_waits_for_the_blocks_in_flight";
    /// Every preemption waits for the entry's end.
    PreemptsTooLate caught_by "instruction_does_not_wait";
    /// Every preemption is at once.
    IgnoresTheTime caught_by "work_goes_on_until_the_time_and_then_lets_go";
    /// No preemption is asked for beforehand.
    LetsSlicesRunOn caught_by "it_may_be_asked_for_together_with_the_start";
    /// A preemption that was asked for beforehand waits for the entry's end.
    EndsSlicesTooLate caught_by "cta_waits_for_the_block_that_runs_at_the_time";
    /// It is at an instruction.
    EndsSlicesTooSoon caught_by "wfi_waits_for_the_entry_that_runs_at_the_time";
    /// One whose time has passed is not asked for.
    SkipsSlicesThatAreOver caught_by "a_time_that_has_passed_preempts_at_once";
    /// Of two times the first counts.
    KeepsTheFirstTime caught_by "a_later_time_takes_the_place_of_an_earlier";
    /// A preemption at once comes at the time that was asked for before it.
    WaitsForTheSlice caught_by "a_preemption_at_once_takes_the_place_of_a_time";
    /// A time is asked for again with each start.
    KeepsTheTime caught_by "a_group_that_ends_before_the_time_takes_it_along";
    /// Answers of runlists come twice.
    AnswersTwice caught_by "a_group_runs_until_it_has_no_more_work";
    /// Resets are not asked for.
    NeverResets caught_by "a_reset_empties_the_engine";
    /// Numbers begin at 0 with each driver.
    ForgetsItsNumbers caught_by "requests_count_on_from_the_last";
    /// The second retained slot is the first.
    HasOneRetainedSlot caught_by "retained_slots_are_apart";
    /// What is retained is in the driver's own memory.
    RetainsInItsOwnMemory caught_by "retained_slots_stay";
    /// An alarm cannot be cleared.
    NeverClearsTheAlarm caught_by "a_cleared_alarm_does_not_ring";
    /// An alarm of the past is not set.
    WaitsForTheFuture caught_by "an_alarm_of_the_past_rings_at_once";
    /// The clock has 32 bits.
    HasAShortClock caught_by "time_goes_on_with_the_device_and_never_back";
    /// Apertures are answered before they are bound.
    AnswersTooEarly caught_by "a_window_that_is_not_bound_yet_is_not_answered";
    /// Partitions are not cleared.
    NeverClearsAPartition caught_by "a_cleared_partition_has_no_address";
    /// Routes are always open.
    NeverClosesARoute caught_by "vectors_gather_while_the_route_is_closed";
    /// The clock's offset is not set.
    ForgetsTheOffset caught_by "the_guests_clock_is_the_devices_and_the_offset";
    /// Every other injection is lost.
    LosesInjections caught_by "injections_that_follow_at_once_are_all_raised";
    /// The way to peers is never closed.
    NeverClosesPeers caught_by "work_for_a_peer_waits_while_the_way_is_closed";
    /// Closing it stops all that the vGPU does.
    StopsAllForPeers caught_by "other_channels_go_on_while_it_is_closed";
    /// Closing it is answered before it is done.
    AnswersPeersTooEarly caught_by "an_access_under_way_ends_before_closing_is_answered";
    /// All vGPUs have one way.
    ClosesEverybodysPeers caught_by "each_vgpu_has_a_way_of_its_own";
    /// Of several requests the first counts.
    KeepsTheFirstOfPeers caught_by "the_last_request_counts_and_is_answered_once";
    /// What was asked for is in the driver's own memory.
    ForgetsPeers caught_by "what_was_asked_for_outlives_the_driver";
    /// What a driver before this one asked for is answered to it.
    AnswersForTheOneBefore caught_by "requests_of_the_driver_before_are_answered_to_nobody";
    /// Of interrupts those are counted that the host has not taken.
    CountsWhatIsPending caught_by "each_interrupt_is_counted_for_its_own_vgpu";
    /// The count begins at 0 with each partition.
    CountsSinceThePartition caught_by "interrupts_are_counted_for_an_id_whoever_has_it";
    /// The count begins at 0 with each driver.
    CountsItsOwnInterrupts caught_by "interrupts_are_counted_on";
    /// A switch is recorded without its boundary.
    RecordsLess caught_by "a_switch_is_read_once_as_it_was_recorded";
    /// Every fourth switch is not recorded.
    DropsASwitch caught_by "switches_come_in_order_for_many_rounds";
    /// A full ring of switches is written no more.
    StopsWhenTheRingIsFull
        caught_by "a_host_that_comes_late_finds_the_newest_and_how_many_it_missed";
    /// Of two copies the later is answered first.
    AnswersCopiesOutOfOrder caught_by "answers_come_in_order_and_once";
    /// A full ring takes operations and drops them.
    TakesMoreCopiesThanItCan caught_by "a_full_ring_refuses_and_does_nothing";
    /// Bad bytes count as good ones.
    IgnoresTheCrc caught_by "bytes_with_another_crc_are_not_written";
    /// A log that is started is stopped first.
    StopsTheLogFirst caught_by "a_log_that_is_started_again_keeps_what_was_in_it";
    /// Events that are too long are cut.
    CutsEvents caught_by "an_event_that_is_too_long_is_refused";
    /// Commands lose their last byte.
    CutsCommands caught_by "commands_come_whole_and_in_order_for_many_rounds";
    /// Turns are not counted.
    HasNoHeartbeat caught_by "a_turn_is_counted_and_so_is_one_without_work";
}
