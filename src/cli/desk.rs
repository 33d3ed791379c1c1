//! Manifests held against the policies of their buses, by the rules that the controller goes by: what would be done, and what
//! would stand then.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use busgrant_policy::document::LiveStatement;
use busgrant_policy::{
    AccountId, BusArn, Claim, Document, Effect, Finding, Limits, ObjectId, Owner, Ownership, Plan, Region, Stance,
    Standing, Step, plan,
};
use clap::Args;
use serde::Serialize;

use super::allowed::Allowed;
use super::manifests::{Manifest, Origin, read};
use crate::api::naming::object_id;
use crate::api::{Compiled, Home, ManagementPolicy, compile};

/// A plan has two or three.
const MOST_ROUNDS: usize = 60;

/// What the objects are, and whose.
#[derive(Debug, Args)]
pub(super) struct Objects {
    /// Files and folders of manifests, in YAML or JSON; - is standard input. Other kinds in them are passed over.
    #[arg(short, long, value_name = "PATH", required = true)]
    filename: Vec<PathBuf>,

    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,

    /// The part of every Sid that makes a statement the installation's, as the controller's --owner; its log says it.
    #[arg(long, env = "BUSGRANT_OWNER")]
    owner: Owner,

    /// The Region of buses that name none.
    #[arg(long, env = "AWS_REGION")]
    region: Region,

    /// The account of buses that name none.
    #[arg(long, env = "BUSGRANT_ACCOUNT_ID")]
    account_id: AccountId,

    #[command(flatten)]
    allowed: Allowed,
}

/// The objects of one bus.
#[derive(Debug)]
pub(super) struct Bus {
    pub(super) arn: BusArn,
    objects: Vec<Object>,
    limits: Limits,
    owner: Owner,
}

#[derive(Debug)]
struct Object {
    label: String,
    id: ObjectId,
    compiled: Compiled,
    seniority: (String, String),
    /// It observes or is paused: what it wants is told, and not done.
    watched: bool,
}

/// What comes of a plan.
pub(super) struct Flown {
    pub(super) steps: Vec<Step>,
    /// The policy that they lead to.
    pub(super) document: Document,
    /// The statements that can't be served.
    pub(super) findings: Vec<Finding>,
}

/// Something that keeps a manifest, or a statement of it, from being served.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Trouble {
    /// The manifest.
    #[serde(flatten)]
    pub(super) origin: Origin,
    /// What is wrong, and what must be.
    pub(super) message: String,
}

impl Objects {
    /// The Region of buses that name none.
    pub(super) fn region(&self) -> &Region {
        &self.region
    }
}

/// The manifests as they stand in the files.
pub(super) fn manifests(flags: &Objects) -> anyhow::Result<Vec<Manifest>> {
    read(&flags.filename, &flags.namespace)
}

/// The manifests by bus, and what is wrong with them.
pub(super) fn laid_out(flags: &Objects) -> anyhow::Result<(Vec<Bus>, Vec<Trouble>)> {
    Ok(by_bus(&manifests(flags)?, flags))
}

/// The same for manifests that were read.
pub(super) fn by_bus(manifests: &[Manifest], flags: &Objects) -> (Vec<Bus>, Vec<Trouble>) {
    let mut buses: BTreeMap<BusArn, Bus> = BTreeMap::new();
    let mut troubles = Vec::new();
    for manifest in manifests {
        match place(manifest, flags) {
            Ok((arn, object)) => {
                for refused in &object.compiled.refused {
                    let message = format!("statement {}: {}", refused.name, refused.messages.join(", "));
                    troubles.push(Trouble { origin: manifest.origin.clone(), message });
                }
                let bus = buses.entry(arn.clone()).or_insert_with(|| Bus::new(arn, flags));
                bus.objects.push(object);
            }
            Err(messages) => {
                let origin = || manifest.origin.clone();
                troubles.extend(messages.into_iter().map(|message| Trouble { origin: origin(), message }));
            }
        }
    }
    (buses.into_values().collect(), troubles)
}

fn place(manifest: &Manifest, flags: &Objects) -> Result<(BusArn, Object), Vec<String>> {
    let Manifest { namespace, name, spec, .. } = manifest;
    let spec = spec.as_ref().map_err(|wrong| vec![wrong.clone()])?;
    let partition = partition_of(&flags.region).to_owned();
    let home = Home { partition, region: flags.region.clone(), account: flags.account_id.clone() };
    let arn = spec.event_bus.resolve(&home)?;
    let id = object_id(namespace, name).map_err(|error| vec![error.to_string()])?;
    let compiled = compile(spec, &arn, &flags.owner, &id, flags.allowed.consent());
    let label = manifest.label();
    // What is in a file has no age: where room is short, names decide among them.
    let seniority = (String::new(), label.clone());
    let watched = manifest.paused || spec.management_policy == ManagementPolicy::Observe;
    Ok((arn, Object { label, id, compiled, seniority, watched }))
}

