//! The operations that are simulated.

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($first:ident $($name:ident)*) => {
        /// An operation of `EventBridge` or of STS.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "named as AWS names them")]
        pub enum Operation { #[default] $first, $($name,)* }

        impl Operation {
            /// Its name on the wire.
            pub fn name(self) -> &'static str {
                match self { Self::$first => stringify!($first), $(Self::$name => stringify!($name),)* }
            }

            pub(crate) fn parse(name: &str) -> Option<Self> {
                [Self::$first, $(Self::$name,)*].into_iter().find(|operation| operation.name() == name)
            }
        }
    };
}

// Of rules, only as much as makes a bus undeletable (aws-observations #221) and shows a grant of rule rights.
operations! {
    CreateEventBus DeleteEventBus DescribeEventBus ListEventBuses PutPermission RemovePermission PutEvents
    PutRule DeleteRule GetCallerIdentity AssumeRole
}

impl Operation {
    pub(crate) fn is_sts(self) -> bool {
        matches!(self, Self::GetCallerIdentity | Self::AssumeRole)
    }
}
