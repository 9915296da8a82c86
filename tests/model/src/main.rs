//! Tries every order of steps in each situation, and says how many there are; or looks for planted mistakes.
//!
//! `golden-model [small] [NAME]` prints a table; `golden-model planted [NAME]` the shortest path to each planted mistake.

use golden_model::cases::{PLANTED, cases};
use golden_model::model::{Router, Step};
use stateright::{Checker, HasDiscoveries, Model, Path};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (modes, names): (Vec<&str>, Vec<&str>) = args.iter().map(String::as_str).partition(|a| ["small", "planted"].contains(a));
    let chosen = |name: &str| names.is_empty() || names.contains(&name);
    let passed = if modes.contains(&"planted") { planted(chosen) } else { all(!modes.contains(&"small"), chosen) };
    if !passed {
        std::process::exit(1);
    }
}

fn all(full: bool, chosen: impl Fn(&str) -> bool) -> bool {
    println!("| Situation | States | Steps | Longest path |\n| --- | --- | --- | --- |");
    let mut passed = true;
    for case in cases(full).into_iter().filter(|c| chosen(c.name)) {
        let checker = case.with(None).checker().threads(2).spawn_dfs().join();
        println!("| {} | {} | {} | {} |", case.name, checker.unique_state_count(), checker.state_count(), checker.max_depth());
        for (property, path) in checker.discoveries() {
            passed = false;
            tell(property, path);
        }
    }
    passed
}

fn planted(chosen: impl Fn(&str) -> bool) -> bool {
    let mut passed = true;
    for (planted, name) in PLANTED.iter().filter(|(p, _)| chosen(&format!("{p:?}"))) {
        let Some(case) = cases(false).into_iter().find(|c| c.name == *name) else { continue };
        let checker = case.with(Some(*planted)).checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        println!("\n{planted:?} in `{name}`, {} states:", checker.unique_state_count());
        passed &= !checker.discoveries().is_empty();
        for (property, path) in checker.discoveries() {
            tell(property, path);
        }
    }
    passed
}

fn tell(property: &str, path: Path<<Router as Model>::State, Step>) {
    println!("{property} does not hold:");
    for step in path.into_actions() {
        println!("  {step:?}");
    }
}
