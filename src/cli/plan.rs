//! `busgrant plan`: the calls that the controller would make for manifests, and the policy that they lead to.

use std::collections::BTreeSet;
use std::fs;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use busgrant_policy::document::LiveStatement;
use busgrant_policy::{Document, Region, Step};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use super::desk::{Bus, Objects, laid_out, tell_troubles};
use super::{Ended, diff, print};
use crate::aws::Aws;
use crate::controller::service::operation;
use crate::controller::statements::explain;
use crate::port::EventBuses as _;

/// The longest that AWS may take to answer.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Which policy, and how it is shown.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    objects: Objects,

    /// A file with the bus's policy, or the whole answer of `aws events describe-event-bus`; an empty one for a bus without;
    /// - is standard input. By default the policies are read from AWS, with the credentials of the environment.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// How the plan is shown.
    #[arg(short, long, default_value = "text", value_enum)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
    Yaml,
}

/// What would be done on one bus.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BusPlan {
    pub(super) event_bus: String,
    pub(super) characters: usize,
    pub(super) characters_after: usize,
    pub(super) characters_allowed: usize,
    pub(super) changes: Vec<Change>,
    pub(super) calls: Vec<Call>,
    pub(super) obstacles: Vec<Unserved>,
}

/// A statement that would not be what it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    #[serde(rename = "statementID")]
    pub(super) statement_id: String,
    /// The object's namespace and name.
    pub(super) object: Option<String>,
    /// The object observes or is paused: the controller would report this, and not do it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) observed: bool,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// A call, as AWS takes it.
#[derive(Debug, Serialize)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) input: Value,
}

/// A statement that can't be served.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unserved {
    #[serde(rename = "statementID")]
    pub(super) statement_id: String,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Shows what would be done.
pub(super) async fn run(flags: &Flags) -> anyhow::Result<Ended> {
    let (buses, troubles) = laid_out(&flags.objects)?;
    let unreadable = tell_troubles(&troubles);
    let live = match &flags.policy {
        Some(_) if buses.is_empty() => Vec::new(),
        Some(file) => vec![from_file(file, &buses)?],
        None => from_aws(&buses, flags.objects.region()).await?,
    };
    let plans: Vec<BusPlan> =
        buses.iter().zip(&live).map(|(bus, live)| plan_of(bus, live)).collect::<anyhow::Result<_>>()?;
    match flags.output {
        Output::Text => print(&diff::text(&plans, colours()))?,
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&plans)?))?,
        Output::Yaml => print(&serde_saphyr::to_string(&plans)?)?,
    }
    let incomplete = unreadable || plans.iter().any(|plan| !plan.obstacles.is_empty());
    let changes = plans.iter().any(|plan| !plan.calls.is_empty());
    Ok(if incomplete {
        Ended::Trouble
    } else if changes {
        Ended::Different
    } else {
        Ended::Same
    })
}

/// Colours are for people: not for a file or a pipe, nor where somebody asked for none (no-color.org).
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn from_file(file: &PathBuf, buses: &[Bus]) -> anyhow::Result<Document> {
    let arns: Vec<String> = buses.iter().map(|bus| bus.arn.to_string()).collect();
    ensure!(buses.len() == 1, "--policy is of one bus, and the manifests must be too; they are of {}", arns.join(", "));
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("standard input can't be read")?
    } else {
        fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?
    };
    let policy =
        policy_of(text.trim()).with_context(|| format!("{} must be the JSON of a bus's policy", file.display()))?;
    Ok(Document::parse(policy.as_deref())?)
}

/// The policy in a text that is one, or the whole answer of `DescribeEventBus`; nothing where the bus has none.
fn policy_of(text: &str) -> anyhow::Result<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_str(text)?;
    if value.get("Arn").is_some_and(Value::is_string) && value.get("Statement").is_none() {
        return Ok(value.get("Policy").and_then(Value::as_str).map(str::to_owned));
    }
    ensure!(value.get("Statement").is_some(), "it has no Statement");
    Ok(Some(text.to_owned()))
}

async fn from_aws(buses: &[Bus], region: &Region) -> anyhow::Result<Vec<Document>> {
    let aws = Aws::from_environment(CALL_LIMIT, Arc::new(|| true), Some(region)).await;
    let identity =
        aws.identity().await.context("the policies can't be read from AWS; --policy takes one from a file")?;
    let mut documents = Vec::new();
    for bus in buses {
        if *bus.arn.account() != identity.account {
            bail!("{} is in another account than the credentials, {}", bus.arn, identity.account);
        }
        let state = aws.describe(&bus.arn).await.with_context(|| format!("{} can't be read", bus.arn))?;
        documents.push(Document::parse(state.policy.as_deref())?);
    }
    Ok(documents)
}

fn plan_of(bus: &Bus, live: &Document) -> anyhow::Result<BusPlan> {
    let done = bus.flown(live, false)?;
    let shown = bus.flown(live, true)?;
    let obstacles = shown.findings.iter().map(|finding| {
        let (reason, message) = explain(&finding.obstacle);
        Unserved { statement_id: finding.sid.to_string(), reason: reason.as_str(), message }
    });
    Ok(BusPlan {
        event_bus: bus.arn.to_string(),
        characters: live.size(),
        characters_after: done.document.size(),
        characters_allowed: bus.allowed(),
        changes: changes(bus, live, &shown.document),
        calls: done.steps.iter().map(|step| call(bus, step)).collect(),
        obstacles: obstacles.collect(),
    })
}

fn changes(bus: &Bus, before: &Document, after: &Document) -> Vec<Change> {
    let statements = before.statements().iter().chain(after.statements());
    let all: BTreeSet<&str> = statements.filter_map(LiveStatement::sid).collect();
    let meaning = |document: &Document, sid: &str| document.get(sid).map(|live| live.meaning().cloned());
    all.into_iter()
        .filter(|sid| meaning(before, sid) != meaning(after, sid))
        .map(|sid| {
            let (object, observed) = match bus.object_of(sid) {
                Some((object, observed)) => (Some(object.to_owned()), observed),
                None => (None, false),
            };
            let value = |live: &LiveStatement| serde_json::from_str(live.text()).unwrap_or_default();
            Change {
                statement_id: sid.to_owned(),
                object,
                observed,
                before: before.get(sid).map(value),
                after: after.get(sid).map(value),
            }
        })
        .collect()
}

fn call(bus: &Bus, step: &Step) -> Call {
    let name = bus.arn.name().as_str();
    let input = match step {
        Step::PutStatement { sid, form } => {
            let mut input = json!({
                "EventBusName": name, "StatementId": sid.as_str(), "Action": "events:PutEvents", "Principal": form.principal(),
            });
            if let Some(organization) = form.organization() {
                input["Condition"] =
                    json!({"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": organization.as_str()});
            }
            input
        }
        Step::PutDocument { text, .. } => json!({"EventBusName": name, "Policy": text}),
        Step::RemoveStatement { sid } => json!({"EventBusName": name, "StatementId": sid.as_str()}),
    };
    Call { operation: operation(step), input }
}
