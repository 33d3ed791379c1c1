//! docs/metrics.md says what the operator tells: every series that it serves, and none that it doesn't.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use super::operator::Start;
use super::scene::{Scene, account, spec};
use crate::support::{PATIENCE, eventually};

/// Type and labels of metrics, by the name that Prometheus stores.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// What a text in the format of `OpenMetrics` serves.
fn served(text: &str) -> Metrics {
    let types: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut found = Metrics::new();
    for (family, kind) in types {
        let (name, series) = match kind {
            "counter" => (format!("{family}_total"), format!("{family}_total")),
            "info" => (format!("{family}_info"), format!("{family}_info")),
            "histogram" => (family.to_owned(), format!("{family}_count")),
            _ => (family.to_owned(), family.to_owned()),
        };
        let of_it = |line: &&str| line.strip_prefix(&series).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let labels = text.lines().filter(of_it).flat_map(labels).collect();
        found.insert(name, (kind.to_owned(), labels));
    }
    found
}

/// The names of a series' labels.
fn labels(series: &str) -> Vec<String> {
    let inside = series.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
    let names = inside.split("=\"").map(|part| part.rsplit(['"', ',']).next().unwrap_or_default());
    let count = inside.matches("=\"").count();
    names.take(count).map(str::to_owned).collect()
}

/// What the tables of docs/metrics.md say: name, type, labels.
fn documented() -> Metrics {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').collect::<Vec<_>>());
    let metrics = rows.filter(|cells| ["counter", "gauge", "histogram", "info"].contains(&cells[2].trim()));
    metrics
        .map(|cells| (code(cells[1]).remove(0), (cells[2].trim().to_owned(), code(cells[3]).into_iter().collect())))
        .collect()
}

#[tokio::test]
async fn the_page_has_every_metric_that_is_served_and_no_other() {
    let mut scene = Scene::new("documented").await;
    scene.start(&["--leader-elect"]);
    scene.granted("billing", &spec(&json!([account("a", "111122223333")]))).await;
    let wanted = documented();
    assert!(wanted.len() > 30, "{wanted:?}");
    let found = eventually("everything is served that is documented", PATIENCE, async || {
        let found = served(&scene.metrics().unwrap());
        if found == wanted { Ok(found) } else { Err(format!("{}", difference(&wanted, &found))) }
    })
    .await;
    assert!(found.contains_key("leader_election_master_status"));
}

fn difference(wanted: &Metrics, found: &Metrics) -> Value {
    let lacks = |these: &Metrics, those: &Metrics| {
        let only: Vec<_> = these.iter().filter(|(name, what)| those.get(*name) != Some(what)).collect();
        format!("{only:?}")
    };
    json!({"only documented": lacks(wanted, found), "only served": lacks(found, wanted)})
}

/// The fields of a line that the page promises, each seen in a real log.
#[tokio::test]
async fn a_line_of_the_log_has_the_fields_that_the_page_names() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let (_, section) = page.split_once("\n## The log\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut promised: BTreeSet<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(field, _)| field).collect();
    assert!(promised.len() >= 10, "{promised:?}");
    let mut scene = Scene::new("fields").await;
    scene.start_as(&Start { flags: vec!["--log-format=json"], ..Start::default() });
    scene.granted("billing", &spec(&json!([account("a", "111122223333")]))).await;
    // What is told of a status comes after it.
    eventually("every field is seen", PATIENCE, async || {
        let log = fs::read_to_string(&scene.logs[0]).unwrap();
        for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            promised.retain(|field| field.split('.').try_fold(&line, |value, key| value.get(key)).is_none());
        }
        if promised.is_empty() { Ok(()) } else { Err(format!("no line has {promised:?}: {log}")) }
    })
    .await;
}
