//! What keys change.

use super::{busy_server, host, seconds, vgpu};
use crate::top::model::{Model, Update};
use crate::top::view::View;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

fn press(view: &mut View, model: &Model, key: KeyCode) -> bool {
    view.handle_key(KeyEvent::from(key), model)
}

fn names(view: &View, model: &Model) -> Vec<String> {
    view.rows(view.shown(model)).0.iter().map(|row| row.status.name.clone()).collect()
}

fn selected(view: &View, model: &Model) -> Option<String> {
    let (rows, at) = view.rows(view.shown(model));
    at.map(|at| rows[at].status.name.clone())
}

#[test]
fn q_escape_and_control_c_end_it() {
    let model = busy_server();
    let mut view = View::default();
    assert!(!press(&mut view, &model, KeyCode::Char('q')));
    assert!(!press(&mut view, &model, KeyCode::Esc));
    let held = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(!view.handle_key(held, &model));
    assert!(press(&mut view, &model, KeyCode::Char('c')));
    // The end of a key is no key.
    let mut released = KeyEvent::from(KeyCode::Char('q'));
    released.kind = KeyEventKind::Release;
    assert!(view.handle_key(released, &model));
    // With help, escape closes that.
    press(&mut view, &model, KeyCode::Char('?'));
    assert!(view.help);
    assert!(press(&mut view, &model, KeyCode::Esc));
    assert!(!view.help);
}

#[test]
fn s_changes_the_order() {
    let model = busy_server();
    let mut view = View::default();
    let orders: Vec<Vec<String>> = (0..6)
        .map(|_| {
            let order = names(&view, &model);
            press(&mut view, &model, KeyCode::Char('s'));
            order
        })
        .collect();
    let as_told = ["v0", "v1", "w0"];
    let by_share = ["v0", "w0", "v1"];
    let by_doing = ["v1", "v0", "w0"];
    assert_eq!(orders, [as_told, as_told, by_share, by_share, by_doing, as_told]);
}

#[test]
fn what_is_selected_is_a_vgpu_and_no_line() {
    let mut model = busy_server();
    let mut view = View::default();
    assert_eq!(selected(&view, &model), None);
    for (key, name) in [
        (KeyCode::Down, "v0"),
        (KeyCode::Down, "v1"),
        (KeyCode::Char('j'), "w0"),
        (KeyCode::Down, "w0"),
        (KeyCode::Char('k'), "v1"),
        (KeyCode::Home, "v0"),
        (KeyCode::Up, "v0"),
        (KeyCode::Char('G'), "w0"),
        (KeyCode::Up, "v1"),
    ] {
        press(&mut view, &model, key);
        assert_eq!(selected(&view, &model).as_deref(), Some(name), "{key:?}");
    }
    // It moves, and is selected over there.
    let vgpus = vec![vgpu("v0", "a", 1, 1), vgpu("w0", "b", 1, 1), vgpu("v1", "b", 1, 1)];
    model.take(Update::State { vgpus, hosts: vec![host("b", 0)] }, seconds(20));
    assert_eq!(selected(&view, &model).as_deref(), Some("v1"));
    // It goes, and nothing is.
    model.take(Update::State { vgpus: Vec::new(), hosts: Vec::new() }, seconds(21));
    assert_eq!(selected(&view, &model), None);
    press(&mut view, &model, KeyCode::Down);
    assert_eq!(selected(&view, &model), None);
}

#[test]
fn p_holds_what_is_shown() {
    let mut model = busy_server();
    let mut view = View::default();
    press(&mut view, &model, KeyCode::Char('p'));
    model.take(Update::State { vgpus: Vec::new(), hosts: Vec::new() }, seconds(20));
    assert_eq!(names(&view, &model).len(), 3);
    press(&mut view, &model, KeyCode::Down);
    assert_eq!(selected(&view, &model).as_deref(), Some("v0"));
    press(&mut view, &model, KeyCode::Char('p'));
    assert_eq!(names(&view, &model), [""; 0]);
}
