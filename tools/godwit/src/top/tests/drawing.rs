//! What is drawn, at several sizes. `SNAPSHOTS=overwrite` writes it anew.

use super::{MIB, busy_server, event, host, room, seconds, vgpu};
use crate::top::draw::draw;
use crate::top::model::{Model, Update};
use crate::top::view::View;
use godwit_control::EventKind;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use snapbox::{assert_data_eq, file};

const ADDRESS: &str = "unix:/run/godwit/ctl";

fn drawn(model: &Model, view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, view, ADDRESS, seconds(12))).unwrap();
    terminal.backend().to_string()
}

fn pressed(model: &Model, keys: &str) -> View {
    let mut view = View::default();
    for key in keys.chars() {
        assert!(view.handle_key(KeyEvent::from(KeyCode::Char(key)), model));
    }
    view
}

#[test]
fn a_wide_terminal_has_all_columns() {
    let model = busy_server();
    let shown = drawn(&model, &pressed(&model, "j"), 160, 20);
    assert_data_eq!(shown, file!["../../../tests/top/wide.txt"].raw());
}

/// What is cut would be another name, or another number.
#[test]
fn what_is_long_is_shown_whole() {
    let mut long = vgpu("a-tenant-whose-name-is-of-32-byte", "a-host-of-24-bytes-or-so", 20, 100);
    long.profile = Some("GW81920-20480Q".to_owned());
    long.state = "PRE_COPY_P2P".to_owned();
    let mut large = host("a-host-of-24-bytes-or-so", 0);
    large.framebuffer = room(49_140 * MIB, 2_000 * MIB);
    large.slice_ns = 1_500_000;
    let mut model = Model::new();
    model.take(Update::State { vgpus: vec![long], hosts: vec![large] }, seconds(12));
    let shown = drawn(&model, &View::default(), 200, 20);
    for whole in [
        "a-tenant-whose-name-is-of-32-byte ",
        "a-host-of-24-bytes-or-so ",
        "PRE_COPY_P2P ",
        "GW81920-20480Q ",
        "47140 MiB of 49140 MiB ",
        "1500 us ",
    ] {
        assert!(shown.contains(whole), "{whole}:\n{shown}");
    }
}

#[test]
fn a_usual_terminal_has_the_most_important_ones() {
    let model = busy_server();
    let shown = drawn(&model, &pressed(&model, "sss"), 80, 24);
    assert_data_eq!(shown, file!["../../../tests/top/usual.txt"].raw());
}

#[test]
fn a_small_terminal_has_what_fits() {
    let model = busy_server();
    let small = drawn(&model, &View::default(), 40, 10);
    assert_data_eq!(small, file!["../../../tests/top/small.txt"].raw());
    let tiny = drawn(&model, &View::default(), 20, 5);
    assert_data_eq!(tiny, file!["../../../tests/top/tiny.txt"].raw());
}

/// A host that is not seen may be the one whose firmware is lost.
#[test]
fn what_there_is_no_room_for_is_counted() {
    let mut model = Model::new();
    let vgpus = (0..7).map(|at| {
        let mut moving = vgpu(&format!("v{at}"), "h0", 10, 100);
        moving.busy = Some("migrate".to_owned());
        moving
    });
    let hosts = (0..11).map(|at| host(&format!("h{at}"), 448)).collect();
    model.take(Update::State { vgpus: vgpus.collect(), hosts }, seconds(12));
    let shown = drawn(&model, &View::default(), 80, 30);
    assert_data_eq!(shown, file!["../../../tests/top/more.txt"].raw());
    // Where there is less room than for that, the more are counted.
    let shown = drawn(&model, &View::default(), 80, 14);
    assert!(shown.contains("h0 ") && shown.contains("\"and "), "{shown}");
    // One alone has the line that would tell of it.
    model.hosts.truncate(9);
    model.vgpus.truncate(5);
    let shown = drawn(&model, &View::default(), 80, 30);
    assert!(!shown.contains("more") && shown.contains("h8 ") && shown.contains("v4 migrate"));
}

#[test]
fn help_is_over_the_rest() {
    let model = busy_server();
    let shown = drawn(&model, &pressed(&model, "?"), 80, 20);
    assert_data_eq!(shown, file!["../../../tests/top/help.txt"].raw());
}

#[test]
fn a_server_that_is_lost_is_told_and_what_was_there_is_shown() {
    let mut model = busy_server();
    model.take(Update::Lost("it cannot be reached".to_owned()), seconds(11));
    model.take(Update::Lost("it still cannot be reached".to_owned()), seconds(12));
    let shown = drawn(&model, &pressed(&model, "p"), 100, 12);
    assert_data_eq!(shown, file!["../../../tests/top/lost.txt"].raw());
    let shown = drawn(&Model::new(), &View::default(), 60, 6);
    assert_data_eq!(shown, file!["../../../tests/top/begin.txt"].raw());
}

#[test]
fn the_row_that_is_selected_is_in_sight() {
    let mut model = Model::new();
    let name = |at: u32| format!("v{at:02}");
    let vgpus = (0..64).map(|at| vgpu(&name(at), "a", 1, 100)).collect();
    model.take(Update::State { vgpus, hosts: vec![host("a", 0)] }, seconds(1));
    for keys in [&*"j".repeat(40), "G", "jGkkkk"] {
        let view = pressed(&model, keys);
        let (rows, at) = view.rows(&model);
        let selected = &rows[at.unwrap()].status.name;
        let shown = drawn(&model, &view, 100, 20);
        let lines = shown.lines().filter(|line| line.starts_with(&format!("\"{selected} ")));
        // Its row, and its details.
        assert_eq!(lines.count(), 2, "{shown}");
    }
}

#[test]
fn no_size_and_no_figures_break_the_drawing() {
    let mut odd = vgpu("a\u{301}日本日本日本日本", "日本日本日本", 255, u64::MAX / 2_000_000);
    odd.stats.engines[0].share = f64::NAN;
    odd.stats.engines[1].debt_ns = u64::MAX;
    odd.stats.slices.count = u64::MAX;
    odd.busy = Some("migrate".repeat(30));
    let mut full = host("", 0);
    full.framebuffer.free = u64::MAX;
    full.slice_ns = u64::MAX;
    full.firmware.lost = true;
    let mut model = Model::new();
    for second in [5, 1, u64::MAX] {
        let (vgpus, hosts) = (vec![odd.clone()], vec![full.clone(); 20]);
        model.take(Update::State { vgpus, hosts }, seconds(second));
    }
    let long = "x".repeat(5_000);
    model.take(Update::Event(event(1, EventKind::Missed, &odd.name, &long)), seconds(1));
    for model in [model, busy_server(), Model::new()] {
        for keys in ["", "j", "?", "jp?"] {
            let view = pressed(&model, keys);
            for width in [1, 2, 9, 20, 79, 300] {
                for height in [1, 2, 5, 11, 60] {
                    let shown = drawn(&model, &view, width, height);
                    assert_eq!(shown.lines().count(), usize::from(height));
                }
            }
        }
    }
}
