//! Tries every order of steps in each situation, and says how many there are.
//!
//! `golden-model` prints a table; `golden-model NAME` one situation; an argument `small` takes the small ones.

use golden_model::cases::cases;
use stateright::{Checker, Model};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let small = args.iter().any(|a| a == "small");
    let name = args.iter().find(|a| *a != "small");
    println!("| Situation | States | Steps | Longest path |\n| --- | --- | --- | --- |");
    let mut failed = false;
    for case in cases(!small).into_iter().filter(|c| name.is_none_or(|n| n == c.name)) {
        let checker = case.with(None).checker().threads(2).spawn_dfs().join();
        println!("| {} | {} | {} | {} |", case.name, checker.unique_state_count(), checker.state_count(), checker.max_depth());
        for (property, path) in checker.discoveries() {
            failed = true;
            println!("\n{property} does not hold:");
            for step in path.into_actions() {
                println!("  {step:?}");
            }
        }
    }
    if failed {
        std::process::exit(1);
    }
}
