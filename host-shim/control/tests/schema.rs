//! The schema that is checked in is that of the types.

use snapbox::{assert_data_eq, file};

/// `SNAPSHOTS=overwrite cargo test -p godwit-control` writes it anew.
#[test]
fn the_schema_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&godwit_control::schema()).unwrap() + "\n";
    assert_data_eq!(text, file!["../schema.json"].raw());
}
