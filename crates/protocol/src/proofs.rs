//! What holds in which world, what nobody can promise, and what each part of the protocol is for.

use crate::model::{FOREIGN, GONE, KEPT, READY};
use crate::search::{REST, holds, violates};
use crate::world::{Budget, Life, Others, Part, Protocol, Service, Team};

/// The controller as it is, on a service where the last writer wins: one crash, one call without an answer, and somebody
/// else who writes once, while nothing of ours is under way. The object is created, edited and deleted.
const USUAL: Protocol = Protocol {
    service: Service::Overwrites,
    lag: false,
    life: Life::OutcomeWait,
    pauses: false,
    others: Others::Apart,
    budget: Budget { give_ups: 1, crashes: 1, foreign_writes: 1 },
    wants: &[[1, 0], [2, 0]],
    document: false,
    script: &[Team::Edits, Team::Deletes],
    without: &[],
};
/// An edit that changes one of two statements.
const TWO: &[[u8; 2]] = &[[1, 1], [2, 1]];
/// An edit that moves what is granted to another Sid.
const RENAME: &[[u8; 2]] = &[[1, 0], [0, 1]];
/// An edit, and another that takes it back.
const BACK: &[[u8; 2]] = &[[1, 0], [2, 0], [1, 0]];
const NOTHING: Budget = Budget { give_ups: 0, crashes: 0, foreign_writes: 0 };

// What holds, in every state.

#[test]
fn a_statement_is_put_changed_changed_back_and_removed() {
    holds(&Protocol { wants: BACK, script: &[Team::Edits, Team::Edits, Team::Deletes], ..USUAL });
}

#[test]
fn a_statement_is_put_changed_and_removed_though_reads_lag() {
    holds(&Protocol { lag: true, ..USUAL });
}

#[test]
fn one_of_two_statements_is_changed_and_both_are_removed() {
    holds(&Protocol { wants: TWO, ..USUAL });
}

#[test]
fn a_renamed_statement_gives_all_the_time() {
    holds(&Protocol { wants: RENAME, ..USUAL });
}

#[test]
fn a_renamed_statement_gives_all_the_time_though_reads_lag_where_conflicts_are_detected() {
    holds(&Protocol { service: Service::Refuses, lag: true, wants: RENAME, ..USUAL });
}

#[test]
fn two_calls_without_an_answer_are_waited_out() {
    holds(&Protocol { budget: Budget { give_ups: 2, crashes: 1, foreign_writes: 0 }, ..USUAL });
}

#[test]
fn a_document_carries_what_others_wrote_before_it() {
    holds(&Protocol { wants: TWO, document: true, ..USUAL });
}

#[test]
fn others_lose_nothing_to_short_writes_at_any_time_where_conflicts_are_detected() {
    holds(&Protocol { service: Service::Refuses, lag: true, others: Others::Beside, ..USUAL });
}

#[test]
fn an_object_that_is_created_again_owns_its_statements_again() {
    holds(&Protocol { script: &[Team::Deletes, Team::CreatesAgain], ..USUAL });
}

#[test]
#[ignore = "3.5 million states"]
fn two_crashes_and_two_calls_without_an_answer_are_survived_though_reads_lag() {
    holds(&Protocol { lag: true, budget: Budget { give_ups: 2, crashes: 2, foreign_writes: 0 }, ..USUAL });
}

// What nobody can promise: here the search must find how it goes wrong, and that it is mended where it can be.

#[test]
fn a_foreign_write_that_overlaps_ours_may_be_lost_where_the_last_writer_wins() {
    violates(&Protocol { others: Others::Beside, script: &[Team::Edits], ..USUAL }, &[FOREIGN, KEPT]);
}

#[test]
fn a_foreign_write_between_our_read_and_our_document_is_lost_even_where_conflicts_are_detected() {
    let world = Protocol { service: Service::Refuses, document: true, script: &[Team::Edits], ..USUAL };
    violates(&Protocol { others: Others::Beside, ..world }, &[FOREIGN]);
}

/// A call gets no answer, and the object is deleted.
const LATE: Protocol = Protocol { script: &[Team::Deletes], budget: Budget { give_ups: 1, ..NOTHING }, ..USUAL };

#[test]
fn a_call_that_lands_after_the_wait_is_undone_as_long_as_the_tombstone_stands() {
    violates(&Protocol { life: Life::Tombstone, ..LATE }, &[GONE]);
}

#[test]
fn a_call_that_lands_after_the_tombstone_may_bring_a_grant_back() {
    violates(&Protocol { life: Life::Unbounded, ..LATE }, &[GONE, REST]);
}

