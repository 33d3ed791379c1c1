//! Every reason that a condition, a statement's status or an event can give, in one place: what it means and what to do.
//!
//! docs/conditions.md is made from this file, and a test fails when it is stale.

#![expect(clippy::doc_markdown, reason = "the docs of reasons are text for people, with its own markup")]

use std::fmt;

macro_rules! reasons {
    ($($name:ident: $meaning:literal, $remedy:literal;)*) => {
        /// Why something is as it is, in one word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] #[doc = ""] #[doc = $remedy] $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word, as conditions and events carry it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// What a person does about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

reasons! {
    Accepted:
        "Every statement of the spec can be served.",
        "Nothing.";
    InSync:
        "The bus's policy held exactly the object's statements when it was last read, after the last write. AWS may take \
         about 20 s to act on a change.",
        "Nothing.";
    Applying:
        "The controller is at work on the object's statements.",
        "Wait. If it stays, the controller's log says what it waits for.";
    DriftDetected:
        "The bus's policy differs from the object's statements. With managementPolicy Observe nothing is written, and \
         `status.plan` says what Enforce would do.",
        "Set managementPolicy to Enforce, or change the spec to what the bus shall hold.";
    Paused:
        "The annotation `busgrant.dev/paused: \"true\"` stops puts and edits. Deleting the object still removes its statements.",
        "Remove the annotation to go on.";
    Deleting:
        "The object is being deleted, and its statements are being removed from the bus.",
        "Wait. The message names what holds it up, if anything does.";
    InvalidStatement:
        "A statement says something that a bus policy can't hold. What the object had on the bus under this name stays, and \
         the object's other statements are served.",
        "Correct what the message lists; it lists everything that is wrong with the statement.";
    PublicNotAllowed:
        "A statement allows something to anyone in AWS, and whoever installed the controller hasn't consented to that. A \
         source or a detail type is no restriction, since the sender chooses it.",
        "Restrict the statement by an organization, an account or an ARN (`aws:PrincipalOrgID`, `aws:PrincipalOrgPaths`, \
         `aws:PrincipalAccount`, `aws:PrincipalArn`), or run the controller with `--allow-public`.";
    Unreadable:
        "The object holds something that this version of the controller doesn't know, so none of it is acted on. What it \
         had on the bus stays.",
        "Upgrade the controller to the version of the installed CRD, or remove the field or value that the message names.";
    BusChanged:
        "The spec resolves to another event bus than the one that the object's statements were put on, for instance because \
         the controller's Region or account changed. Nothing is written or removed on either.",
        "Give the controller its old Region and account back, or write region and accountID into new objects and delete this \
         one while the controller still resolves it to the old bus.";
    AccountMismatch:
        "The controller's credentials belong to another AWS account than the event bus.",
        "Give the controller credentials of the bus's account, or correct accountID.";
    EventBusNotFound:
        "There is no event bus of that name in that account and Region.",
        "Create the bus, or correct the name. It is tried again, so a bus that is created later is found.";
    AccessDenied:
        "AWS doesn't allow the controller a call that it needs; the message names it.",
        "Allow it in the IAM policy of the controller's role: events:DescribeEventBus, events:ListEventBuses, \
         events:PutPermission and events:RemovePermission.";
    CredentialsUnavailable:
        "The controller has no AWS credentials, or they have expired.",
        "Check the controller's service account: IRSA or EKS Pod Identity, or the environment variables that it is given.";
    OperationDisabled:
        "EventBridge doesn't offer permissions on event buses in this Region.",
        "Use a bus in another Region.";
    StatementRefused:
        "AWS refused the statement, for instance since a principal in it doesn't exist. The object's other statements are \
         served.",
        "Correct what the message quotes from AWS.";
    PolicyFull:
        "The bus's policy has no room for the statement; the message says how many characters are used, needed and allowed.",
        "Remove statements, merge them, or raise the quota L-FC354966 of the AWS account and tell the controller.";
    DocumentWritesDenied:
        "The statement can only be written by replacing the bus's whole policy, which whoever installed the controller has \
         switched off, since other tools write the same policy.",
        "Say it with accountIDs or organizationID alone, which need no such write, or run the controller with document writes.";
    DocumentBlocked:
        "The bus's policy holds another statement that AWS no longer takes, such as one for a deleted role, so the whole \
         policy can't be replaced; the message names it.",
        "Let the owner of that statement correct or remove it.";
    Contended:
        "Others changed the statement three times within ten minutes, so it is put back only every ten minutes. A statement \
         that is to be removed is removed at once each time.",
        "Find out who writes the same statement, or the whole policy: their calls are in CloudTrail. Often it is another \
         installation with the same owner, or a tool that writes the whole policy.";
    DenyUnserved:
        "A Deny of the same object isn't on the bus, so its Allows are neither put nor widened: they could grant what the \
         Deny is to take away.",
        "Mend the Deny; its own reason says how.";
    ConcurrentModification:
        "Other writers changed the bus at the same moment, again and again. The controller goes on trying.",
        "Wait. If it stays, find the other writer: its calls are in CloudTrail.";
    Throttled:
        "AWS limits the rate of calls, which the whole account shares. The controller goes on trying.",
        "Wait. If it stays, find what else calls EventBridge in the account.";
    ServiceUnavailable:
        "EventBridge couldn't be reached or failed. The controller goes on trying.",
        "Wait. If it stays, check the network between the controller and EventBridge, and whether the Region that the message \
         names exists. An object with a mistyped Region never got a statement there: `kubectl patch ebp NAME --type=merge -p \
         '{\"metadata\":{\"finalizers\":null}}'` lets it go.";
    OutcomeUnknown:
        "A call got no answer, and may still take effect. Until that can't happen any more and the policy was read again, the \
         object isn't ready, and isn't let go when it is deleted.",
        "Wait half a minute.";
    LostUpdate:
        "EventBridge confirmed a write that wasn't in the policy afterwards: another writer overwrote it. It is done again.",
        "Nothing, unless it recurs: then find the other writer of the whole policy.";
    ForeignStatementChanged:
        "A statement that isn't this controller's vanished or changed between the read before a write and the read after it. \
         Others may have meant it; EventBridge may also have lost their write or ours, which it tells nobody.",
        "Ask whose statement it was whether it was meant. The controller's log has the statement as it was read before.";
    InternalError:
        "The controller itself failed at the object. The object is left alone for a while, longer each time, and other \
         objects are served. What it has on the bus stays.",
        "Report it, with the controller's log. A change of the spec is tried at once.";
    Retained:
        "The object was deleted with deletionPolicy Retain, and its statements were left on the bus.",
        "Nothing. An object of the same namespace and name owns them again.";
    StatementsPut:
        "Statements of the object were written to the bus.",
        "Nothing.";
    StatementsRemoved:
        "Statements of the object were removed from the bus.",
        "Nothing.";
    DriftCorrected:
        "Somebody else had changed or removed statements of the object, and they were put back.",
        "Find out who, if it wasn't meant: their call is in CloudTrail.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const HEAD: &str = "\
<!-- Generated from src/api/reasons.rs: edit it there. -->
# Conditions and reasons

What the status of an `EventBusPermission` says, in the terms of
[kstatus](https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus), which Flux and Argo CD read too.

| condition | true means |
|---|---|
| `Accepted` | every statement of the spec can be served |
| `Synced` | the bus's policy held exactly the object's statements when it was last read |
| `Ready` | both, for the generation of the spec that `observedGeneration` names |
| `Reconciling` | the controller is at work, or tries again by itself. Present only while true |
| `Stalled` | a person must act; the controller still tries again now and then. Present only while true |

`Ready` means that the statements were in the policy at the last read. AWS may take about 20 s to act on them.

## Reasons

Conditions, the entries of `status.statements` and events give their reason in one word.
";

/// The text of docs/conditions.md.
pub fn markdown() -> String {
    let reason =
        |reason: &Reason| format!("\n### {reason}\n\n{}\n\n**What to do:** {}\n", reason.meaning(), reason.remedy());
    HEAD.to_owned() + &Reason::ALL.iter().map(reason).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_word_that_a_condition_and_an_event_can_carry() {
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(word.len() <= 128 && word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()), "{word}");
        }
    }
}
