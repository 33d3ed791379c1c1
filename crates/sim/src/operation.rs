//! The operations that are simulated.

use serde::{Deserialize, Serialize};

/// An operation of EventBridge or of STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as AWS names them")]
pub enum Operation {
    CreateEventBus,
    DeleteEventBus,
    DescribeEventBus,
    ListEventBuses,
    PutPermission,
    RemovePermission,
    PutEvents,
    /// Only as much as makes a bus undeletable (aws-observations #221) and shows a grant of rule rights.
    PutRule,
    DeleteRule,
    GetCallerIdentity,
    AssumeRole,
}

impl Operation {
    const ALL: [Self; 11] = [
        Self::CreateEventBus,
        Self::DeleteEventBus,
        Self::DescribeEventBus,
        Self::ListEventBuses,
        Self::PutPermission,
        Self::RemovePermission,
        Self::PutEvents,
        Self::PutRule,
        Self::DeleteRule,
        Self::GetCallerIdentity,
        Self::AssumeRole,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateEventBus => "CreateEventBus",
            Self::DeleteEventBus => "DeleteEventBus",
            Self::DescribeEventBus => "DescribeEventBus",
            Self::ListEventBuses => "ListEventBuses",
            Self::PutPermission => "PutPermission",
            Self::RemovePermission => "RemovePermission",
            Self::PutEvents => "PutEvents",
            Self::PutRule => "PutRule",
            Self::DeleteRule => "DeleteRule",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::AssumeRole => "AssumeRole",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    pub(crate) fn is_sts(self) -> bool {
        matches!(self, Self::GetCallerIdentity | Self::AssumeRole)
    }

    pub(crate) fn writes_policy(self) -> bool {
        matches!(self, Self::PutPermission | Self::RemovePermission)
    }

    pub(crate) fn reads_policy(self) -> bool {
        matches!(self, Self::DescribeEventBus | Self::ListEventBuses)
    }
}
