//! What the router says, as text for people.

use golden_router::audit::{Audit, Audited};
use golden_router::controller::Answer;
use golden_router::diff::{Diff, Totals};
use golden_router::orders::FlipKind;
use golden_router::status::{ColourStatus, FlipStatus, Status};
use serde_json::Value;

/// How everything stands.
pub(super) fn status(of: &Status) -> String {
    let mut lines = Vec::new();
    let live = of.live.map_or_else(|| "nothing: no deployment was started".to_owned(), |live| live.to_string());
    let hold = if of.hold { ", automatic flips on hold" } else { "" };
    let age = of.age.map(|age| format!(", newest public window ended {age:.0} s ago")).unwrap_or_default();
    lines.push(format!("live       {live}{hold}{age}"));
    let unusable = of.unusable.iter().filter(|unusable| of.page.as_ref() != Some(unusable));
    lines.extend(of.page.iter().chain(unusable).map(|attention| format!("attention  {attention}")));
    lines.extend(of.colours.iter().map(colour));
    for partition in &of.partitions {
        let forwards = partition.forwards.map_or_else(|| "nothing yet".to_owned(), |by| by.to_string());
        let window = partition.window.as_deref().unwrap_or("none");
        let held = partition.holder.as_ref().map(|holder| format!(", held by {holder}")).unwrap_or_default();
        lines.push(format!("partition  {:<3} forwards {forwards}, newest window {window}{held}", partition.partition));
    }
    let shadow = &of.shadow;
    lines.push(format!("shadow     {} windows compared, {} differ", shadow.compared, shadow.different));
    lines.extend(of.flips.iter().map(flip));
    lines.extend(of.refused.iter().map(|r| format!("refused    {} {} by {} at {}: {}", r.id, r.asked, r.by, r.at, r.reason)));
    lines.join("\n") + "\n"
}

fn colour(of: &ColourStatus) -> String {
    let Some(deployment) = of.deployment else { return format!("{:<10} does not run", of.colour.name()) };
    let live = if of.live { "live" } else { "standby" };
    let health = of.trouble.as_deref().unwrap_or("well");
    let lag = of.lag.map(|lag| format!(", lag {lag}")).unwrap_or_default();
    let closed = of.closed.as_ref().map(|closed| format!(", closed up to {closed}")).unwrap_or_default();
    let progress = of.progress.as_ref().map(|at| format!(", last progress {at}")).unwrap_or_default();
    let owned = of.owned_from.as_ref().map(|from| format!(", answers from {from}")).unwrap_or_default();
    let processes = of.processes.map(|(asked, ready)| format!(", {ready} of {asked} processes ready")).unwrap_or_default();
    let share = of.error_share.map(|share| format!(", {:.2} % put aside", share * 100.0)).unwrap_or_default();
    format!(
        "{:<10} {deployment} {live}, version {}: {health}{lag}{closed}{progress}{owned}{processes}{share}",
        of.colour.name(),
        of.version
    )
}

/// The audit record.
pub(super) fn log(of: &Audit) -> String {
    let line = |Audited { offset, at, by, what, reason, before, after, result }: &Audited| {
        let name =
            |live: &Option<_>| live.map_or_else(|| "nothing".to_owned(), |live: golden_router::deployment::Deployment| live.to_string());
        let live = if before == after { name(after) } else { format!("{} -> {}", name(before), name(after)) };
        format!("{offset:<6} {at}  {what}; {result}; live {live}; by {by}: {reason}\n")
    };
    let newer = of.newer.iter().map(|newer| format!("orders of version {newer} are not shown: upgrade this program\n"));
    of.entries.iter().map(line).chain(newer).collect()
}

fn flip(of: &FlipStatus) -> String {
    let kind = if of.kind == FlipKind::Planned { "planned" } else { "failure" };
    let proved = of.lost_and_doubled.map(|(lost, doubled)| format!(", lost {lost}, doubled {doubled}")).unwrap_or_default();
    let gap = of.gap.map(|gap| format!(", gap {gap:.1} s")).unwrap_or_default();
    let freshness = of.freshness.map(|fresh| format!(", worst freshness {fresh:.1} s")).unwrap_or_default();
    let FlipStatus { flip, from, to, state, by, reason, at, .. } = of;
    format!("flip       {flip} {from} to {to}, {kind}, {state}{proved}{gap}{freshness}, by {by} at {at}: {reason}")
}

/// What became of a request.
pub(super) fn answer(of: &Answer, dry_run: bool) -> String {
    let mut text = String::new();
    for condition in &of.preconditions {
        let (mark, why) = match &condition.refused {
            None => ("yes", String::new()),
            Some(why) => ("no ", format!(": {why}")),
        };
        text.push_str(&format!("  {mark}  {}{why}\n", condition.what));
    }
    let what = match (of.granted, dry_run) {
        (true, true) => "would be ordered",
        (true, false) => "ordered",
        (false, _) => "refused",
    };
    text + &format!("{what}: {}\n", of.said)
}

/// A receipt, with what the public topic says beside it where that was asked for.
pub(super) fn receipt(of: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(asked) = of.get("refused") {
        return format!("{} was refused: {}. Nothing changed\n", text(Some(asked)), text(of.get("reason")));
    }
    let mut out = String::new();
    if let Some(lines) = of.get("verified").and_then(Value::as_array) {
        for line in lines {
            let (what, said, found) = (text(line.get("what")), text(line.get("said")), text(line.get("found")));
            let same = if said == found { "as read again".to_owned() } else { format!("READ AGAIN: {found}") };
            out.push_str(&format!("{what:<50} {said}  {same}\n"));
        }
    } else if let Some(lines) = of.get("lines").and_then(Value::as_object) {
        lines.iter().for_each(|(what, said)| out.push_str(&format!("{what:<50} {}\n", text(Some(said)))));
    }
    let clean = of.get("clean").and_then(Value::as_bool) == Some(true);
    out + if clean { "clean: nothing lost, nothing doubled\n" } else { "NOT CLEAN: look at the lines above\n" }
}

/// A comparison.
pub(super) fn diff(of: &Diff) -> String {
    let mut out = String::new();
    for (deployment, version) in &of.deployments {
        out.push_str(&format!("{deployment}, version {version}\n"));
    }
    let side = |totals: &Option<Totals>| {
        totals.as_ref().map_or_else(|| "nothing".to_owned(), |t| format!("{:?}{}", t.totals, if t.complete { "" } else { " incomplete" }))
    };
    for one in &of.differences {
        let by = match (&one.blue, &one.green) {
            (Some(blue), Some(green)) => {
                events(green).checked_sub(events(blue)).map_or_else(String::new, |by| format!(", by {by:+} events"))
            }
            _ => String::new(),
        };
        out.push_str(&format!("{} {}: blue {}, green {}{by}\n", one.window, one.series, side(&one.blue), side(&one.green)));
    }
    out.push_str(&format!("{} windows, {} results compared, {} differ\n", of.windows, of.compared, of.different));
    if !of.why.is_empty() {
        out.push_str(&format!("{}\n", of.why));
    }
    out
}

fn events(of: &Totals) -> i128 {
    of.totals.first().copied().map_or(0, i128::from)
}
