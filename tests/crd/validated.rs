//! `busgrant validate` says of each object what the API server says: the same tables, without a server.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::cases::{accepted, refused, shapes};
use super::object;

/// What it says of an object, and whether it takes it.
fn validated(spec: &Value) -> (bool, String) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("validated");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{:?}.json", std::thread::current().id()));
    fs::write(&file, serde_json::to_string(&object("one", spec)).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_busgrant"));
    command.args([
        "validate",
        "--allow-public",
        "--owner",
        "own",
        "--region",
        "eu-west-1",
        "--account-id",
        "123456789012",
    ]);
    let output = command.arg("-f").arg(file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + std::str::from_utf8(&output.stderr).unwrap();
    match output.status.code() {
        Some(0) => (true, said),
        Some(1) => (false, said),
        code => panic!("{code:?}: {said}"),
    }
}

#[test]
fn what_the_api_server_takes_is_valid() {
    for spec in accepted() {
        let (valid, said) = validated(&spec);
        assert!(valid, "{spec}: {said}");
    }
}

#[test]
fn what_a_rule_refuses_is_refused_in_its_words() {
    for table in refused() {
        for spec in table.specs() {
            let (valid, said) = validated(&spec);
            assert!(!valid && said.contains(&table.message), "{spec}: {said}");
        }
    }
}

#[test]
fn what_the_shape_refuses_is_refused_at_its_place() {
    for shape in shapes() {
        let (valid, said) = validated(&shape.spec);
        let place = shape.field.rsplit(['.', '[']).next().unwrap().trim_end_matches(']');
        assert!(!valid && said.contains(place), "{}: {said}", shape.spec);
    }
}
