//! Holds the sources to the direction of dependence: `policy ← api`; `policy ← port ← aws`; `policy, api, port ← controller
//! ← cli`. The compiler keeps the crates apart; this keeps the modules of the root package apart, and what is pure pure.

#![cfg(test)] // which tells clippy that helpers may unwrap here too

use std::fmt;
use std::fs;
use std::path::Path;

/// The modules of the root package, and which others each may name.
const MODULES: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("port", &[]),
    ("aws", &["port"]),
    ("controller", &["api", "port"]),
    ("cli", &["api", "port", "aws", "controller"]),
];

/// Crates that only some places may name. A name that ends in `_` stands for all that begin with it.
const CRATES: &[(&str, &[&str])] = &[
    ("aws_sdk_", &["src/aws.rs"]),
    ("aws_smithy_", &["src/aws.rs"]),
    ("aws_config", &["src/aws.rs"]),
    ("aws_credential_types", &["src/aws.rs"]),
    ("aws_types", &["src/aws.rs"]),
    ("busgrant_policy", &["src/", "crates/policy/"]),
    ("busgrant_sim", &["crates/sim/"]),
    ("kube", &["src/api/", "src/controller/", "src/cli/"]),
    ("k8s_openapi", &["src/api/", "src/controller/", "src/cli/"]),
    ("opentelemetry", &["src/cli/traces.rs"]),
    ("opentelemetry_", &["src/cli/traces.rs"]),
    ("prometheus_client", &["src/controller/"]),
    ("clap", &["src/cli/", "src/main.rs", "crates/sim/"]),
    ("tokio", &["src/aws.rs", "src/controller/", "src/cli/", "src/main.rs", "crates/sim/"]),
];

/// Parts of std that read a clock or the world, which `crates/policy` is free of.
const IMPURE: &[&str] = &["env", "fs", "io", "net", "os", "process", "thread", "time"];

/// What `crates/policy` is built from.
const POLICY_DEPENDENCIES: &[&str] = &["serde", "serde_json", "thiserror"];

/// Lines of a file, up to its tests. Beyond about 400 it is time to split it.
const LONGEST: usize = 450;

#[derive(Debug)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

type Token<'a> = (usize, &'a str);

/// The names and marks of a source, each with its line; no comments, strings or characters.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let length = skipped(rest).unwrap_or_else(|| {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let length = match rest.find(|c| !is_name(c)) {
                None => rest.len(),
                Some(0) if rest.starts_with("::") => 2,
                Some(0) => first.len_utf8(),
                Some(length) => length,
            };
            if !first.is_whitespace() {
                tokens.push((1 + source[..at].matches('\n').count(), &rest[..length]));
            }
            length
        });
        at += length;
    }
    tokens
}

