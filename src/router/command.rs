//! `golden router`: who is live, flips and their receipts.
//!
//! With `log.kafka` in the settings the topics are looked at directly; else, and with `--server`, a running process is asked, since an
//! embedded log belongs to one process.

use super::door::{Door, settings_of};
use super::show;
use crate::commands::RunArgs;
use crate::engine;
use crate::failure::{Failure, Outcome};
use crate::server::Server;
use crate::settings::{self, RouterSettings, Settings};
use clap::{Args, Subcommand};
use golden_http::{RouterDoor, RouterError, RouterOrder, RouterRequest};
use golden_pipeline::settings::Span;
use golden_router::audit::Audit;
use golden_router::controller::{Answer, Controller};
use golden_router::diff::Diff;
use golden_router::health::Unasked;
use golden_router::status::Status;
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long brokers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where a running process is looked for.
const SERVER: &str = "http://127.0.0.1:8080";

#[derive(Debug, Args)]
pub(crate) struct RouterArgs {
    #[command(subcommand)]
    pub(crate) command: RouterCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RouterCommand {
    /// Runs router workers and a controller, and answers what the other commands ask. Of several controllers one leads. The same as
    /// `golden run --role router`
    Run(Box<RunArgs>),
    /// Shows both colours, what is live, what each partition forwards, and the newest flips
    Status {
        #[command(flatten)]
        at: At,
        /// Shows it again every few seconds, until it is stopped
        #[arg(long, conflicts_with = "json")]
        watch: bool,
    },
    /// Forwards another colour, if it is fit; exit code 1 or 2 when it is refused
    Flip {
        /// Which colour is to be live [default: the other one]
        #[arg(long, value_name = "COLOUR")]
        to: Option<String>,
        #[command(flatten)]
        order: OrderArgs,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        at: At,
    },
    /// Forwards again what was forwarded before the last flip
    Rollback {
        #[command(flatten)]
        order: OrderArgs,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        at: At,
    },
    /// Leaves flips to people from now on
    Hold {
        /// Ends that
        #[arg(long)]
        release: bool,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        at: At,
    },
    /// Shows what is proved of a flip
    Receipt {
        /// Number of the flip, or of a refusal as `status` names it
        #[arg(value_name = "ID")]
        id: String,
        /// Recomputes it from the public topic and compares; exit code 1 on any difference
        #[arg(long)]
        verify: bool,
        #[command(flatten)]
        at: At,
    },
    /// Shows everything that was ordered or refused, by whom and why; exit code 1 when somebody has changed that record
    Log {
        #[command(flatten)]
        at: At,
    },
    /// Shows which series and windows differ between both colours; exit code 1 when any does
    Diff {
        /// How many windows, the newest ones
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=60))]
        windows: u16,
        #[command(flatten)]
        at: At,
    },
}

/// Where the router is.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// Settings file; with `log.kafka` in it the topics are looked at directly
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// URL of a running `golden run` with the role `router` [default without Kafka: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Accepts a Kafka cluster of one broker: for trying out
    #[arg(long)]
    dev: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Who asks, and why: both stand in the control log.
#[derive(Debug, Args)]
pub(crate) struct Who {
    /// Who asks
    #[arg(long, value_name = "NAME", env = "USER", default_value = "operator", hide_env_values = true)]
    by: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "asked for on the command line")]
    reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// Only says what would happen, and every precondition
    #[arg(long)]
    dry_run: bool,
    /// Flips although windows differ between both
    #[arg(long)]
    accept_difference: bool,
}

/// Where answers come from.
enum Source {
    Running(Server),
    Topics { door: Box<Door>, clock: SystemClock, settings: Box<Settings> },
}

pub(crate) fn router(args: &RouterArgs) -> Outcome {
    match &args.command {
        RouterCommand::Run(args) => {
            let mut args = (**args).clone();
            args.role = vec![crate::commands::Role::Router];
            crate::run::run(&args)
        }
        RouterCommand::Status { at, watch } => status(at, *watch),
        RouterCommand::Flip { to, order, who, at } => {
            let wanted = RouterOrder::Flip { to: to.clone(), accept_difference: order.accept_difference };
            ask(at, who, order.dry_run, wanted)
        }
        RouterCommand::Rollback { order, who, at } => {
            ask(at, who, order.dry_run, RouterOrder::Rollback { accept_difference: order.accept_difference })
        }
        RouterCommand::Hold { release, who, at } => ask(at, who, false, RouterOrder::Hold { hold: !release }),
        RouterCommand::Receipt { id, verify, at } => receipt(at, id, *verify),
        RouterCommand::Log { at } => log(at),
        RouterCommand::Diff { windows, at } => diff(at, *windows),
    }
}

impl Source {
    fn open(at: &At) -> Result<Self, Failure> {
        if let Some(url) = &at.server {
            return Ok(Self::Running(Server::at(url)));
        }
        let mut settings = settings::load(at.config.as_deref())?.settings;
        if let Some(kafka) = &mut settings.log.kafka {
            kafka.dev |= at.dev;
        }
        let clock = SystemClock::new();
        let shared: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let Some(kafka) = engine::kafka(&settings, &shared)? else {
            return Ok(Self::Running(Server::at(SERVER)));
        };
        let log = Arc::new(kafka.impatient(PATIENCE));
        let door = Box::new(Door::new(Controller::new(log, settings_of(&settings), Arc::new(Unasked), "", false)));
        let source = Self::Topics { door, clock, settings: Box::new(settings) };
        source.look()?;
        Ok(source)
    }

