//! Events that the operator never sees: a watch that lags until something takes back what it would have shown, a revision that
//! is forgotten, an API server that restarts.

use busgrant_sim::JournalEntry;
use serde_json::{Value, json};

use super::scene::{Scene, account, spec};
use crate::support::api_server::{ApiServer, compact};

fn grant(name: &str) -> Value {
    spec(&json!([account(name, "111122223333")]))
}

/// Three objects, of which one is edited, one deleted, and one edited and back again; and one that comes, and one that comes
/// and goes, which nothing shows.
async fn changes_unseen(scene: &Scene) {
    scene.apply("edited", &grant("new")).await;
    scene.delete("deleted").await;
    scene.apply("back", &grant("new")).await;
    scene.apply("back", &grant("old")).await;
    scene.apply("comes", &grant("a")).await;
    scene.apply("brief", &grant("a")).await;
    scene.delete("brief").await;
}

async fn before(scene: &Scene) {
    for name in ["edited", "deleted", "back"] {
        scene.granted(name, &grant("old")).await;
    }
}

async fn after(scene: &Scene) {
    scene.gone("deleted").await;
    for (name, spec) in [("edited", grant("new")), ("back", grant("old")), ("comes", grant("a"))] {
        scene.ready(name).await;
        assert_eq!(scene.held(name), scene.wanted(name, &spec));
    }
    assert_eq!(scene.live().len(), 3);
}

#[tokio::test]
async fn a_watch_that_lags_behind_shows_all_in_the_end() {
    let scene = Scene::running("lags").await;
    before(&scene).await;
    scene.front.pause_view();
    changes_unseen(&scene).await;
    scene.front.resume_view();
    after(&scene).await;
}

#[tokio::test]
async fn a_forgotten_revision_has_everything_listed_again() {
    // Out of its cache it would show what etcd has forgotten.
    let server = ApiServer::start(&["--watch-cache=false"]).await;
    let scene = Scene::running("forgotten").await;
    scene.front.switch(server.client().await);
    before(&scene).await;
    let mark = scene.mark();
    scene.front.pause_view();
    scene.front.cut_view();
    changes_unseen(&scene).await;
    compact().await;
    scene.front.resume_view();
    after(&scene).await;
    assert!(scene.front.gone() > 0, "the operator was never told that its revision is gone");
    // What was taken back, and nobody showed, was never acted on.
    for unseen in ["back", "brief"] {
        let sids = scene.sid(unseen, "");
        let named = |call: &JournalEntry| call.input["StatementId"].as_str().is_some_and(|sid| sid.starts_with(&sids));
        assert!(!scene.writes(mark).iter().any(named), "{:?}", scene.writes(mark));
    }
}

#[tokio::test]
async fn an_api_server_that_restarts_loses_nothing() {
    let mut server = ApiServer::start(&[]).await;
    let scene = Scene::running("restarts").await;
    scene.front.switch(server.client().await);
    before(&scene).await;
    server.kill();
    changes_unseen(&scene).await;
    server.resume().await;
    after(&scene).await;
}