/// The partition of a Region (IAM User Guide, "Amazon Resource Names", partitions).
fn partition_of(region: &Region) -> &'static str {
    match region.as_str() {
        name if name.starts_with("cn-") => "aws-cn",
        name if name.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Says what is wrong with manifests; gives whether anything is.
pub(super) fn tell_troubles(troubles: &[Trouble]) -> bool {
    for Trouble { origin, message } in troubles {
        eprintln!("busgrant: {origin}: {message}");
    }
    !troubles.is_empty()
}

impl Bus {
    fn new(arn: BusArn, flags: &Objects) -> Self {
        let document_writes = flags.allowed.document_writes();
        let limits = Limits { characters: flags.allowed.policy_quota, document_writes, ..Limits::default() };
        Self { arn, objects: Vec::new(), limits, owner: flags.owner.clone() }
    }

    /// What the controller would do; with `watched_too`, what it would did all objects say Enforce and none was paused.
    /// Statements of objects that are in no file are left alone. As in a flight, what must not go before another step was
    /// seen to stand is planned again on what stands then.
    pub(super) fn flown(&self, live: &Document, watched_too: bool) -> anyhow::Result<Flown> {
        let mut flown = Flown { steps: Vec::new(), document: live.clone(), findings: Vec::new() };
        for _ in 0..MOST_ROUNDS {
            let plan = self.plan(&flown.document, watched_too);
            if plan.steps.is_empty() {
                flown.findings = plan.findings;
                break;
            }
            let now = &plan.steps[..plan.before_read];
            flown.document = self.after(&flown.document, now)?;
            flown.steps.extend_from_slice(now);
        }
        Ok(flown)
    }

    fn plan(&self, live: &Document, watched_too: bool) -> Plan {
        let counts = |object: &&Object| watched_too || !object.watched;
        let standing = |object: &Object| {
            if !counts(&object) {
                return (object.id.clone(), Standing { seniority: object.seniority.clone(), stance: Stance::Shielded });
            }
            let refused = object.compiled.refused.iter();
            let unserved: BTreeMap<String, Effect> = refused.map(|one| (one.name.clone(), one.effect)).collect();
            let standing = Standing { seniority: object.seniority.clone(), stance: Stance::Enforced { unserved } };
            (object.id.clone(), standing)
        };
        let objects = self.objects.iter().map(standing).collect();
        let counted = self.objects.iter().filter(counts);
        let claims: Vec<Claim> = counted.flat_map(|object| object.compiled.claims.clone()).collect();
        plan(&claims, live, &Ownership { owner: self.owner.clone(), objects }, &self.limits)
    }

    /// How many characters its policy may have.
    pub(super) fn allowed(&self) -> usize {
        self.limits.characters
    }

    /// Whose a statement is: the object's namespace and name, and whether it observes or is paused.
    pub(super) fn object_of(&self, sid: &str) -> Option<(&str, bool)> {
        let owned = self.owner.read(sid)?;
        let object = self.objects.iter().find(|object| object.id == owned.object)?;
        Some((&object.label, object.watched))
    }

    /// The policy after these steps.
    fn after(&self, live: &Document, steps: &[Step]) -> anyhow::Result<Document> {
        let claims = self.objects.iter().flat_map(|object| &object.compiled.claims);
        let mut document = live.clone();
        for step in steps {
            let text = match step {
                Step::PutDocument { text, .. } => text.clone(),
                Step::PutStatement { sid, .. } => {
                    let claim = claims.clone().find(|claim| claim.statement.sid == *sid);
                    let new = claim.with_context(|| format!("{sid} is nobody's"))?.statement.to_text();
                    let mut texts = others(&document, sid.as_str());
                    texts.push(&new);
                    document.render(&texts)
                }
                Step::RemoveStatement { sid } => document.render(&others(&document, sid.as_str())),
            };
            document = Document::parse(Some(&text))?;
        }
        Ok(document)
    }
}

/// Every statement but the one of that Sid.
fn others<'a>(document: &'a Document, sid: &str) -> Vec<&'a str> {
    document.statements().iter().filter(|live| live.sid() != Some(sid)).map(LiveStatement::text).collect()
}