    /// Takes a probe, where nobody else does.
    fn look(&self) -> Outcome {
        match self {
            Self::Running(_) => Ok(()),
            Self::Topics { door, clock, .. } => door.look(clock.monotonic()).map_err(Failure::missing),
        }
    }

    /// Takes probes until a judgement is possible, where nobody else did.
    fn watch(&self) -> Outcome {
        let Self::Topics { settings, .. } = self else { return Ok(()) };
        // As many as show a failure, and two of them so far apart that a lag can be seen. Whether a standby has failed until just now
        // (`recovered`) only a controller sees that has run for longer: who flips without one is in a hurry.
        let RouterSettings { probe: Span(probe), lag: Span(lag), failed, .. } = settings.router;
        let probes = failed.max(lag.as_nanos().div_ceil(probe.as_nanos()) as usize + 1);
        eprintln!("watching both deployments for {} s", probe.as_secs_f64() * probes as f64);
        for _ in 0..probes {
            std::thread::park_timeout(probe);
            self.look()?;
        }
        Ok(())
    }

    fn status(&self) -> Result<Value, Failure> {
        match self {
            Self::Running(server) => server.get("/api/v1/router"),
            Self::Topics { door, .. } => door.status().map_err(failure),
        }
    }
}

fn failure(error: RouterError) -> Failure {
    match error {
        RouterError::Bad(detail) | RouterError::Unknown(detail) => Failure::usage(detail),
        RouterError::Refused(detail) => Failure::failed(format!("refused, and nothing changed: {detail}")),
        RouterError::Away(detail) => Failure::missing(detail),
    }
}

fn print(value: &Value) {
    println!("{value:#}");
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure::missing(format!("the answer is of another version: {error}")))
}

fn status(at: &At, watch: bool) -> Outcome {
    let source = Source::open(at)?;
    if at.json {
        print(&source.status()?);
        return Ok(());
    }
    loop {
        let text = show::status(&read::<Status>(source.status()?)?);
        if !watch {
            print!("{text}");
            return Ok(());
        }
        // Clears the screen.
        println!("\x1b[H\x1b[2J{text}\nEvery 2 s; stop with Ctrl-C.");
        std::thread::park_timeout(Duration::from_secs(2));
        source.look()?;
    }
}

fn ask(at: &At, who: &Who, dry_run: bool, order: RouterOrder) -> Outcome {
    let source = Source::open(at)?;
    let Who { by, reason } = who;
    let value = match &source {
        Source::Running(server) => {
            let (path, mut body) = match &order {
                RouterOrder::Flip { to, accept_difference } => ("flip", json!({ "to": to, "accept_difference": accept_difference })),
                RouterOrder::Rollback { accept_difference } => ("rollback", json!({ "accept_difference": accept_difference })),
                RouterOrder::Hold { hold } => ("hold", json!({ "hold": hold })),
            };
            if let Some(body) = body.as_object_mut() {
                body.extend([("by".to_owned(), json!(by)), ("reason".to_owned(), json!(reason))]);
                if path != "hold" {
                    body.insert("dry_run".to_owned(), json!(dry_run));
                }
            }
            server.post(&format!("/api/v1/router/{path}"), &body)?
        }
        Source::Topics { door, .. } => {
            if !matches!(order, RouterOrder::Hold { .. }) {
                source.watch()?;
            }
            door.ask(&RouterRequest { by: by.clone(), reason: reason.clone(), dry_run, order }).map_err(failure)?
        }
    };
    let answer: Answer = read(value.clone())?;
    if at.json {
        print(&value);
    } else {
        print!("{}", show::answer(&answer, dry_run));
    }
    if answer.granted { Ok(()) } else { Err(Failure::failed("it would be refused")) }
}

fn receipt(at: &At, id: &str, verify: bool) -> Outcome {
    let source = Source::open(at)?;
    let encoded = golden_overrides::path::encode(id);
    let value: Value = match &source {
        Source::Running(server) => server.get(&format!("/api/v1/router/receipts/{encoded}?verify={verify}"))?,
        Source::Topics { door, .. } => door.receipt(id, verify).map_err(failure)?,
    };
    if at.json {
        print(&value);
    } else {
        print!("{}", show::receipt(&value));
    }
    let differs =
        value.get("verified").and_then(Value::as_array).is_some_and(|lines| lines.iter().any(|line| line.get("said") != line.get("found")));
    if differs {
        return Err(Failure::failed("the public topic says something else than the receipt"));
    }
    if value.get("clean") == Some(&Value::Bool(false)) { Err(Failure::failed("the receipt is not clean")) } else { Ok(()) }
}

fn log(at: &At) -> Outcome {
    let value: Value = match &Source::open(at)? {
        Source::Running(server) => server.get("/api/v1/router/log")?,
        Source::Topics { door, .. } => door.log().map_err(failure)?,
    };
    let audit: Audit = read(value.clone())?;
    if at.json {
        print(&value);
    } else {
        print!("{}", show::log(&audit));
    }
    match audit.broken {
        None => Ok(()),
        Some(offset) => Err(Failure::failed(format!(
            "the order at offset {offset} was given upon others than stand before it: somebody has written past the router, or changed the log"
        ))),
    }
}

fn diff(at: &At, windows: u16) -> Outcome {
    let source = Source::open(at)?;
    let value: Value = match &source {
        Source::Running(server) => server.get(&format!("/api/v1/router/diff?limit={windows}"))?,
        Source::Topics { door, .. } => door.diff(usize::from(windows)).map_err(failure)?,
    };
    let found: Diff = read(value.clone())?;
    if at.json {
        print(&value);
    } else {
        print!("{}", show::diff(&found));
    }
    if found.different == 0 { Ok(()) } else { Err(Failure::failed("both deployments differ")) }
}
