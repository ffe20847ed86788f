//! What is computed of what a server says.

use super::{busy_server, event, host, seconds, vgpu};
use crate::ctl::Quantile;
use crate::top::model::{Doing, Link, Model, Update};
use godwit_control::EventKind;

#[test]
fn rates_are_of_the_last_ten_seconds() {
    let model = busy_server();
    let of = |at: usize| model.vgpus[at].rates.slices();
    assert_eq!(of(0).per_second, 500.0);
    assert_eq!(of(1).per_second, 50.0);
    assert_eq!(of(0).median, Some(Quantile::AtMost(2_000_000)));
    assert_eq!(of(0).p99, Some(Quantile::AtMost(4_000_000)));
    assert_eq!(model.vgpus[0].rates.preemptions().per_second, 250.0);
    // It had slices, but none of late.
    assert_eq!((of(2).per_second, of(2).median), (0.0, None));
}

#[test]
fn what_is_measured_begins_anew_on_another_host() {
    let mut model = busy_server();
    let take = |model: &mut Model, slices, at| {
        let vgpus = vec![vgpu("v1", "b", 20, slices)];
        model.take(Update::State { vgpus, hosts: vec![host("b", 0)] }, seconds(at));
    };
    take(&mut model, 5_000, 11);
    assert_eq!(model.vgpus[0].rates.slices().per_second, 0.0);
    take(&mut model, 5_200, 12);
    assert_eq!(model.vgpus[0].rates.slices().per_second, 200.0);
}

#[test]
fn what_is_done_has_a_begin_and_the_last_event_of_it() {
    let mut model = busy_server();
    let doing = |model: &Model| model.vgpus[1].doing.clone();
    let text = Some("migrates to `b`".to_owned());
    assert_eq!(doing(&model), Some(Doing { since: seconds(7), text }));
    assert_eq!(model.vgpus[0].doing, None);
    let vgpus = vec![vgpu("v0", "a", 1, 1), vgpu("v1", "b", 1, 1)];
    model.take(Update::State { vgpus, hosts: Vec::new() }, seconds(12));
    assert_eq!(doing(&model), None);
}

#[test]
fn an_event_is_shown_once_and_a_server_that_begins_anew_is_heard() {
    let mut model = busy_server();
    let numbers = |model: &Model| model.events.iter().map(|it| it.number).collect::<Vec<_>>();
    let again = event(2, EventKind::Refused, "v9", "destroy: there is no vGPU `v9`");
    model.take(Update::Event(again), seconds(9));
    assert_eq!(numbers(&model), [1, 2, 3]);
    let mut anew = event(1, EventKind::Created, "v0", "created");
    anew.at_ms += 60_000;
    model.take(Update::Event(anew), seconds(9));
    assert_eq!(numbers(&model), [1, 2, 3, 1]);
    for number in 2..1_000 {
        let mut event = event(number, EventKind::Note, "v0", "x");
        event.at_ms += 60_000;
        model.take(Update::Event(event), seconds(9));
    }
    assert_eq!((numbers(&model)[0], model.events.len()), (500, 500));
}

#[test]
fn a_server_is_lost_since_it_was_last_heard() {
    let mut model = Model::new();
    let lost = |why: &str| Update::Lost(why.to_owned());
    model.take(lost("one"), seconds(1));
    assert_eq!(model.link, Link::Lost(seconds(1), "one".to_owned()));
    model.take(lost("two"), seconds(2));
    assert_eq!(model.link, Link::Lost(seconds(1), "two".to_owned()));
    model.take(Update::State { vgpus: Vec::new(), hosts: Vec::new() }, seconds(3));
    assert_eq!(model.link, Link::Live(seconds(3)));
    model.take(lost("three"), seconds(9));
    assert_eq!(model.link, Link::Lost(seconds(3), "three".to_owned()));
}
