//! Reports of a backtest as a table for terminals and as a comment for a pull request. Decides nothing.

use golden_pipeline::overrides::backtest::{Change, Episode, MAX_LISTED, Report, Side};
use std::fmt::Write as _;

/// Most changes and episodes of a service that are listed for people; JSON has more.
const SHOWN: usize = 20;

/// For a terminal.
pub(super) fn table(reports: &[Report], against: &str) -> String {
    let mut out = format!("against {against}\n");
    for report in reports {
        let _ = writeln!(out, "\n{}  {}", name(report), span(report));
        if report.windows == 0 {
            continue;
        }
        let _ = writeln!(out, "  {:24}{:>12}{:>12}", "", "old", "new");
        for (what, of) in ROWS {
            let _ = writeln!(out, "  {what:24}{:>12}{:>12}", of(&report.old), of(&report.new));
        }
        notes(report).iter().for_each(|note| out.push_str(&format!("  note: {note}\n")));
        let _ = writeln!(out, "  {}", changed(report));
        report.changes.iter().take(SHOWN).for_each(|change| out.push_str(&format!("    {}\n", line(change))));
        more(&mut out, "    ", report.changes.len());
        let _ = writeln!(out, "  first detections");
        report.episodes.iter().take(SHOWN).for_each(|episode| out.push_str(&format!("    {}\n", detection(episode))));
        more(&mut out, "    ", report.episodes.len());
    }
    out
}

/// For a pull request.
pub(super) fn markdown(reports: &[Report], against: &str, length: &str) -> String {
    let changed_in = reports.iter().filter(|report| report.changed > 0).count();
    let mut out = format!("### Backtest of overrides\n\nThe last {length} of published windows, against {}. ", escaped(against));
    let _ = writeln!(out, "Levels change in {changed_in} of {} services.\n", reports.len());
    out.push_str(
        "| Service | Windows | Healthy | Degraded | Impaired | Critical | Unknown | Episodes | Critical | Flaps | Failures | Changed |\n",
    );
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for report in reports {
        let _ = write!(out, "| {} | {} |", escaped(&name(report)), report.windows);
        for (_, of) in ROWS {
            let (old, new) = (of(&report.old), of(&report.new));
            let _ = if old == new { write!(out, " {new} |") } else { write!(out, " {old} → **{new}** |") };
        }
        let _ = writeln!(out, " {} |", report.changed);
    }
    out.push_str("\nLevels are in minutes. ");
    out.push_str("An episode is a run of windows with a level of 1 or more (critical: 3), a flap a change back within three windows.\n");
    for report in reports.iter().filter(|report| report.changed > 0 || !notes(report).is_empty()) {
        let _ = writeln!(out, "\n<details><summary>{}: {}</summary>\n", escaped(&name(report)), changed(report));
        notes(report).iter().for_each(|note| out.push_str(&format!("- Note: {}\n", escaped(note))));
        report.changes.iter().take(SHOWN).for_each(|change| out.push_str(&format!("- {}\n", line(change))));
        more(&mut out, "- ", report.changes.len());
        out.push_str("\nFirst detections:\n\n");
        report.episodes.iter().take(SHOWN).for_each(|episode| out.push_str(&format!("- {}\n", detection(episode))));
        more(&mut out, "- ", report.episodes.len());
        out.push_str("\n</details>\n");
    }
    out
}

/// Name of a figure, and the figure as text.
type Row = (&'static str, fn(&Side) -> String);

/// Figures of a side, in the order of columns.
const ROWS: [Row; 9] = [
    ("healthy, minutes", |side| minutes(side.minutes.healthy)),
    ("degraded, minutes", |side| minutes(side.minutes.degraded)),
    ("impaired, minutes", |side| minutes(side.minutes.impaired)),
    ("critical, minutes", |side| minutes(side.minutes.critical)),
    ("unknown, minutes", |side| minutes(side.minutes.unknown)),
    ("episodes", |side| side.episodes.to_string()),
    ("critical episodes", |side| side.critical_episodes.to_string()),
    ("flaps", |side| side.flaps.to_string()),
    ("failures of the rule", |side| side.failures.values().sum::<u64>().to_string()),
];

fn minutes(of: f64) -> String {
    if of.fract() == 0.0 { format!("{of}") } else { format!("{of:.1}") }
}

fn name(report: &Report) -> String {
    if report.namespace.is_empty() { report.service.clone() } else { format!("{} ({})", report.service, report.namespace) }
}

fn span(report: &Report) -> String {
    match report.windows {
        0 => "nothing was published of it in this time".to_owned(),
        windows => format!("{windows} windows of {} s, {} to {}", report.window_seconds, report.from, report.to),
    }
}

fn changed(report: &Report) -> String {
    match report.changed {
        0 => "no window has another level".to_owned(),
        1 => format!("1 of {} windows has another level", report.windows),
        changed => format!("{changed} of {} windows have another level", report.windows),
    }
}

fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if report.recount {
        notes.push(
            "the files differ in `errors` or `tags`, which change the counts; these are as published: see `golden overrides recount`"
                .to_owned(),
        );
    }
    for (side, which) in [(&report.old, "old"), (&report.new, "new")] {
        let failures: Vec<String> = side.failures.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if !failures.is_empty() {
            notes.push(format!("the {which} rule fails, and the default rule decides: {}", failures.join(", ")));
        }
    }
    if report.published.differing > 0 {
        let (differing, compared) = (report.published.differing, report.published.compared);
        notes.push(format!(
            "{differing} of {compared} windows were published with another level by the same file: they were corrected later"
        ));
    }
    notes
}

fn line(change: &Change) -> String {
    let Change { from, to, windows, old, new } = change;
    let plural = if *windows == 1 { "" } else { "s" };
    format!("{from} to {to}, {windows} window{plural}: {} → {}", level(*old), level(*new))
}

fn detection(episode: &Episode) -> String {
    let Episode { from, to, old_first, new_first, old_worst, new_worst } = episode;
    let side = |first: &Option<String>, worst: u8| match first {
        Some(first) => format!("{first}, up to {}", level(Some(worst))),
        None => "never".to_owned(),
    };
    format!("{from} to {to}: old {}; new {}", side(old_first, *old_worst), side(new_first, *new_worst))
}

fn level(level: Option<u8>) -> &'static str {
    match level {
        None => "unknown",
        Some(0) => "healthy",
        Some(1) => "degraded",
        Some(2) => "impaired",
        Some(_) => "critical",
    }
}

fn more(out: &mut String, before: &str, listed: usize) {
    if listed > SHOWN {
        let least = if listed == MAX_LISTED { "at least " } else { "" };
        let _ = writeln!(out, "{before}and {least}{} more: --format json has them", listed - SHOWN);
    }
}

/// Nothing of a name becomes markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        if "\\`*_[]<>|~&@#".contains(sign) {
            out.push('\\');
        }
        out.push(sign);
    }
    out
}

#[cfg(test)]
mod tests;
