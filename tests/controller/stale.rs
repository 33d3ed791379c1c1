//! An operator whose API server no longer hears of anything, and shows objects as they were: what it had on the bus for an
//! object stays gone with the object, and what stands for a later one of the same name stays.

use axum::http::Method;
use busgrant_sim::{ForeignWrite, JournalFilter, Operation};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::gvk::GroupVersionKind;
use serde_json::{Value, json};

use super::scene::{ACCOUNT, BUS, REGION, Scene, account, spec};
use crate::support::api_server::ApiServer;
use crate::support::{PATIENCE, eventually};

fn grant(name: &str) -> Value {
    spec(&json!([account(name, "111122223333")]))
}

/// Waits until an API server shows an object of the scene out of its cache.
async fn shows(server: &ApiServer, scene: &Scene, uid: &str) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("busgrant.dev", "v1alpha1", "EventBusPermission"));
    let objects: Api<DynamicObject> = Api::namespaced_with(server.client().await, &scene.namespace, &kind);
    eventually("it is in the cache", PATIENCE, async || {
        let cached = objects.list(&ListParams::default().match_any()).await.map_err(|error| error.to_string())?;
        let uids: Vec<_> = cached.items.iter().filter_map(ResourceExt::uid).collect();
        if uids.iter().any(|seen| seen == uid) { Ok(()) } else { Err(format!("{uids:?}")) }
    })
    .await;
}

/// An object that is granted, deleted, and granted again with another statement, of which an API server has seen the first
/// part only. Gives the UID of the object that is gone.
async fn left_behind(scene: &Scene, server: &ApiServer) -> String {
    let old = scene.granted("a", &grant("old")).await.uid().unwrap();
    shows(server, scene, &old).await;
    server.freeze();
    scene.delete("a").await;
    scene.gone("a").await;
    scene.granted("a", &grant("new")).await;
    shows(server, scene, &old).await;
    old
}

/// Nothing was written for that object since then.
fn nothing_for(scene: &Scene, uid: &str, passed: usize) {
    let passed = &scene.front.passed()[passed..];
    let about = |sent: &Value| sent["metadata"]["uid"] == *uid;
    let late = passed.iter().find(|passed| passed.method == Method::PATCH && about(&passed.sent));
    assert!(late.is_none(), "written for what is gone: {late:?}");
}

#[tokio::test]
async fn started_on_a_stale_api_server_it_waits_until_that_is_none() {
    let server = ApiServer::start(&[]).await;
    let mut scene = Scene::running("stale").await;
    let old = left_behind(&scene, &server).await;
    scene.kill();
    let (mark, passed, asked) = (scene.mark(), scene.front.passed().len(), scene.front.lists_asked());
    scene.front.switch(server.client().await);
    scene.start(&[]);
    eventually("it asks for the objects", PATIENCE, async || {
        if scene.front.lists_asked() > asked { Ok(()) } else { Err("not yet") }
    })
    .await;
    // What the operator would be shown if it did not insist on the most recent list.
    shows(&server, &scene, &old).await;
    server.thaw();
    scene.fence().await;
    scene.ready("a").await;
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    assert_eq!(scene.held("a"), scene.wanted("a", &grant("new")));
    nothing_for(&scene, &old, passed);
}

#[tokio::test]
async fn moved_to_a_stale_api_server_it_keeps_to_what_it_has_seen() {
    let server = ApiServer::start(&[]).await;
    let scene = Scene::running("moved").await;
    let old = left_behind(&scene, &server).await;
    let (mark, passed) = (scene.mark(), scene.front.passed().len());
    scene.front.switch(server.client().await);
    let sid = scene.sid("a", "new-111122223333");
    remove(&scene, &sid);
    is_looked_over(&scene).await;
    server.thaw();
    eventually("it is put back", PATIENCE, async || {
        let held = scene.held("a");
        if held == scene.wanted("a", &grant("new")) { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
    scene.fence().await;
    scene.ready("a").await;
    let named: Vec<_> = scene.writes(mark).into_iter().map(|call| call.input["StatementId"].clone()).collect();
    assert_eq!(named, [sid]);
    nothing_for(&scene, &old, passed);
}

/// An object goes while the operator's watch stands still: a person takes our finalizer off, or it would wait for us. Another
/// of its name comes. Gives the UID of the first.
async fn replaced_unseen(scene: &Scene, server: &ApiServer) -> String {
    let old = scene.granted("a", &grant("old")).await.uid().unwrap();
    server.freeze();
    scene.delete("a").await;
    scene.merge("a", json!({"metadata": {"finalizers": null}})).await;
    scene.gone("a").await;
    scene.apply("a", &grant("new")).await;
    old
}

#[tokio::test]
async fn what_was_replaced_unseen_is_made_up_for_once_it_is_seen() {
    let server = ApiServer::start(&[]).await;
    let mut scene = Scene::new("unseen").await;
    scene.front.switch(server.client().await);
    scene.start(&[]);
    let old = replaced_unseen(&scene, &server).await;
    let (mark, passed) = (scene.mark(), scene.front.passed().len());
    is_looked_over(&scene).await;
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    server.thaw();
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant("new")));
    assert_eq!(scene.live().len(), 1);
    nothing_for(&scene, &old, passed);
}

#[tokio::test]
async fn what_was_replaced_unseen_gets_nothing_back_that_somebody_removed() {
    let server = ApiServer::start(&[]).await;
    let mut scene = Scene::new("removed").await;
    scene.front.switch_view(server.client().await);
    scene.start(&[]);
    let old = replaced_unseen(&scene, &server).await;
    let (mark, passed) = (scene.mark(), scene.front.passed().len());
    remove(&scene, &scene.sid("a", "old-111122223333"));
    is_looked_over(&scene).await;
    assert!(scene.writes(mark).is_empty(), "{:?}", scene.writes(mark));
    server.thaw();
    scene.ready("a").await;
    assert_eq!(scene.held("a"), scene.wanted("a", &grant("new")));
    assert_eq!(scene.writes(mark).len(), 1, "{:?}", scene.writes(mark));
    nothing_for(&scene, &old, passed);
}

fn remove(scene: &Scene, sid: &str) {
    assert!(scene.sim.foreign_write(ACCOUNT, REGION, BUS, &ForeignWrite::Remove { sid: sid.to_owned() }));
}

/// Waits until the operator has looked over all buses and, if that asked for more, had time for it.
async fn is_looked_over(scene: &Scene) {
    let mark = scene.mark();
    let lists = || {
        let calls = scene.sim.journal_of(&JournalFilter::since(mark));
        calls.iter().filter(|call| call.operation == Operation::ListEventBuses && call.answered.is_some()).count()
    };
    scene.sim.wait_until(|_| lists() >= 3).await;
}
