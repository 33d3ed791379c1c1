//! Replays every recorded answer of the real service, all 225, and names the facts that the simulator answers
//! otherwise. Where they come from: aws-observations/README.md.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::HashMap;
use std::path::Path;

use busgrant_sim::{Config, IdentityPolicy, Principal, Settings, Sim, Trust};
use common::{Answer, Keys, MEMBER, OWNER, REGION, session, sts, try_call};
use serde_json::{Map, Value, json};

const ROLE: &str = "arn:aws:iam::123456789012:role/replay";

/// `$BUS` has 36 characters, as in the capture: a column number depends on it (#37).
fn bus_name(index: &str) -> String {
    format!("{:-<36}", format!("replayed-bus{index}"))
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws-observations").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// What the replay knows of the capture's state.
struct Replay {
    sim: Sim,
    messages: Map<String, Value>,
    /// Unique ids of the incarnations of the role, by token.
    role_ids: HashMap<String, String>,
    role: Keys,
    /// The last `LastModifiedTime` seen of each bus, and which one it was.
    modified: HashMap<String, (i64, f64)>,
    replayed: usize,
    failures: Vec<String>,
}

/// Replays facts; gives how many there were, and those that the simulator answers otherwise.
async fn replayed(vectors: &[Value]) -> (usize, Vec<String>) {
    let settings = Settings { policy_quota: 30_720, role_deletion_lag_millis: 30_000, ..Settings::default() };
    let mut replay = Replay {
        sim: Sim::start(Config { settings, ..Config::default() }).await.unwrap(),
        messages: serde_json::from_str(&read("messages.json")).unwrap(),
        role_ids: HashMap::new(),
        role: Keys::account(OWNER),
        modified: HashMap::new(),
        replayed: 0,
        failures: Vec::new(),
    };
    for vector in vectors {
        if vector.get("note").is_some() {
            replay.set_up(&vector["setup"]).await;
        } else {
            replay.replay(vector).await;
        }
    }
    (replay.replayed, replay.failures)
}

fn vectors() -> Vec<Value> {
    read("vectors.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_simulator_answers_as_the_service_did() {
    let (replayed, failures) = replayed(&vectors()).await;
    assert!(failures.is_empty(), "facts answered otherwise:\n{}", failures.join("\n"));
    assert_eq!(replayed, 225, "facts replayed");
}

#[tokio::test]
async fn a_fact_that_is_answered_otherwise_is_named() {
    for (n, field, value) in [
        (8, "n", json!(9)), // so that it has the message of another fact
        (30, "policy", json!({"Version": "2012-10-17", "Statement": []})),
        (68, "result", json!("PolicyLengthExceededException")),
        (104, "result", json!("ValidationException")),
    ] {
        let mut vectors = vectors();
        let fact = vectors.iter_mut().find(|vector| vector["n"] == n).unwrap();
        let case = fact["case"].as_str().unwrap().to_owned();
        fact[field] = value;
        let (_, failures) = replayed(&vectors).await;
        assert!(failures.len() == 1 && failures[0].contains(&format!(" {case}: ")), "{case}: {failures:?}");
    }
}

impl Replay {
    async fn set_up(&mut self, setup: &Value) {
        for (field, operation) in
            [("create_bus", "CreateEventBus"), ("put_rule_on", "PutRule"), ("delete_rule_on", "DeleteRule")]
        {
            if let Some(bus) = setup[field].as_str() {
                let bus = self.substituted(&json!(bus));
                let input = if operation == "CreateEventBus" {
                    json!({"Name": bus})
                } else {
                    json!({"Name": "rule", "EventBusName": bus})
                };
                let answer = self.call("owner", REGION, operation, &input).await;
                assert_eq!(answer.status, 200, "setup {setup}");
            }
        }
    }

    async fn replay(&mut self, vector: &Value) {
        let problem = match vector["call"].as_str().unwrap() {
            "CreateRole" => self.create_role(vector),
            "DeleteRole" => (!self.sim.delete_principal(ROLE)).then(|| "no such role".to_owned()),
            "AssumeRole" => self.assume_role(vector).await,
            "GetServiceQuota" => quota(vector, self.sim.settings().policy_quota),
            "GetAWSDefaultServiceQuota" => quota(vector, Settings::default().policy_quota),
            operation => self.observe(operation, vector).await,
        };
        self.replayed += 1;
        if let Some(problem) = problem {
            self.failures.push(format!("#{} {}: {problem}", vector["n"], vector["case"].as_str().unwrap()));
        }
    }

    fn create_role(&mut self, vector: &Value) -> Option<String> {
        let trust = vec![Trust { account: OWNER.to_owned(), external_id: None }];
        let (arn, identity_policy) = (ROLE.to_owned(), IdentityPolicy::None);
        let id = self.sim.declare_principal(Principal { arn, identity_policy, trust })?;
        let fresh = id.starts_with("AROA") && !self.role_ids.values().any(|known| *known == id);
        self.role_ids.insert(vector["output"]["RoleId"].as_str()?.to_owned(), id.clone());
        (!fresh).then(|| format!("{id} is not a new role id"))
    }

    async fn assume_role(&mut self, vector: &Value) -> Option<String> {
        let form = "Action=AssumeRole&Version=2011-06-15&RoleSessionName=session&DurationSeconds=900";
        let form = format!("{form}&RoleArn={}", ROLE.replace(':', "%3A").replace('/', "%2F"));
        let answer = sts(&self.sim, &Keys::account(OWNER), &form).await;
        self.role = session(&answer);
        let id = format!("{}:session", self.role_ids[vector["output"]["RoleId"].as_str()?]);
        let came = common::element(&answer.body, "AssumedRoleId");
        (came != id).then(|| format!("{id} expected, {came} came: {}", answer.body))
    }

    /// A call whose answer was recorded, once or while polling.
    async fn observe(&mut self, operation: &str, vector: &Value) -> Option<String> {
        let body = self.body(&vector["input"]);
        let (actor, region) = (vector["actor"].as_str()?, vector["region"].as_str()?);
        if vector["case"] == "read-role-gone-60s" {
            self.sim.advance(60_000);
        }
        let samples = vector["samples"].as_array().cloned().unwrap_or_default();
        if samples.len() > 1 {
            return self.poll(actor, region, operation, &body, vector, &samples).await;
        }
        let answer = self.call(actor, region, operation, &body).await;
        self.difference(operation, actor, region, &body, vector, &answer)
    }

    /// Sends while a change takes effect: the delay lies between the last old and the first new answer.
    async fn poll(
        &mut self,
        actor: &str,
        region: &str,
        operation: &str,
        body: &Value,
        vector: &Value,
        samples: &[Value],
    ) -> Option<String> {
        let seconds = |sample: &Value| sample[0].as_f64().unwrap();
        let (old, new) = (seconds(&samples[samples.len() - 2]), seconds(&samples[samples.len() - 1]));
        let mut settings = self.sim.settings();
        settings.effect_delay_millis = millis(f64::midpoint(old, new));
        self.sim.set(settings.clone());
        let mut passed = 0.0;
        let mut problem = None;
        for sample in samples {
            self.sim.advance(millis(seconds(sample) - passed));
            passed = seconds(sample);
            let answer = self.call(actor, region, operation, body).await;
            if answer.code() != sample[1].as_str()? {
                problem = Some(format!("after {passed} s {} expected, {} came", sample[1], answer.code()));
                break;
            }
            if sample == samples.last()? {
                problem = self.difference(operation, actor, region, body, vector, &answer);
            }
        }
        settings.effect_delay_millis = 0;
        self.sim.set(settings);
        problem
    }

    fn difference(
        &mut self,
        operation: &str,
        actor: &str,
        region: &str,
        body: &Value,
        vector: &Value,
        answer: &Answer,
    ) -> Option<String> {
        let wanted = vector["result"].as_str()?;
        if answer.code() != wanted {
            return Some(format!("{wanted} expected, {} came: {}", answer.code(), answer.message()));
        }
        if wanted != "ok" {
            let caller = match actor {
                "role" => format!("arn:aws:sts::{OWNER}:assumed-role/replay/session"),
                account => format!("arn:aws:iam::{}:user/sim", if account == "owner" { OWNER } else { MEMBER }),
            };
            let message = self.messages[&vector["n"].to_string()].as_str()?.replace("$CALLER", &caller);
            let message = self.substituted(&json!(message));
            let same = answer.status == 400 && message == answer.message().as_str();
            return (!same).then(|| format!("400 {message} expected, {} {} came", answer.status, answer.message()));
        }
        let output = answer.json();
        if let Some(fields) = vector["output"].as_object() {
            for (field, value) in fields {
                let (value, came) = match field.as_str() {
                    "entries" => (value.clone(), entries(&output)),
                    field => (self.substituted(value), output[field].clone()),
                };
                if value != came {
                    return Some(format!("{field} {value} expected, {came} came"));
                }
            }
        }
        let listed = operation == "ListEventBuses";
        let bus = if listed { output["EventBuses"][0].clone() } else { output };
        if listed && answer.json()["EventBuses"].as_array().map(Vec::len) != Some(1) {
            return Some(format!("one bus expected: {}", answer.body));
        }
        if vector["description"] != bus["Description"] && operation != "CreateEventBus" {
            return Some(format!("description {} expected, {} came", vector["description"], bus["Description"]));
        }
        self.policy_difference(vector, &bus)
            .or_else(|| self.modified_difference(&format!("{region} {}", body["Name"]), vector, &bus))
    }

    /// The policy that was read, to the character: formatting and order of statements were captured, too.
    fn policy_difference(&self, vector: &Value, bus: &Value) -> Option<String> {
        let wanted = match (vector.get("policy"), vector.get("policy_generator")) {
            (Some(Value::Null), _) => None,
            (Some(policy), _) => Some(self.substituted(policy).to_string()),
            (None, Some(spec)) if vector["call"] == "DescribeEventBus" => Some(self.generated(spec)),
            _ => return None,
        };
        let came = bus["Policy"].as_str().map(ToOwned::to_owned);
        (came != wanted).then(|| format!("policy {wanted:?} expected, {came:?} came"))
    }

    fn modified_difference(&mut self, bus: &str, vector: &Value, output: &Value) -> Option<String> {
        let version = vector["modified"].as_i64()?;
        let bus = output["Name"].as_str().map_or(bus, |name| name).to_owned();
        let (created, now) = (output["CreationTime"].as_f64()?, output["LastModifiedTime"].as_f64()?);
        let seen = self.modified.insert(bus, (version, now)).unwrap_or((0, created));
        let fits = if version == seen.0 { (now - seen.1).abs() < 1e-9 } else { now > seen.1 };
        (!fits).then(|| format!("LastModifiedTime {now} after {}, versions {version} after {}", seen.1, seen.0))
    }

    async fn call(&self, actor: &str, region: &str, operation: &str, body: &Value) -> Answer {
        let keys = match actor {
            "owner" => Keys::account(OWNER),
            "member" => Keys::account(MEMBER),
            "role" => self.role.clone(),
            other => panic!("who is {other}?"),
        };
        try_call(&self.sim, &keys, region, operation, body).await.unwrap()
    }

    fn body(&self, input: &Value) -> Value {
        let mut body = self.substituted(input);
        let fields = body.as_object_mut().unwrap();
        if let Some(spec) = fields.remove("policy_generator") {
            fields.insert("Policy".to_owned(), json!(self.generated(&spec)));
        }
        if let Some(policy) = fields.get_mut("Policy").filter(|policy| !policy.is_string()) {
            *policy = json!(policy.to_string());
        }
        body
    }

    /// One statement, filled up with a long condition or trailing spaces.
    fn generated(&self, spec: &Value) -> String {
        let spec = self.substituted(spec);
        let mut statement = json!({"Sid": spec["sid_pattern"], "Effect": "Allow",
            "Principal": {"AWS": spec["principal"]}, "Action": spec["action"], "Resource": spec["resource"]});
        let document = |statement: &Value| json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        if spec["condition"].is_null() {
            let spaces = usize::try_from(spec["pad_chars"].as_u64().unwrap()).unwrap();
            return document(&statement) + &" ".repeat(spaces);
        }
        statement["Condition"] = json!({"StringEquals": {"events:source": ""}});
        let missing = usize::try_from(spec["chars"].as_u64().unwrap()).unwrap() - document(&statement).len();
        statement["Condition"]["StringEquals"]["events:source"] = json!("x".repeat(missing));
        document(&statement)
    }

    /// The vector's text with its tokens replaced.
    fn substituted(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.clone(), self.substituted(value))).collect())
            }
            Value::Array(values) => values.iter().map(|value| self.substituted(value)).collect(),
            Value::String(text) => json!(self.text(text)),
            other => other.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        let arn = |region: &str, index: &str| format!("arn:aws:events:{region}:{OWNER}:event-bus/{}", bus_name(index));
        let mut text = text.replace("$BUS_WEST_ARN", &arn("us-west-2", ""));
        for (token, id) in &self.role_ids {
            text = text.replace(token, id);
        }
        // The longest numbers first: $BUS1 is a prefix of $BUS14.
        for index in (1..=14).rev().map(|index| index.to_string()).chain([String::new()]) {
            text = text.replace(&format!("$BUS{index}_ARN"), &arn(REGION, &index));
            text = text.replace(&format!("$BUS{index}"), &bus_name(&index));
        }
        text.replace("$ROLE_ARN", ROLE)
            .replace("$ROLE_NAME", "replay")
            .replace("$OWNER", OWNER)
            .replace("$MEMBER", MEMBER)
    }
}

fn quota(vector: &Value, came: usize) -> Option<String> {
    let wanted = &vector["output"]["Value"];
    (*wanted != json!(came)).then(|| format!("{wanted} expected, {came} came"))
}

/// Each entry's outcome in a `PutEvents` answer.
fn entries(output: &Value) -> Value {
    let of = |entry: &Value| match entry.get("ErrorCode") {
        Some(code) => code.clone(),
        None => json!(if entry["EventId"].is_string() { "ok" } else { "neither id nor error" }),
    };
    output["Entries"].as_array().into_iter().flatten().map(of).collect()
}

fn millis(seconds: f64) -> u64 {
    std::time::Duration::from_secs_f64(seconds.max(0.0)).as_millis().try_into().unwrap()
}
