//! Every rule of the definition, refusing and accepting; and the same judged by the compiler of claims, which an object that
//! is older than a rule meets.

use std::collections::BTreeSet;

use busgrant::api::{Consent, EventBusPermissionSpec, Home, Reason, compile, crd};
use kube::api::{DynamicObject, PostParams};
use serde_json::Value;

use super::cases::{Refused, Shape, accepted, refused, shapes};
use super::{object, permissions};

/// One rule of the definition: where it stands, without indices, and its message.
type Rule = (String, String);

fn rules_of_the_definition() -> BTreeSet<Rule> {
    fn walk(schema: &Value, path: &str, rules: &mut BTreeSet<Rule>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules.insert((path.to_owned(), rule["message"].as_str().unwrap().to_owned()));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(property, &format!("{path}.{name}"), rules);
        }
        walk_inside(schema, "items", &format!("{path}[]"), rules);
        walk_inside(schema, "additionalProperties", &format!("{path}.*"), rules);
    }
    fn walk_inside(schema: &Value, inside: &str, path: &str, rules: &mut BTreeSet<Rule>) {
        if schema[inside].is_object() {
            walk(&schema[inside], path, rules);
        }
    }
    let schema = serde_json::to_value(crd().unwrap()).unwrap();
    let mut rules = BTreeSet::new();
    walk(&schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec", &mut rules);
    rules
}

/// The place of a rule that spoke about a field of an object.
fn place(field: &str) -> String {
    let place: String = field.chars().filter(|c| !c.is_ascii_digit()).collect();
    place.replace("[ArnLike]", ".*")
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

/// What the API server says about an object: for each cause the field and the message.
fn causes(result: Result<DynamicObject, kube::Error>) -> Vec<(String, String)> {
    match result {
        Ok(_) => Vec::new(),
        Err(kube::Error::Api(status)) => {
            let causes = status.details.unwrap().causes;
            causes.into_iter().map(|cause| (cause.field, cause.message)).collect()
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn each_rule_refuses_in_its_own_words() {
    let (_, api) = permissions("rules").await;
    let all = rules_of_the_definition();
    let mut spoke = BTreeSet::new();
    for table in refused() {
        let Refused { field, message, .. } = &table;
        let is_meant = |(at, text): &&Rule| *at == place(field) && text.starts_with(message);
        let meant: Vec<&Rule> = all.iter().filter(is_meant).collect();
        let [rule] = meant[..] else { panic!("{field}: {message}… means {meant:?}") };
        for spec in table.specs() {
            let causes = causes(api.create(&dry_run(), &object("refused", &spec)).await);
            let [(at, said)] = &causes[..] else { panic!("one rule must speak about {spec}: {causes:?}") };
            assert_eq!(at, field, "{spec}");
            assert!(said.ends_with(&rule.1), "{spec}: {said}");
            assert!(!is_served(&spec), "the claims of an object that the API server refuses: {spec}");
        }
        spoke.insert(rule.clone());
    }
    let silent: Vec<&Rule> = all.difference(&spoke).collect();
    let [(at, message)] = silent[..] else { panic!("rules that no case exercises: {silent:?}") };
    assert!(at == "spec.eventBus" && message.starts_with("eventBus must stay"), "{at}: {message}");
}

#[tokio::test]
async fn what_every_rule_takes_is_accepted() {
    let (_, api) = permissions("accepted").await;
    for spec in accepted() {
        let created = api.create(&dry_run(), &object("accepted", &spec)).await;
        assert!(created.is_ok(), "{spec}: {created:?}");
        assert!(is_served(&spec), "an object that the API server accepts must have claims: {spec}");
    }
}

#[tokio::test]
async fn the_shape_refuses_what_no_rule_needs_to() {
    let (_, api) = permissions("shape").await;
    for Shape { field, words, spec } in shapes() {
        let causes = causes(api.create(&dry_run(), &object("refused", &spec)).await);
        let told = causes.iter().any(|(at, said)| *at == field && said.contains(&words));
        assert!(told, "{spec}: {field}, {words}: {causes:?}");
    }
}

/// Whether the controller would serve every statement, consent given.
fn is_served(spec: &Value) -> bool {
    let spec: EventBusPermissionSpec = serde_json::from_value(spec.clone()).unwrap();
    let home = Home {
        partition: "aws".into(),
        region: "eu-west-1".parse().unwrap(),
        account: "123456789012".parse().unwrap(),
    };
    let Ok(bus) = spec.event_bus.resolve(&home) else {
        return false;
    };
    let (owner, object) = ("own".parse().unwrap(), "abcdefgh2345".parse().unwrap());
    let compiled = compile(&spec, &bus, &owner, &object, Consent { allow_public: true });
    assert!(compiled.refused.iter().all(|refused| refused.reason == Reason::InvalidStatement), "{compiled:?}");
    for refused in &compiled.refused {
        assert!(!refused.messages.is_empty(), "{refused:?}");
    }
    compiled.refused.is_empty()
}
