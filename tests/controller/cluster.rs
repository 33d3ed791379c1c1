//! A Kubernetes that fails: what the operator can't write it writes later, and AWS sees nothing of it.

use axum::http::Method;
use serde_json::{Value, json};

use super::scene::{Scene, account, spec};
use crate::support::{PATIENCE, eventually};

const OBJECT: &str = "/eventbuspermissions/a";
const STATUS: &str = "/eventbuspermissions/a/status";

fn grant(name: &str) -> Value {
    spec(&json!([account(name, "111122223333")]))
}

#[tokio::test]
async fn a_status_that_can_not_be_written_is_written_later() {
    let scene = Scene::running("status").await;
    for (number, status) in [500, 503, 429, 409].into_iter().enumerate() {
        let name = format!("s{number}");
        scene.front.refuse(Method::PATCH, STATUS, status, 3);
        let mark = scene.mark();
        scene.granted("a", &grant(&name)).await;
        assert_eq!(scene.front.refusals_left(), 0);
        let expected = if number == 0 { 1 } else { 2 };
        assert_eq!(scene.writes(mark).len(), expected, "{status}: {:?}", scene.writes(mark));
    }
}

#[tokio::test]
async fn nothing_is_put_before_the_object_is_held() {
    let scene = Scene::running("held").await;
    scene.front.refuse(Method::PATCH, OBJECT, 500, 3);
    scene.apply("a", &grant("a")).await;
    eventually("the finalizer is refused", PATIENCE, async || {
        if scene.front.refusals_left() < 2 { Ok(()) } else { Err("not yet") }
    })
    .await;
    if scene.front.refusals_left() > 0 {
        assert!(scene.writes(0).is_empty(), "{:?}", scene.writes(0));
    }
    scene.ready("a").await;
    let passed = scene.front.passed();
    let held = passed.iter().find(|passed| passed.status == Some(200) && passed.path.ends_with(OBJECT)).unwrap();
    assert!(held.mark < scene.writes(0)[0].seq);
}

#[tokio::test]
async fn a_finalizer_that_can_not_be_removed_is_removed_later() {
    let scene = Scene::running("letgo").await;
    scene.granted("a", &grant("a")).await;
    scene.front.refuse(Method::PATCH, OBJECT, 500, 3);
    let mark = scene.mark();
    scene.delete("a").await;
    scene.gone("a").await;
    assert_eq!(scene.front.refusals_left(), 0);
    assert_eq!(scene.writes(mark).len(), 1, "{:?}", scene.writes(mark));
}

#[tokio::test]
async fn events_that_can_not_be_published_hold_nothing_up() {
    let scene = Scene::running("events").await;
    scene.front.refuse(Method::POST, "/events", 403, 1000);
    scene.granted("a", &grant("a")).await;
    scene.granted("a", &grant("b")).await;
    scene.delete("a").await;
    scene.gone("a").await;
    assert_eq!(scene.policy(), None);
}

#[tokio::test]
async fn lists_that_fail_at_the_start_remove_nothing() {
    let mut scene = Scene::running("lists").await;
    scene.granted("a", &grant("a")).await;
    scene.stop().await;
    scene.front.refuse(Method::GET, "/eventbuspermissions", 403, 3);
    let mark = scene.mark();
    scene.start(&[]);
    scene.fence().await;
    assert_eq!(scene.front.refusals_left(), 0);
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    scene.granted("a", &grant("b")).await;
}
