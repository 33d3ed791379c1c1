//! The commands as people run them. What they print is reviewed as people read it: tests/cli has a folder for each case, with
//! the manifests, the bus's policy, and what `plan` and `render` say. `BUSGRANT_GENERATE=1` writes what they say now.

#![cfg(test)] // which tells clippy that helpers may unwrap here too

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_eventbridge::types::Condition;
use busgrant_sim::{Config, Sim};
use serde_json::{Value, json};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";
const BUS: &str = "orders";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 5);
    cases
}

/// Runs it in a folder, so that what it says names no path of this machine.
fn busgrant(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busgrant"));
    command.current_dir(folder).args(arguments).env_clear();
    command.env("BUSGRANT_OWNER", "demo").env("AWS_REGION", REGION).env("BUSGRANT_ACCOUNT_ID", ACCOUNT);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!("{}{}exit code {}\n", text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

fn is_as_reviewed(file: &Path, said: &str) {
    if std::env::var_os("BUSGRANT_GENERATE").is_some() {
        fs::write(file, said).unwrap();
    }
    let reviewed = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(said, reviewed, "{}: BUSGRANT_GENERATE=1 writes it anew; review it", file.display());
}

#[test]
fn plans_and_policies_are_shown_as_reviewed() {
    for case in cases() {
        let plan = busgrant(&case, &["plan", "-f", "objects.yaml", "--policy", "policy.json"]);
        is_as_reviewed(&case.join("plan.txt"), &said(&plan));
        let render = busgrant(&case, &["render", "-f", "objects.yaml"]);
        is_as_reviewed(&case.join("render.txt"), &said(&render));
        let validate = busgrant(&case, &["validate", "-f", "objects.yaml"]);
        is_as_reviewed(&case.join("validate.txt"), &said(&validate));
    }
}

#[test]
fn findings_are_told_as_ci_systems_read_them() {
    let case = cases().into_iter().find(|case| case.ends_with("invalid")).unwrap();
    for form in ["json", "junit", "sarif"] {
        let validate = busgrant(&case, &["validate", "-f", "objects.yaml", "-o", form]);
        is_as_reviewed(&case.join(format!("validate.{form}.txt")), &said(&validate));
    }
}

#[test]
fn bad_input_is_told_with_what_must_be() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("broken.yaml", "a: [");
    write("other.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}");
    write("later.yaml", "{apiVersion: busgrant.dev/v2, kind: EventBusPermission, metadata: {name: a}}");
    write("nameless.yaml", "{apiVersion: busgrant.dev/v1alpha1, kind: EventBusPermission}");
    write("policy.json", "{}");
    for (arguments, must) in [
        (vec!["plan", "-f", "missing.yaml"], "missing.yaml can't be read"),
        (vec!["plan", "-f", "broken.yaml"], "broken.yaml must be YAML or JSON"),
        (vec!["plan", "-f", "other.yaml"], "there must be an EventBusPermission of busgrant.dev"),
        (vec!["plan", "-f", "later.yaml"], "apiVersion must be busgrant.dev/v1alpha1, and is busgrant.dev/v2"),
        (vec!["render", "-f", "nameless.yaml"], "metadata.name must be set"),
        (vec!["plan"], "--filename <PATH>"),
    ] {
        let output = busgrant(&folder, &arguments);
        let said = said(&output);
        assert!(said.contains(must) && output.status.code() == Some(2), "{arguments:?}: {said}");
    }
}

#[test]
fn a_folder_and_standard_input_are_read_as_files_are() {
    let case = cases().into_iter().find(|case| case.ends_with("new")).unwrap();
    let file = busgrant(&case, &["plan", "-f", "objects.yaml", "--policy", "policy.json", "-o", "json"]);
    let folder = busgrant(&case, &["plan", "-f", ".", "--policy", "policy.json", "-o", "json"]);
    let told: Value = serde_json::from_slice(&file.stdout).unwrap();
    assert_eq!(told, serde_json::from_slice::<Value>(&folder.stdout).unwrap());
    let yaml = busgrant(&case, &["plan", "-f", "objects.yaml", "--policy", "policy.json", "-o", "yaml"]);
    let yaml: Value = serde_saphyr::from_slice(&yaml.stdout).unwrap();
    assert_eq!(told, yaml);
}

#[test]
fn there_are_completions_for_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = busgrant(Path::new("."), &["completions", shell]);
        assert!(output.status.success() && said(&output).contains("busgrant"));
    }
}

/// Makes a call that a plan shows, as anybody could.
async fn make(client: &aws_sdk_eventbridge::Client, call: &Value) {
    let input = &call["input"];
    let text = |name: &str| input[name].as_str().map(str::to_owned);
    if call["operation"] == "RemovePermission" {
        let remove = client.remove_permission().set_event_bus_name(text("EventBusName"));
        remove.set_statement_id(text("StatementId")).send().await.unwrap();
        return;
    }
    let condition = input.get("Condition").map(|condition| {
        let part = |name: &str| condition[name].as_str().unwrap();
        Condition::builder().r#type(part("Type")).key(part("Key")).value(part("Value")).build().unwrap()
    });
    let put = client.put_permission().set_event_bus_name(text("EventBusName")).set_policy(text("Policy"));
    let put = put.set_action(text("Action")).set_principal(text("Principal")).set_statement_id(text("StatementId"));
    put.set_condition(condition).send().await.unwrap();
}

/// On a bus with each case's policy: the calls that are shown lead to the policy that is shown, and then nothing is left to do.
#[tokio::test]
async fn the_calls_lead_to_what_is_shown() {
    let sim = Sim::start(Config::default()).await.unwrap();
    sim.create_bus(ACCOUNT, REGION, BUS);
    let config = aws_sdk_eventbridge::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(sim.endpoint())
        .credentials_provider(Credentials::new(ACCOUNT, "secret", None, None, "test"))
        .build();
    let client = aws_sdk_eventbridge::Client::from_conf(config);
    let endpoint = sim.endpoint().to_owned();
    let plan = async |case: &Path| {
        let (case, endpoint) = (case.to_owned(), endpoint.clone());
        let run = move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_busgrant"));
            command.current_dir(case).env_clear().args(["plan", "-f", "objects.yaml", "-o", "json"]);
            command.env("BUSGRANT_OWNER", "demo").env("AWS_REGION", REGION).env("BUSGRANT_ACCOUNT_ID", ACCOUNT);
            command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_EC2_METADATA_DISABLED", "true");
            command.env("AWS_ACCESS_KEY_ID", ACCOUNT).env("AWS_SECRET_ACCESS_KEY", "secret");
            command.output().unwrap()
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        (said[0].clone(), output.status.code().unwrap())
    };
    for case in cases() {
        let policy = fs::read_to_string(case.join("policy.json")).unwrap();
        let policy = (!policy.is_empty()).then(|| serde_json::from_str(&policy).unwrap());
        sim.put_policy(ACCOUNT, REGION, BUS, policy);
        let (shown, code) = plan(&case).await;
        for call in shown["calls"].as_array().unwrap() {
            make(&client, call).await;
        }
        let length = sim.policy_text(ACCOUNT, REGION, BUS).map_or(0, |text| text.len());
        assert_eq!(shown["charactersAfter"], json!(length), "{}: {shown}", case.display());
        let (after, code_after) = plan(&case).await;
        assert_eq!(after["calls"], json!([]), "{}", case.display());
        assert_eq!(code_after, if code == 2 { 2 } else { 0 }, "{}: {after}", case.display());
    }
}
