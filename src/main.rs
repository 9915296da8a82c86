//! `golden`: availability, requests, errors, latency and health of every service. Reads the command line, assembles, waits, and says what
//! came of it; there is no logic here.
//!
//! Exit codes: 0 fine, 1 a failed check, 2 bad usage or input, 3 something it depends on is missing.

mod commands;
mod config;
mod engine;
mod explain;
mod fail_point;
mod failure;
mod generate;
mod mapping;
mod overrides;
mod registry;
mod replay;
mod router;
mod run;
mod server;
mod settings;
mod sources;
mod topics;
mod verify;

use clap::{CommandFactory, Parser};
use commands::{Cli, Command};
use std::process::ExitCode;

/// Events make many small strings and lists of all sizes; this allocator serves them faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One TLS for all Rust code. It can be installed once, and this is the first.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Generate(args) => generate::generate(&args),
        Command::Config(args) => config::config(&args),
        Command::Topics(args) => topics::topics(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Router(args) => router::command::router(&args),
        Command::Overrides(args) => overrides::overrides(&args),
        Command::Slo(args) => overrides::slo::slo(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "golden", &mut std::io::stdout());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
