//! What is said and answered is of the schema that is printed: of its root, as any tool takes it.

use crate::ctl;
use crate::fake::{Does, Fake};
use crate::serving::{Serving, text};
use serde_json::{Map, Value};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// Why a value is not of a schema. It knows what the printed one is made of, and no more.
fn mistake(schema: &Value, value: &Value, root: &Value) -> Option<String> {
    let none = Map::new();
    schema.as_object().unwrap().iter().find_map(|(word, it)| {
        let all = |it: &Value| -> Vec<Option<String>> {
            it.as_array().unwrap().iter().map(|one| mistake(one, value, root)).collect()
        };
        let fields = value.as_object().unwrap_or(&none);
        let is_fine = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            "$ref" => {
                let path = it.as_str().unwrap().strip_prefix('#').unwrap();
                return mistake(root.pointer(path).unwrap(), value, root);
            }
            "oneOf" => all(it).iter().filter(|why| why.is_none()).count() == 1,
            "anyOf" => all(it).contains(&None),
            "const" => value == it,
            "enum" => it.as_array().unwrap().contains(value),
            "type" => match it {
                Value::Array(kinds) => kinds.iter().any(|kind| is_kind(kind, value)),
                kind => is_kind(kind, value),
            },
            "minimum" => value.as_f64().is_none_or(|value| value >= it.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|value| value <= it.as_f64().unwrap()),
            "required" => {
                let named = it.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                named.into_iter().all(|name| !value.is_object() || fields.contains_key(name))
            }
            "additionalProperties" => {
                assert_eq!(it, false);
                fields.keys().all(|name| schema["properties"].get(name).is_some())
            }
            "properties" => {
                return fields.iter().find_map(|(name, field)| {
                    mistake(it.get(name)?, field, root).map(|why| format!("{name}: {why}"))
                });
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                return items.into_iter().find_map(|item| mistake(it, item, root));
            }
            word => panic!("the schema has `{word}`, which is not looked at here"),
        };
        (!is_fine).then(|| format!("not {word} {it}: {value}"))
    })
}

fn is_kind(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        kind => panic!("what is `{kind}`?"),
    }
}

/// The schema that is printed.
fn printed() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let output = ctl(folder.path(), &["schema"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn check(schema: &Value, line: &str) {
    let value = serde_json::from_str(line).unwrap();
    let why = mistake(schema, &value, schema);
    assert_eq!(why, None, "{line}");
}

#[test]
fn every_question_is_of_the_schema() {
    let schema = printed();
    for line in [
        "list",
        "list --hosts",
        "show v0",
        "show --host a",
        "profiles",
        "create v1 --profile GW256-32Q --host a --placement 4 --weight 2",
        "destroy v1",
        "policy a --policy fixed-share --slice 5ms --averaging 10 --sizes mixed",
        "share v1 --weight 9 --share 25% --cap 50%",
        "suspend v1 --file f",
        "resume f --vgpu v2 --host a",
        "migrate v1 --to b --host c --max-downtime 20",
        "evacuate a --to b --parallel 2 --stop-and-copy",
        "resolve v0 run-here",
        "events --follow --after 3",
    ] {
        let mut fake = Fake::new(Does::Says(Vec::new()));
        let words: Vec<&str> = line.split(' ').collect();
        ctl(fake.path(), &words).assert().code(1);
        check(&schema, &fake.heard());
    }
}

#[test]
fn every_answer_is_of_the_schema() {
    let (schema, serving) = (printed(), Serving::start());
    check(
        &schema,
        r#"{"progress":{"vgpu":"v0","phase":"rounds","rounds":1,"sent_bytes":1,"left_bytes":2}}"#,
    );
    for line in [
        "list",
        "list --hosts",
        "show v0",
        "show --host a",
        "create v1 --profile GW256-32Q --host a",
        "policy a --policy equal-share",
        "share v1 --weight 9",
        "migrate v1 --to b",
        "suspend v1 --file f",
        "resume f --vgpu v2 --host a",
        "create v3 --profile GW256-128Q --host b",
        "evacuate a",
        "destroy v2",
        "destroy v2",
        "events",
    ] {
        let out = text(&serving.ctl(&format!("{line} --json")).stdout);
        check(&schema, &out);
    }
    let mut follower = serving.ctl_beside("events --follow --json --after 0", Stdio::piped());
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    check(&schema, &lines.next().unwrap().unwrap());
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn what_is_no_line_is_not_of_the_schema() {
    let schema = printed();
    for line in [
        "{}",
        "[]",
        "7",
        r#"{"command":"lst"}"#,
        r#"{"command":"list","now":true}"#,
        r#"{"command":"show"}"#,
        r#"{"command":"show","vgpu":7}"#,
        r#"{"command":"share","vgpu":"v0","weight":256}"#,
        r#"{"ask":{"command":"list"},"told":{"destroyed":"v0"}}"#,
        r#"{"error":{"code":"odd","message":"x"}}"#,
        r#"{"vgpus":[{}]}"#,
        r#"{"destroyed":"v0","resolved":"v0"}"#,
    ] {
        let value = serde_json::from_str(line).unwrap();
        assert!(mistake(&schema, &value, &schema).is_some(), "{line}");
    }
}
