//! The log: where it goes, how it looks, and what of it is shown, which can be changed while the program runs.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use clap::ValueEnum;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged: read and changed.
#[derive(Clone)]
pub(super) struct Filter {
    said: Arc<Mutex<String>>,
    handle: reload::Handle<EnvFilter, Registry>,
}

/// What a filter must be.
const MUST: &str = "the log filter must be a level or levels by module, such as info or busgrant=debug,kube=warn";

/// Starts to log to standard error, and to send traces where there is a collector, for as long as the second is kept.
pub(super) fn start(format: Format, filter: &str) -> anyhow::Result<(Filter, impl Sized + use<>)> {
    let (shown, handle) = reload::Layer::new(parsed(filter)?);
    let lines = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_filter(shown).boxed(),
        Format::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(shown).boxed(),
    };
    let log = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otlp")]
    let (log, sender) = {
        let (traces, sender) = super::traces::layer()?;
        (log.with(traces), sender)
    };
    #[cfg(not(feature = "otlp"))]
    let sender = ();
    log.init();
    Ok((Filter { said: Arc::new(Mutex::new(filter.to_owned())), handle }, sender))
}

impl Filter {
    /// The filter as it was set last.
    pub(super) fn text(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs by another filter from now on; a wrong one changes nothing.
    pub(super) fn set(&self, text: &str) -> anyhow::Result<()> {
        self.handle.reload(parsed(text)?)?;
        text.clone_into(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        tracing::info!(filter = text, "logs by another filter");
        Ok(())
    }
}

fn parsed(text: &str) -> anyhow::Result<EnvFilter> {
    // An empty filter would log errors alone, and say nothing of a slip.
    anyhow::ensure!(!text.trim().is_empty(), MUST);
    // What has spaces in it, or no level, would be taken for a module that nobody has.
    let is_wrong =
        |part: &str| part.trim().is_empty() || part.trim().contains(char::is_whitespace) || part.ends_with('=');
    anyhow::ensure!(!text.split(',').any(is_wrong), MUST);
    EnvFilter::try_new(text).context(MUST)
}
