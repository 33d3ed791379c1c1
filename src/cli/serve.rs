//! What is served over HTTP: metrics, probes, and the log's filter to those who are inside the Pod.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use tokio::net::TcpListener;

use super::log::Filter;
use crate::controller::health::Health;
use crate::controller::metrics::Metrics;

/// The content type of the text that Prometheus reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    metrics: Metrics,
    health: Health,
    filter: Filter,
}

/// Serves on that address from now on; nowhere if it is empty.
pub(super) async fn serve(address: &str, metrics: Metrics, health: Health, filter: Filter) -> anyhow::Result<()> {
    if address.is_empty() {
        return Ok(());
    }
    // A port alone means every address, as elsewhere in Kubernetes.
    let address = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
    let listener = TcpListener::bind(&address).await.with_context(|| {
        format!("--metrics-addr {address} can't be used: it must be a free address and port, such as 127.0.0.1:8080")
    })?;
    tracing::info!(address = %listener.local_addr()?, "serving /metrics, /healthz, /readyz and /log");
    let routes = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(show_readiness))
        .route("/log", get(show_filter).put(set_filter))
        .with_state(Shown { metrics, health, filter })
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
    Ok(())
}

async fn show_metrics(State(shown): State<Shown>) -> Response {
    match shown.metrics.text() {
        Ok(text) => {
            let body = Body::from_stream(stream::iter(text.map(Ok::<_, Infallible>)));
            ([(CONTENT_TYPE, OPEN_METRICS)], body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn show_readiness(State(shown): State<Shown>) -> (StatusCode, &'static str) {
    match shown.health.readiness() {
        Ok(role) => (StatusCode::OK, role),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn show_filter(State(shown): State<Shown>) -> String {
    shown.filter.text()
}

/// Whoever may forward a port of the Pod, or is in it, may change what it logs; the network may not.
async fn set_filter(
    State(shown): State<Shown>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    text: String,
) -> (StatusCode, String) {
    if !peer.ip().to_canonical().is_loopback() {
        let must = "the log's filter must be set from inside the Pod: kubectl port-forward, then PUT to 127.0.0.1";
        return (StatusCode::FORBIDDEN, must.to_owned());
    }
    match shown.filter.set(text.trim()) {
        Ok(()) => (StatusCode::OK, shown.filter.text()),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")),
    }
}
