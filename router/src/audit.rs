//! The audit record: every order and every refusal, as the control log has them, with what was live before and after.
//!
//! Read from the log's beginning each time; nothing is kept. What this does not do: it judges nothing, and shows no order of a version that
//! this program does not know (`Audit::newer` says that there are some).

use crate::control::{GiveError, OrdersReader, Taken, Unusable};
use crate::deployment::Deployment;
use crate::orders::{Entry, FlipKind, Order};
use crate::receipt::Receipt;
use crate::settings::{shown, time_shown};
use platform_core::log::Log;
use platform_core::record::{Offset, Partition, Topic};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything that was ordered or refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Oldest first.
    pub entries: Vec<Audited>,
    /// Offset of the first order whose digest of those before it is not theirs: the log was changed there, or before.
    pub broken: Option<u64>,
    /// Version of orders that this program does not know, where there are any.
    pub newer: Option<String>,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Where it stands in the control log.
    pub offset: u64,
    /// When the log took it, RFC 3339.
    pub at: String,
    /// Who gave it.
    pub by: String,
    /// What, in a few words.
    pub what: String,
    /// Why.
    pub reason: String,
    /// What was live before it.
    pub before: Option<Deployment>,
    /// What is live since.
    pub after: Option<Deployment>,
    /// What came of it: `taken`, `refused`, or why readers pass over it.
    pub result: String,
}

impl Audited {
    fn of(taken: &Taken<'_>, before: Option<Deployment>) -> Self {
        let unread = || ("nobody".to_owned(), "what cannot be read".to_owned(), String::new());
        let (by, what, reason) = taken.entry.map_or_else(unread, |entry| (entry.by.clone(), what(entry), entry.reason.clone()));
        let refused = matches!(taken.entry, Some(Entry { order: Order::Refused { .. }, .. }));
        let result = match taken.passed {
            Some(passed) => format!("passed over: {passed}"),
            None if refused => "refused".to_owned(),
            None => "taken".to_owned(),
        };
        let (offset, at, after) = (taken.offset.0, time_shown(taken.at), taken.orders.live());
        Self { offset, at, by, what, reason, before, after, result }
    }
}

fn what(entry: &Entry) -> String {
    match &entry.order {
        Order::Start(start) => {
            let from = if start.owned_from > 0 { format!(", for windows from {}", shown(start.owned_from)) } else { String::new() };
            format!("start {}, version {}{from}", start.deployment, start.version)
        }
        Order::Flip(flip) => {
            let kind = if flip.kind == FlipKind::Planned { "planned" } else { "failure" };
            format!("flip {} from {} to {}, {kind}", flip.flip, flip.from, flip.to)
        }
        Order::Abandon { deployment } => format!("give up {deployment}"),
        Order::Seal { flip } => format!("seal flip {flip}"),
        Order::Done { flip, receipt } => match serde_json::from_value::<Receipt>(receipt.clone()) {
            Ok(receipt) => format!("receipt of flip {flip}: lost {}, doubled {}", receipt.lost, receipt.doubled),
            Err(_) => format!("receipt of flip {flip}"),
        },
        Order::Hold { hold: true } => "hold automatic flips".to_owned(),
        Order::Hold { hold: false } => "release automatic flips".to_owned(),
        Order::Refused { asked, .. } => asked.clone(),
    }
}

/// Reads all of it.
///
/// # Errors
/// When the control log cannot be read to its end, or has lost its beginning.
pub fn read(log: &Arc<dyn Log>, control: &Topic) -> Result<Audit, GiveError> {
    let start = log.bounds(&Partition::new(control, 0))?.0;
    if start > Offset(0) {
        return Err(Unusable::Truncated(start).into());
    }
    let mut reader = OrdersReader::new(Arc::clone(log), control);
    let (mut entries, mut live) = (Vec::new(), None);
    let whole = reader.refresh_with(&mut |taken| {
        entries.push(Audited::of(taken, live));
        live = taken.orders.live();
    })?;
    if !whole {
        return Err(GiveError::End);
    }
    let newer = match reader.unusable() {
        Some(Unusable::Newer(version)) => Some(version),
        Some(unusable @ Unusable::Truncated(_)) => return Err(unusable.into()),
        None => None,
    };
    Ok(Audit { entries, broken: reader.broken().map(|at| at.0), newer })
}