#[test]
fn an_old_copy_that_others_write_after_the_tombstone_may_bring_a_grant_back() {
    let budget = Budget { foreign_writes: 1, ..NOTHING };
    violates(&Protocol { service: Service::Refuses, others: Others::FromCopies, budget, ..LATE }, &[GONE, KEPT, REST]);
}

#[test]
fn a_leader_that_is_stopped_between_its_lease_and_its_socket_may_bring_a_grant_back() {
    let budget = Budget { crashes: 1, ..NOTHING };
    violates(&Protocol { pauses: true, budget, ..LATE }, &[GONE, REST]);
}

// What is promised neither across a crash, nor before the next sweep where reads lag.

#[test]
fn a_tombstone_is_lost_with_its_process() {
    let budget = Budget { give_ups: 1, crashes: 1, ..NOTHING };
    violates(&Protocol { life: Life::Tombstone, budget, ..LATE }, &[GONE, REST]);
}

#[test]
fn a_removal_that_a_predecessor_sent_by_its_tombstone_is_not_waited_out_for_a_new_object() {
    let budget = Budget { give_ups: 0, ..USUAL.budget };
    let world = Protocol { service: Service::Refuses, others: Others::FromCopies, budget, ..USUAL };
    violates(&Protocol { script: &[Team::Deletes, Team::CreatesAgain], ..world }, &[READY, GONE, KEPT, REST]);
}

#[test]
fn a_read_that_lags_behind_our_own_write_may_show_what_is_wanted_again() {
    let world = Protocol { lag: true, budget: NOTHING, ..USUAL };
    violates(&Protocol { wants: BACK, script: &[Team::Edits, Team::Edits], ..world }, &[READY]);
    violates(&Protocol { script: &[Team::Deletes, Team::CreatesAgain], ..world }, &[READY, KEPT]);
}

#[test]
fn a_document_that_is_made_of_a_read_that_lags_may_lose_a_foreign_write_before_it() {
    let budget = Budget { foreign_writes: 1, ..NOTHING };
    violates(&Protocol { lag: true, document: true, budget, ..USUAL }, &[FOREIGN]);
}

#[test]
fn calls_of_ours_that_overlap_may_undo_each_other_unseen_where_reads_lag_and_the_last_writer_wins() {
    let world = Protocol { lag: true, wants: RENAME, script: &[Team::Edits], ..USUAL };
    violates(&world, &[READY, KEPT]);
    holds(&Protocol { service: Service::Refuses, ..world });
    holds(&Protocol { lag: false, ..world });
}

// What each part is for: without it, the search finds what it prevents.

#[test]
fn without_the_wait_a_grant_is_left_after_deletion() {
    violates(&Protocol { without: &[Part::Wait], ..USUAL }, &[READY, GONE, REST]);
}

#[test]
fn without_a_read_after_the_write_a_lost_update_stays() {
    let world = Protocol { without: &[Part::Sweep], budget: Budget { give_ups: 1, ..NOTHING }, ..USUAL };
    holds(&world);
    violates(&Protocol { without: &[Part::Sweep, Part::Verification], ..world }, &[READY, REST]);
}

#[test]
fn without_the_sweep_what_a_foreign_write_undid_stays_undone() {
    let budget = Budget { foreign_writes: 1, ..NOTHING };
    let world = Protocol { others: Others::Beside, script: &[], budget, ..USUAL };
    violates(&world, &[FOREIGN, KEPT]);
    violates(&Protocol { without: &[Part::Sweep], ..world }, &[FOREIGN, KEPT, REST]);
}

#[test]
fn a_status_of_another_generation_than_the_flight_served_is_a_lie() {
    violates(&Protocol { without: &[Part::OwnGeneration], budget: NOTHING, ..USUAL }, &[READY]);
}

#[test]
fn what_a_predecessor_said_does_not_cover_what_was_repaired_since() {
    let world = Protocol { others: Others::Beside, script: &[], wants: TWO, ..USUAL };
    violates(&world, &[FOREIGN, KEPT]);
    violates(&Protocol { without: &[Part::DoubtOfRepairs], ..world }, &[READY, FOREIGN, KEPT]);
}

#[test]
fn a_removal_beside_a_call_without_an_answer_confirms_nothing() {
    let budget = Budget { give_ups: 1, crashes: 1, ..NOTHING };
    let world = Protocol { lag: true, wants: RENAME, budget, ..USUAL };
    violates(&world, &[READY, KEPT]);
    violates(&Protocol { without: &[Part::LoneConfirmation], ..world }, &[READY, GONE, KEPT]);
}
