//! Generated files that are committed, and must be as the code says.

use std::path::Path;

use busgrant::api::{crd_yaml, reasons};

/// Compares a committed file, or writes it where `BUSGRANT_GENERATE` is set.
fn committed(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BUSGRANT_GENERATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{} is stale: run the tests with BUSGRANT_GENERATE=1, and commit it", path.display());
}

#[test]
fn the_definition() {
    let yaml = crd_yaml().unwrap();
    assert!(yaml.len() < 100_000, "client-side apply keeps a copy of it in an annotation: {} bytes", yaml.len());
    for wrong in ["nullable", "uint", "additionalProperties: false"] {
        assert!(!yaml.contains(wrong), "{wrong}");
    }
    committed("crds/busgrant.dev_eventbuspermissions.yaml", &yaml);
}

#[test]
fn the_reasons() {
    committed("docs/conditions.md", &reasons::markdown());
}