/// How long the comment, string or character is that `rest` begins with, if it does.
fn skipped(rest: &str) -> Option<usize> {
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return Some(until(2, "\n"));
    }
    if rest.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    let raw = rest.trim_start_matches(['b', 'c']);
    if rest.len() - raw.len() <= 1 && raw.starts_with('r') {
        let hashes = raw[1..].bytes().take_while(|byte| *byte == b'#').count();
        if raw[1 + hashes..].starts_with('"') {
            let open = rest.len() - raw.len() + 1 + hashes + 1;
            return Some(until(open, &format!("\"{}", "#".repeat(hashes))));
        }
    }
    let mut characters = rest.char_indices();
    match characters.next()?.1 {
        '"' => {}
        // Not a lifetime: a character, or an escape.
        '\'' if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') => {}
        _ => return None,
    }
    let quote = rest.chars().next();
    let mut escaped = false;
    for (at, character) in characters {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if Some(character) == quote => return Some(at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// What follows each path that begins with `root`, in a group too: `crate::{api, port::Bus}` gives api and port.
fn named_after<'a>(tokens: &[Token<'a>], root: &[&str]) -> Vec<Token<'a>> {
    let mut found = Vec::new();
    for start in 0..tokens.len() {
        let Some(head) = tokens.get(start..start + root.len()) else {
            break;
        };
        if head.iter().map(|token| token.1).ne(root.iter().copied()) || start > 0 && tokens[start - 1].1 == "::" {
            continue;
        }
        let rest = &tokens[start + root.len()..];
        if rest.first().is_none_or(|token| token.1 != "{") {
            found.extend(rest.first());
            continue;
        }
        let mut depth = 0;
        let mut before = "";
        for token in rest {
            match token.1 {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ if depth == 1 && matches!(before, "{" | ",") => found.push(*token),
                _ => {}
            }
            before = token.1;
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// The modules that lead to a file of the root package: `src/controller/flight.rs` is `controller`, `flight`.
fn module_path(file: &str) -> Option<Vec<&str>> {
    let path = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    (!matches!(path, "lib" | "main")).then(|| path.split('/').collect())
}

fn check_modules(file: &str, tokens: &[Token<'_>], report: &mut dyn FnMut(usize, String)) {
    let Some(path) = module_path(file) else { return };
    let Some((module, others)) = MODULES.iter().find(|(module, _)| *module == path[0]) else {
        return report(1, format!("the module {} stands in no layer: add it to MODULES", path[0]));
    };
    let mut named = named_after(tokens, &["crate", "::"]);
    // So many steps up from the file is the root of the crate; from its `mod tests`, whose `super::*` is the file, one more.
    let up = |steps: usize| named_after(tokens, &["super", "::"].repeat(steps));
    named.extend(up(path.len()).into_iter().filter(|token| token.1 != "*"));
    named.extend(up(path.len() + 1));
    for (line, name) in named {
        let is_module = MODULES.iter().any(|(module, _)| *module == name);
        if name == "*" || is_module && name != *module && !others.contains(&name) {
            let others = if others.is_empty() { "no other module".to_owned() } else { others.join(", ") };
            report(line, format!("names crate::{name}; {module} may name {others}"));
        }
    }
}

fn check_crates(file: &str, tokens: &[Token<'_>], report: &mut dyn FnMut(usize, String)) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.1);
    for (at, (line, name)) in tokens.iter().enumerate() {
        // The place before the path, if the name begins one: `::name` does, `module::name` doesn't.
        let before = match at.checked_sub(1).map(text) {
            Some("::") => at.checked_sub(2).map_or("", text),
            before => before.unwrap_or(""),
        };
        let inside = at > 0 && text(at - 1) == "::" && before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let begins_path = !inside || before == "use";
        if !begins_path || text(at + 1) != "::" && before != "use" {
            continue;
        }
        for (only, places) in CRATES {
            let matches = if only.ends_with('_') { name.starts_with(only) } else { name == only };
            if matches && !places.iter().any(|place| file.starts_with(place)) {
                report(*line, format!("names the crate {name}; only {} may", places.join(", ")));
            }
        }
    }
}

fn check_source(file: &str, source: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |line, what| {
        let file = file.to_owned();
        violations.push(Violation { file, line, what });
    };
    let tokens = tokens(source);
    check_modules(file, &tokens, &mut report);
    check_crates(file, &tokens, &mut report);
    if file.starts_with("crates/policy/src/") {
        for root in ["std", "core"] {
            for (line, name) in named_after(&tokens, &[root, "::"]) {
                if IMPURE.contains(&name) {
                    report(line, format!("names {root}::{name}; the policy crate has no clock and no I/O"));
                }
            }
        }
    }
    for (line, text) in source.lines().enumerate() {
        if file.starts_with("src/") && text.replace('_', "").to_lowercase().contains("removeallpermissions") {
            report(line + 1, "RemoveAllPermissions is never sent: remove statements by their Sids".to_owned());
        }
    }
    let length = source.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    if file.contains("src/") && !file.ends_with("/tests.rs") && length > LONGEST {
        report(length, format!("has {length} lines without its tests; split what is longer than {LONGEST}"));
    }
    violations
}

/// The manifests of `crates/`: what is pure stays pure, and the simulator shares no code with what it tests.
fn check_manifest(file: &str, manifest: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut section = "";
    for (line, text) in manifest.lines().enumerate() {
        if let Some(name) = text.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let Some((dependency, _)) = text.split_once(['.', '=', ' ']).filter(|_| section.ends_with("dependencies"))
        else {
            continue;
        };
        let what = match file {
            "crates/policy/Cargo.toml" if section == "dependencies" && !POLICY_DEPENDENCIES.contains(&dependency) => {
                format!("depends on {dependency}; only {} may be", POLICY_DEPENDENCIES.join(", "))
            }
            // crates/sim/fuzz is of busgrant-sim.
            _ if dependency.starts_with("busgrant")
                && file.split('/').nth(1) != dependency.strip_prefix("busgrant-") =>
            {
                format!("depends on {dependency}; the crates in crates/ share no code")
            }
            _ => continue,
        };
        let (file, line) = (file.to_owned(), line + 1);
        violations.push(Violation { file, line, what });
    }
    violations
}

/// All files below a folder, by their paths from the root of the repository.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn modules_name_only_what_they_may() {
    let mut violations = Vec::new();
    let mut checked = 0;
    for file in [files("src"), files("crates")].concat() {
        let read = || fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
        if Path::new(&file).extension().is_some_and(|extension| extension == "rs") {
            checked += 1;
            violations.extend(check_source(&file, &read()));
        } else if file.ends_with("/Cargo.toml") {
            checked += 1;
            violations.extend(check_manifest(&file, &read()));
        }
    }
    assert!(checked > 10, "only {checked} files found");
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

/// Checks one source and tells the lines complained of.
fn lines_complained_of(file: &str, source: &str) -> Vec<usize> {
    let mut lines: Vec<usize> = check_source(file, source).iter().map(|violation| violation.line).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_module_out_of_order_is_found_however_it_is_named() {
    for source in [
        "use crate::aws::Aws;",
        "use crate::{api, aws};",
        "use crate::{\n    port::Bus,\n    aws::{Aws, Other},\n};",
        "fn f() { crate::aws::connect() }",
        "use super::super::aws;",
        "mod tests {\n    use super::super::super::aws::Aws;\n}",
        "use crate::*;",
    ] {
        assert_eq!(lines_complained_of("src/controller/flight.rs", source).len(), 1, "{source}");
    }
    assert_eq!(lines_complained_of("src/port.rs", "use super::controller::Controller;"), [1]);
    assert_eq!(lines_complained_of("src/api/mod.rs", "\nuse crate::port::BusError;"), [2]);
    assert_eq!(lines_complained_of("src/new.rs", ""), [1], "a module in no layer");
}

#[test]
fn a_crate_out_of_place_is_found_however_it_is_named() {
    let wrong: &[(&str, &str)] = &[
        ("src/controller/mod.rs", "use aws_sdk_eventbridge::Client;"),
        ("src/cli/mod.rs", "fn f() -> ::aws_config::SdkConfig { aws }"),
        ("src/cli/mod.rs", "use ::aws_config;"),
        ("src/port.rs", "fn f(error: &kube::Error) {}"),
        ("src/api/mod.rs", "async fn f() { tokio::time::sleep(second).await }"),
        ("src/controller/mod.rs", "use busgrant_sim::Sim;"),
        ("crates/sim/src/lib.rs", "use busgrant_policy::Document;"),
        ("crates/sim/tests/wire.rs", "use busgrant_policy as policy;"),
        ("crates/policy/src/lib.rs", "use std::{collections::BTreeMap, time::Instant};"),
        ("crates/policy/src/lib.rs", "fn f() { std::fs::read(path) }"),
        ("src/aws.rs", "client.remove_all_permissions(true)"),
        ("src/aws.rs", "let operation = \"RemoveAllPermissions\";"),
    ];
    for (file, source) in wrong {
        assert_eq!(lines_complained_of(file, source), [1], "{file}: {source}");
    }
    assert_eq!(lines_complained_of("src/port.rs", &"//\n".repeat(LONGEST + 1)), [LONGEST + 1]);
}

#[test]
fn what_may_be_named_is() {
    let right: &[(&str, &str)] = &[
        ("src/aws.rs", "use aws_sdk_eventbridge::Client;\nuse crate::port::{BusError, EventBuses};"),
        ("src/controller/flight.rs", "use crate::{api::Reason, port};\nuse super::worker;\nuse kube::Client;"),
        (
            "src/controller/flight.rs",
            "// crate::aws\n/* crate::aws */\nlet a = \"crate::aws\"; let b = r#\"crate::aws\"#;",
        ),
        (
            "src/controller/flight.rs",
            "fn f<'a>(c: char, s: &'a str) { c == '\"' || c == '\\'' || s == \"use crate::aws;\" }",
        ),
        ("src/aws.rs", "mod tests {\n    use super::*;\n}"),
        ("src/main.rs", "use busgrant::cli::Arguments;\nuse clap::Parser;"),
        ("crates/policy/src/lib.rs", "use std::collections::BTreeMap; use std::fmt;"),
        ("src/port.rs", &format!("{}#[cfg(test)]\n{}", "//\n".repeat(LONGEST), "//\n".repeat(LONGEST))),
    ];
    for (file, source) in right {
        let found: Vec<String> = check_source(file, source).iter().map(ToString::to_string).collect();
        assert_eq!(found, [""; 0], "{file}: {source}");
    }
}

#[test]
fn a_dependency_that_joins_what_is_apart_is_found() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nserde.workspace = true\ntokio = \"1\"\n\
                    [dev-dependencies]\nproptest.workspace = true\nbusgrant-sim.workspace = true\n";
    let lines =
        |file| -> Vec<usize> { check_manifest(file, manifest).iter().map(|violation| violation.line).collect() };
    assert_eq!(lines("crates/policy/Cargo.toml"), [5, 8]);
    assert_eq!(lines("crates/policy/fuzz/Cargo.toml"), [8]);
    assert_eq!(lines("crates/sim/fuzz/Cargo.toml"), [0; 0]);
    let joined = "[dependencies]\nbusgrant-policy.workspace = true\n";
    assert_eq!(check_manifest("crates/sim/Cargo.toml", joined).len(), 1);
}
