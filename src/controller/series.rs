//! The text that Prometheus reads, made while it is read. With a series for each condition of each object it may be several
//! megabytes, and what was once asked for in one piece is seldom given back.

use std::fmt::{self, Write as _};
use std::mem;
use std::sync::Arc;
use std::vec;

use super::gauges::Observed;
use super::permission::Permission;
use super::standing::Standing;

/// What the series of single objects are called, and what they say.
const HEAD: &str = "# HELP busgrant_condition 1 for each condition of each EventBusPermission, with the status that it has.\n\
                    # TYPE busgrant_condition gauge\n";
const END: &str = "# EOF\n";

/// The objects of a piece: some 15 kB.
const AT_A_TIME: usize = 50;

/// The text in pieces: first what was counted, then what every object's conditions say.
pub struct Pieces {
    counted: String,
    objects: Option<Objects>,
    is_over: bool,
}

/// The objects that are not told of yet.
struct Objects {
    observed: Arc<dyn Observed>,
    left: vec::IntoIter<Arc<Permission>>,
}

impl Pieces {
    /// With the series of each of these objects.
    pub(super) fn new(counted: String, observed: Option<Arc<dyn Observed>>) -> Self {
        let objects = observed.map(|observed| Objects { left: observed.objects().into_iter(), observed });
        let head = if objects.is_some() { HEAD } else { "" };
        Self { counted: counted + head, objects, is_over: false }
    }
}

impl Iterator for Objects {
    type Item = String;

    /// What the next objects' conditions say.
    fn next(&mut self) -> Option<String> {
        let mut piece = String::new();
        while piece.is_empty() && self.left.len() > 0 {
            for object in self.left.by_ref().take(AT_A_TIME) {
                if let Some(standing) = self.observed.standing(&object) {
                    write_conditions(&mut piece, &object, standing).ok()?;
                }
            }
        }
        Some(piece).filter(|piece| !piece.is_empty())
    }
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if !self.counted.is_empty() {
            return Some(mem::take(&mut self.counted));
        }
        let of_objects = self.objects.as_mut().and_then(Objects::next);
        of_objects.or_else(|| (!mem::replace(&mut self.is_over, true)).then(|| END.to_owned()))
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pieces")
    }
}

/// Names of Kubernetes have nothing in them that would have to be escaped.
fn write_conditions(text: &mut String, object: &Permission, standing: Standing) -> fmt::Result {
    let (namespace, name) = (object.namespace(), object.name());
    standing.conditions().try_for_each(|(kind, status)| {
        let labels = format_args!(r#"namespace="{namespace}",name="{name}",type="{kind}",status="{status}""#);
        writeln!(text, "busgrant_condition{{{labels}}} 1")
    })
}
