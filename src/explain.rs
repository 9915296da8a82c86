//! `golden explain`: why a service had the level it had in a window, as a running service tells it.

use crate::commands::{AnswerForm, ExplainArgs};
use crate::failure::{Failure, Outcome};
use crate::server::{Server, of_service};
use golden_overrides::language::explain::{Comparison, Explanation, Value};
use golden_pipeline::overrides::explain::{Contributor, Explained, RuleInForce};
use std::fmt::Write as _;

pub(crate) fn explain(args: &ExplainArgs) -> Outcome {
    let params = [("at", args.at.as_deref()), ("namespace", args.namespace.as_deref())];
    let path = of_service("services", &args.service, "explain", &params);
    let server = Server::at(&args.server.server);
    if args.format == AnswerForm::Json {
        let told: Box<serde_json::value::RawValue> = server.get(&path)?;
        println!("{told}");
        return Ok(());
    }
    print!("{}", text(&server.get::<Explained>(&path)?).map_err(Failure::failed)?);
    Ok(())
}

fn text(of: &Explained) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let Explained { service, window_start, window_end, health, rule, .. } = of;
    let level = health.level.map(|level| format!(" ({level})")).unwrap_or_default();
    writeln!(
        out,
        "{service}  {window_start} to {window_end}: {}{level}, reason {}, before {}",
        health.state, health.reason, health.previous
    )?;
    writeln!(out, "rule      {}", whose(rule))?;
    if rule.expression.is_empty() {
        writeln!(out, "          its file is not in memory any more: `golden overrides history {service}` names it")?;
    }
    rule.expression.lines().for_each(|line| out.push_str(&format!("          {line}\n")));
    if let Some(explanation) = &of.explanation {
        steps(&mut out, explanation)?;
    }
    if let Some(fallback) = &of.fallback {
        writeln!(out, "so the default rule decides")?;
        steps(&mut out, fallback)?;
    }
    if health.reason == "incomplete" {
        writeln!(out, "part of the input is missing, and what is not complete is never healthy: unknown")?;
    }
    if of.agrees == Some(false) {
        writeln!(out, "note      another level comes out now than was published")?;
    }
    if !of.utilization.is_empty() {
        let all: Vec<String> = of.utilization.iter().map(|(resource, ratio)| format!("{resource} {:.1} %", ratio * 100.0)).collect();
        writeln!(out, "resources {}", all.join(", "))?;
    }
    for (grouping, most) in &of.contributors {
        writeln!(out, "most of {grouping}")?;
        most.iter().try_for_each(|one| writeln!(out, "          {}", contributor(one)))?;
    }
    if !of.exemplars.is_empty() {
        writeln!(out, "traces")?;
        of.exemplars.iter().try_for_each(|one| writeln!(out, "          {one}"))?;
    }
    Ok(out)
}

fn whose(rule: &RuleInForce) -> String {
    if rule.path.is_empty() {
        return if rule.default {
            "the default rule; the service has no file".to_owned()
        } else {
            format!("version {}, file {}", rule.version, rule.sha256)
        };
    }
    let place = if rule.line > 0 {
        format!("{}:{}", rule.path, rule.line)
    } else {
        format!("{} (without a health rule: the default one)", rule.path)
    };
    let commit = if rule.commit.is_empty() { String::new() } else { format!(", commit {}", rule.commit) };
    let RuleInForce { version, published_by, published_at, owner, .. } = rule;
    format!("{place}, owner {owner}, version {version} by {published_by} at {published_at}{commit}")
}

fn steps(out: &mut String, of: &Explanation) -> std::fmt::Result {
    for step in &of.comparisons {
        writeln!(out, "  {}  {}", if step.holds { "yes" } else { "no " }, compared(step))?;
    }
    if let Some(last) = of.branches.last() {
        let not = if last.holds { "" } else { "not " };
        writeln!(out, "branch    `{}`, since {not}`{}`", last.taken.text, last.condition.text)?;
    }
    match (&of.result, &of.failure) {
        (Some(result), _) => writeln!(out, "gives     {}", shown(result))?,
        (None, failure) => writeln!(out, "fails     {}", failure.as_deref().unwrap_or_default())?,
    }
    let variable = |v: &golden_overrides::language::explain::Variable| {
        format!("{} = {}", v.name, v.value.as_ref().map_or_else(|| "no value".to_owned(), shown))
    };
    writeln!(out, "with      {}", of.variables.iter().map(variable).collect::<Vec<_>>().join(", "))
}

fn compared(of: &Comparison) -> String {
    let distance = match of.distance {
        Some(distance) if distance > 0.0 => format!(", {distance} above"),
        Some(distance) if distance < 0.0 => format!(", {} below", -distance),
        Some(_) => ", equal".to_owned(),
        None => String::new(),
    };
    format!("{}: {} {} {}{distance}", of.at.text, shown(&of.left), of.sign, shown(&of.right))
}

fn shown(value: &Value) -> String {
    match value {
        Value::YesNo(holds) => holds.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
    }
}

fn contributor(of: &Contributor) -> String {
    let names: Vec<String> = of.dimensions.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let percent = |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
    let Contributor { requests, errors, .. } = of;
    let (share, ratio) = (percent(of.share_of_errors), percent(of.error_ratio));
    let p99 = of.latency_p99.map(|ms| format!(", p99 {ms} ms")).unwrap_or_default();
    format!("{}: {errors} errors ({share} of all) of {requests} requests, {ratio} failed{p99}", names.join(" "))
}
