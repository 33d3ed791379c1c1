//! The table, and the numbers in it.

use std::fmt::{self, Display};
use std::time::Duration;

/// What was measured, as a Markdown table.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Line>);

#[derive(Debug)]
struct Line {
    what: String,
    target: String,
    measured: String,
    /// Nothing where the number is only told.
    met: Option<bool>,
}

impl Table {
    /// A number that has a target.
    pub(crate) fn check(&mut self, what: impl Display, target: impl Display, measured: impl Display, met: bool) {
        self.add(Line {
            what: what.to_string(),
            target: target.to_string(),
            measured: measured.to_string(),
            met: Some(met),
        });
    }

    /// A number that is good to know.
    pub(crate) fn tell(&mut self, what: impl Display, measured: impl Display) {
        self.add(Line { what: what.to_string(), target: String::new(), measured: measured.to_string(), met: None });
    }

    /// Whether no target was missed.
    pub(crate) fn is_met(&self) -> bool {
        self.0.iter().all(|line| line.met != Some(false))
    }

    fn add(&mut self, line: Line) {
        eprintln!("  {line}");
        self.0.push(line);
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | must reach | measured | |\n|---|---|---|---|")?;
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        write!(f, "| {} | {} | {} | {met} |", self.what, self.target, self.measured)
    }
}

/// Times, in order.
#[derive(Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// The smallest time that this share of all does not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    pub(crate) fn longest(&self) -> Duration {
        self.percentile(100)
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<T: IntoIterator<Item = Duration>>(times: T) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

/// A time as people read it.
pub(crate) fn told(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

/// Kibibytes in MiB.
pub(crate) fn mib(kib: u64) -> String {
    format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024)
}
