//! `golden overrides recount`: the events of the source by the rules in force and by those of a folder, and whether all are there both times.
//!
//! Reads the log as `golden verify` does: embedded, the data folder must not be in use.

use super::folder::Tree;
use super::{Format, count, print, refused};
use crate::commands::{AnswerForm, SettingsArgs};
use crate::failure::{Failure, Outcome};
use crate::verify::Source;
use clap::Args;
use golden_overrides::archive::Files;
use golden_pipeline::overrides::activation::Activation;
use golden_pipeline::overrides::of_events::{EventRules, Lead};
use golden_pipeline::overrides::record::Activate;
use golden_pipeline::overrides::recount::{Counts, OfService, recount as compare};
use golden_pipeline::overrides::rules::Rules;
use golden_pipeline::verify::Verify;
use platform_core::record::Offset;
use platform_core::time::EventTime;
use std::path::PathBuf;

/// Most series and broken windows of a service that are listed for people.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct RecountArgs {
    /// Folder with a folder per team: DIR/TEAM/SERVICE.yaml
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Start of the first window, as in 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: String,
    /// End of the last window
    #[arg(long, value_name = "TIME")]
    to: String,
    /// One service alone
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Form of the answer
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: AnswerForm,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Folder of the embedded log, which must not be in use [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) fn recount(args: &RecountArgs) -> Outcome {
    let tree = Tree::read(&args.folder)?;
    let set = tree.compile()?;
    if set.has_errors() {
        print(&tree, &set, Format::Text, |_| true);
        return Err(Failure::failed(format!("{} of {} refused", refused(&set), count(set.files().count(), "file"))));
    }
    let times = (args.from.as_str(), args.to.as_str());
    let source = Source::open(args.settings.config.as_deref(), args.data.as_deref(), times, args.service.as_deref())?;
    let others = Activation::compile(Offset(0), EventTime::MIN, unpublished(), tree.files, Files::new()).map_err(Failure::failed)?;
    let others = EventRules::new(Rules::fixed([others]), &source.checked.groupings, Lead::default());
    let counting = |rules| Verify::counting(source.checked.clone(), "default", source.span.clone(), rules);
    let (mut before, mut after) = (counting(source.rules_in_force()?), counting(others));
    source.events(&mut [&mut before, &mut after])?;
    let services = compare(&source.checked.groupings, &before.counted(), &after.counted());
    match args.format {
        AnswerForm::Json => println!("{}", serde_json::to_string_pretty(&services).map_err(Failure::failed)?),
        AnswerForm::Text => services.iter().for_each(show),
    }
    let broken = services.iter().filter(|of| !of.broken.is_empty()).count();
    let events: u64 = services.iter().map(|of| of.all.before.events).sum();
    match broken {
        0 => {
            if args.format == AnswerForm::Text {
                println!("{}, {}: each counted once by both rules", count(services.len(), "service"), count(events as usize, "event"));
            }
            Ok(())
        }
        _ => Err(Failure::failed(format!("the sums of {} are not conserved", count(broken, "service")))),
    }
}

/// What a control log would say of the folder.
fn unpublished() -> Activate {
    Activate {
        version: 0,
        bundle: String::new(),
        live: String::new(),
        shadow: String::new(),
        from_window: i64::MIN,
        lead: 0,
        published_by: String::new(),
        published_at: String::new(),
        commit: String::new(),
        rollback_of: None,
        rejected: Vec::new(),
    }
}

fn show(of: &OfService) {
    let namespace = if of.namespace.is_empty() { String::new() } else { format!(" ({})", of.namespace) };
    println!("{}{namespace}: {}", of.service, changed(of.all.before, of.all.after));
    for (grouping, series) in &of.series {
        println!("  {grouping}");
        for one in series.iter().take(SHOWN) {
            let names: Vec<String> = one.dimensions.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            println!("    {}: {}", names.join(" "), changed(one.counts.before, one.counts.after));
        }
        if series.len() > SHOWN {
            println!("    and {} more: --format json has them", series.len() - SHOWN);
        }
    }
    of.broken.iter().take(SHOWN).for_each(|what| println!("  not conserved: {what}"));
}

fn changed(before: Counts, after: Counts) -> String {
    let pair = |what: &str, before: u64, after: u64| {
        if before == after { format!("{what} {before}") } else { format!("{what} {before} → {after}") }
    };
    [
        pair("events", before.events, after.events),
        pair("ok", before.ok, after.ok),
        pair("errors", before.errors, after.errors),
        pair("ignored", before.ignored, after.ignored),
    ]
    .join(", ")
}
