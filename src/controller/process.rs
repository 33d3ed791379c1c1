//! What Prometheus' client libraries tell of every process, read from /proc; nothing where there is none.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks of `/proc/PID/stat` in a second, the same on every Linux that programs see (`USER_HZ`, proc(5)).
const TICKS: f64 = 100.0;

/// This process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name, in brackets, may have spaces in it.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<f64>().ok());
        if let (Some(user), Some(system)) = (field(14), field(15)) {
            let seconds = ConstCounter::new((user + system) / TICKS);
            let help = "Processor time, of users and system, in seconds";
            let counter = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            seconds.encode(counter)?;
        }
        let memory = |name: &str| number(&text("/proc/self/status"), name).map(|kib| kib * 1024.0);
        let started = field(22).zip(number(&text("/proc/stat"), "btime")).map(|(ticks, boot)| boot + ticks / TICKS);
        #[expect(clippy::cast_precision_loss, reason = "there are not that many files")]
        let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        let most = number(&text("/proc/self/limits"), "Max open files");
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory", memory("VmRSS:")),
            ("process_virtual_memory_bytes", "Virtual memory", memory("VmSize:")),
            ("process_start_time_seconds", "When the process started, in seconds since 1970", started),
            ("process_open_fds", "Open files", open),
            ("process_max_fds", "How many files may be open", most),
        ] {
            if let Some(value) = value {
                let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(gauge)?;
            }
        }
        Ok(())
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The first number of the line that begins so.
fn number(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}
