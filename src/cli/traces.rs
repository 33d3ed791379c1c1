//! Traces by OTLP, where OpenTelemetry's own environment variables name a collector: `OTEL_EXPORTER_OTLP_ENDPOINT` and its
//! like say where, `OTEL_TRACES_SAMPLER` which, `OTEL_SERVICE_NAME` as whom.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// What says where traces go.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const NAME: &str = "OTEL_SERVICE_NAME";

/// Sends what is left when it goes.
pub(super) struct Sender(Option<SdkTracerProvider>);

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Our own spans on their way to the collector, if there is one.
pub(super) fn layer<S>() -> anyhow::Result<(Option<impl Layer<S>>, Sender)>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let is_set = |name: &&str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    if !ENDPOINTS.iter().any(is_set) {
        return Ok((None, Sender(None)));
    }
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build();
    let exporter = exporter.context("OTEL_EXPORTER_OTLP_ENDPOINT must be an http:// address of a collector")?;
    let mut resource = Resource::builder();
    if !is_set(&NAME) {
        resource = resource.with_service_name("busgrant");
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("busgrant"));
    let ours = Targets::new().with_target("busgrant", LevelFilter::INFO);
    Ok((Some(layer.with_filter(ours)), Sender(Some(provider))))
}
