//! `golden run`: the service in one process. Opens the data folder, starts the pipeline and HTTP, waits for a signal, stops in order.

mod broker;
mod colours;
mod controller;
mod demo;
mod described;
mod health;
mod outputs;
mod router;
mod story;
mod vitals;

use crate::commands::{Role, RunArgs};
use crate::engine::{self, Engine};
use crate::fail_point;
use crate::failure::{Failure, Outcome};
use crate::settings::{self, HistorySettings, Settings, cores};
use crate::sources::{self, Inlet};
use colours::{Lookout, Standing};
use controller::Controller;
use golden_overrides::archive::sha256;
use golden_pipeline::decode;
use golden_pipeline::emit::scrape::{self, Scrape, Scrapes};
use golden_pipeline::fold::TimeMode;
use golden_pipeline::history::{self, History, HistoryStage, Retention};
use golden_pipeline::names::{PIPELINE, Topics, part_of};
use golden_pipeline::overrides::board::Board;
use golden_pipeline::overrides::rules::Rules;
use golden_pipeline::settings::{Checked, Span};
use golden_pipeline::tally::Tally;
use golden_pipeline::topology::{self, Deployment, SourceTopic};
use golden_router::control::OrdersFeed;
use golden_router::deployment::Colour;
use golden_router::orders::Start;
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::pipeline::{Kind, Stage};
use platform_core::record::Topic;
use platform_core::time::{SECOND, nanos};
use platform_kafka::log::Kafka;
use platform_runtime::clock::SystemClock;
use platform_runtime::metrics::install_metrics;
use platform_runtime::runtime::{Runtime, STOP_DEADLINE, Watch};
use platform_runtime::task::RuntimeSettings;
use platform_runtime::traces::{TraceSettings, init_tracing};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use vitals::{Computed, RunVitals};

/// How often the program looks whether a task has failed.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &RunArgs) -> Outcome {
    let settings = settings::load(args.settings.config.as_deref())?.settings;
    let rules_of_demo = args.demo && settings.overrides.from.is_none();
    let mut settings = with_flags(settings, args);
    let checked = settings.pipeline.check().map_err(Failure::usage)?;
    let traces = TraceSettings {
        filter: settings.traces.filter.clone(),
        json: settings.traces.json,
        otlp_endpoint: settings.traces.endpoint.clone(),
        service_name: "golden-signals".to_owned(),
    };
    let _traces = init_tracing(&traces).map_err(Failure::usage)?;
    let metrics = install_metrics(&[]).map_err(Failure::failed)?;
    described::describe();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Taken first: a port in use is said before anything is opened or written.
    let listener = listen(settings.http.listen)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    if args.flip && settings.router.health.is_empty() {
        // As in a cluster, where each colour has processes of its own.
        settings.router.health = Colour::ALL.map(|colour| (colour, vec![format!("http://{address}")])).into();
    }
    // Dropped last, when nothing is open in the folder any more.
    let _temporary = (args.demo && args.data.is_none()).then(|| Temporary(settings.data.clone()));
    let _broker = args.kafka.then(|| broker::Broker::start(&mut settings)).transpose()?;
    let topics = engine::topics(&settings, Colour::Blue);
    // Checked before anything is opened; they call nobody before there is something to send.
    let outputs = outputs::of(&settings, &checked, &topics.public, &clock)?;
    let (copies, asking) = outputs::avro::of(&settings, &topics)?.unzip();
    let kafka = engine::kafka(&settings, &clock)?;
    if let Some(kafka) = kafka.as_ref().filter(|_| args.kafka) {
        let plan = kafka.plan(&engine::needed(&settings)).map_err(Failure::missing)?;
        kafka.apply(&plan).map_err(Failure::missing)?;
    }
    let inlets = sources::inlets(&settings, kafka.as_ref())?;
    let bare = inlets.iter().filter(|inlet| !inlet.looks_at_headers()).map(|inlet| inlet.topic.clone()).collect();
    let kafka = kafka.map(|kafka| kafka.without_headers(bare));
    let lobby = kafka.clone().map(|kafka| Lobby::open(&listener, kafka)).transpose()?;
    let armed = settings::fail_point();
    let moments = armed.as_deref().map(fail_point::arm).transpose()?.unwrap_or_default();
    if let Some(kafka) = &kafka {
        fail_point::watch(kafka, &moments);
    }
    let engine = Engine::open(&settings, kafka, args.accept_loss, &clock)?;
    if let Some(to) = settings.overrides.from.as_ref().filter(|_| rules_of_demo) {
        // Behind the opening: a folder with anything in it is not taken for a new one.
        demo::publish_rules(Path::new(to), &*clock)?;
    }
    let log = engine.log();
    let scrapes = Arc::new(Scrapes::default());
    // As far back as partials can be read again.
    let reach = nanos(checked.plain.retain.0) * 2 + 3600 * SECOND;
    // Tasks go on for a while without the control log, so nobody waits for it as long as it takes.
    let rules = Rules::of_log(engine.log_of_requests(), &topics.control, checked.window, reach);
    let computes = has(&args.role, Role::Fold) || has(&args.role, Role::Close);
    let asked: &[Colour] = if args.flip { &Colour::ALL } else { &args.colour };
    let mut colours: Vec<Colour> = asked.iter().copied().filter(|_| computes).collect();
    colours.sort_unstable();
    colours.dedup();
    let mut place = engine.place();
    place.moments = moments.clone();
    let instance = place.instance.clone();
    let begins = colours::Parts {
        log: Arc::clone(&log),
        pipeline: PIPELINE,
        control: &topics.control,
        sources: inlets.iter().map(|inlet| inlet.topic.clone()).collect(),
        partials: &|colour| engine::topics(&settings, colour).partials,
        clock: &*clock,
        window: checked.window,
        retain: nanos(checked.plain.retain.0),
        skew: checked.verdicts.skew,
        version: &version(&settings)?,
        fresh: args.fresh,
        by: ["golden run", &place.instance].join(" ").trim_end().to_owned(),
    };
    let starts = colours.into_iter().map(|colour| colours::join_or_begin(&begins, colour)).collect::<Result<Vec<_>, _>>()?;
    // The demo's release may end without this program: its end is part of the story.
    let is_release = |start: &&Start| args.flip && start.deployment.colour == story::RELEASE;
    let mistake = story::Mistake::default();
    let mut pipelines = Vec::new();
    let mut computed = Vec::new();
    for start in &starts {
        let of = engine::topics(&settings, start.deployment.colour);
        let tally = Arc::new(Tally::default());
        let mut made = deployment(&settings, &checked, start, &of, &inlets, &rules, &tally, &*log)?;
        if is_release(&start) {
            made.sources.iter_mut().for_each(|source| source.decoder = mistake.within(&source.decoder));
        }
        pipelines.push(topology::part(made));
        computed.push(Computed { deployment: start.deployment, tally, partials: of.partials });
    }
    described::start_at_zero(&pipelines.iter().map(|pipeline| pipeline.name.clone()).collect::<Vec<_>>());
    let feed = OrdersFeed::of_log(Arc::clone(&log), &topics.control);
    let name = crate::router::name_of_process(&instance);
    let router = crate::router::stage(&Colour::ALL, feed, nanos(checked.plain.retain.0) * 2, name);
    let (pushing, outputs): (Vec<_>, Vec<_>) = outputs.into_iter().unzip();
    let sinks = sinks(&topics, &checked, &settings, &scrapes).into_iter().chain(pushing).chain(copies);
    pipelines.push(topology::shared(router, sinks.collect()));
    // Who answers people says how far everybody is. Others have no right to ask for the groups of all others.
    let of_all = has(&args.role, Role::Api).then(|| vitals::readers(&pipelines, &place, &*log));
    pipelines.iter_mut().for_each(|pipeline| pipeline.stages.retain(|stage| has(&args.role, role_of(&stage.name))));
    let readers = of_all.unwrap_or_else(|| vitals::readers(&pipelines, &place, &*log));
    let own = starts.iter().filter(|start| !is_release(start)).map(|start| start.deployment).collect();
    let lookout = Lookout::start(engine.log_of_requests(), &topics.control, own).map_err(Failure::failed)?;
    let standing = lookout.standing();
    let stores = engine.stores();
    let runtime = RuntimeSettings {
        commit_interval: settings.runtime.commit_interval.0,
        held_budget: 64 << 20,
        emit_budget: settings.runtime.emit_kib << 10,
        ..RuntimeSettings::default()
    };
    let start = |pipelines, place| {
        let (log, stores, clock) = (Arc::clone(&log), Arc::clone(&stores) as _, Arc::clone(&clock));
        Runtime::start(pipelines, log, stores, clock, runtime, place).map_err(Failure::failed)
    };
    let part = |start: &Start| part_of(start.deployment.colour.name(), start.deployment.epoch);
    let release: Vec<String> = starts.iter().filter(is_release).map(part).collect();
    let (apart, pipelines): (Vec<_>, Vec<_>) = pipelines.into_iter().partition(|pipeline| release.contains(&pipeline.name));
    let release = args.flip.then(|| start(apart, place.clone())).transpose()?;
    let mut running = start(pipelines, place)?;
    let senders = outputs.into_iter().filter(|_| has(&args.role, Role::Sink)).map(outputs::Output::start);
    let senders = senders.collect::<Result<Vec<_>, _>>()?;
    let asked = asking.flatten().filter(|_| has(&args.role, Role::Sink)).map(outputs::avro::Asking::start).transpose()?;
    let open_history = || History::open(&*stores, settings.log.partitions, settings.log.partitions).map_err(Failure::failed);
    let history = open_history()?;
    let watch = running.watch().clone();
    let board = Arc::new(Board::default());
    let controlled = controller::Parts {
        log: Arc::clone(&log),
        topic: topics.control.clone(),
        rules,
        board: Arc::clone(&board),
        clock: Arc::clone(&clock),
        lead: nanos(checked.plain.lead.0),
    };
    let polls = has(&args.role, Role::Control).then_some(&settings.overrides);
    let controller = Controller::start(controlled, polls)?;
    let routes = has(&args.role, Role::Router);
    let ordered = match &armed {
        Some(_) => fail_point::watched(engine.log_of_requests(), moments),
        None => engine.log_of_requests(),
    };
    let router = routes.then(|| router::Router::start(ordered, &settings, &instance, Arc::clone(&clock))).transpose()?;
    let shared = RunVitals {
        watch: watch.clone(),
        log: engine.log_of_requests(),
        gauge: engine.gauge(),
        readers,
        metrics,
        scrapes,
        computed,
        standing: Arc::clone(&standing),
        clock: Arc::clone(&clock),
        settings: settings.metrics.clone(),
        history: open_history()?,
        board: Arc::clone(&board),
        levels: Mutex::default(),
    };
    let wanted = checked.groupings.wanted(true);
    let for_edge = inlets.first().map(|inlet| Arc::clone(&inlet.source)).unwrap_or_else(|| unreachable!("there is always the own topic"));
    let parts = golden_http::Parts {
        log: engine.log_of_requests(),
        topics,
        history,
        board,
        settings: checked.clone(),
        clock: Arc::clone(&clock),
        decoders: Box::new(move |format| decode::decoder(&for_edge.as_format(format), &wanted)),
        vitals: Arc::new(shared),
        router: router.as_ref().map(|router| router.door() as _),
        limits: golden_http::Limits::default(),
        retention: retention(&settings, &checked),
        page: golden_http::Page {
            trace_link: settings.page.trace_link.clone(),
            grafana: settings.page.grafana.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            demo: args.demo,
        },
    };
    let state = golden_http::AppState::new(parts).map_err(Failure::failed)?;
    drop(lobby);
    let doors = golden_http::Doors { ingest: has(&args.role, Role::Ingest), api: has(&args.role, Role::Api), router: routes };
    announce(address, doors, args, &settings, &starts);
    let demo = args.demo.then(|| demo::Feed::start(address, Arc::clone(&clock))).transpose().map_err(Failure::failed)?;
    let story = router.as_ref().zip(release);
    let story = story.map(|(router, green)| story::Story::start(router.door(), green, mistake, Arc::clone(&clock)));
    let story = story.transpose().map_err(Failure::failed)?;
    let served = serve(listener, golden_http::router(state, doors), watch, Arc::clone(&standing));
    drop(demo);
    drop(story);
    // A question to a broker that is away takes seconds to end.
    engine.close_after(STOP_DEADLINE * 2 / 5).map_err(Failure::failed)?;
    drop(senders);
    drop(asked);
    drop(controller);
    drop(router);
    drop(lookout);
    let stopped = running.stop(STOP_DEADLINE);
    if let Some(failure) = running.watch().failure() {
        return Err(Failure::failed(format!("{failure}. What was acknowledged is safe: start again, and it goes on from there")));
    }
    served?;
    if let Some(ended) = standing.ended() {
        return Err(Failure::failed(ended));
    }
    stopped.map_err(Failure::failed)
}

/// Whether outputs can be made as they are set, with the secrets that they name.
pub(crate) fn check_outputs(settings: &Settings) -> Outcome {
    let checked = settings.pipeline.check().map_err(Failure::usage)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let topics = engine::topics(settings, Colour::Blue);
    outputs::of(settings, &checked, &topics.public, &clock)?;
    outputs::avro::of(settings, &topics).map(drop)
}

/// Version of the program, and a hash of all settings that results depend on, with the mapping files that they name.
fn version(settings: &Settings) -> Result<String, Failure> {
    let of = |path: &PathBuf| std::fs::read(path).map_err(|e| Failure::usage(format!("cannot read mapping file {}: {e}", path.display())));
    let mappings = settings.mapping.iter().chain(settings.log.sources.iter().filter_map(|source| source.mapping.as_ref()));
    let mappings = mappings.map(of).collect::<Result<Vec<_>, _>>()?;
    let sources: Vec<_> = settings.log.sources.iter().map(|source| (&source.topic, &source.format, source.mapping.is_some())).collect();
    let decides = (&settings.pipeline, settings.log.partitions, &settings.log.source.topic, sources, mappings);
    let text = serde_json::to_vec(&decides).map_err(Failure::failed)?;
    let hash: String = sha256(&text).chars().take(8).collect();
    Ok(format!("{}+{hash}", env!("CARGO_PKG_VERSION")))
}

/// Whether this process has a role; without any named it has all.
fn has(roles: &[Role], role: Role) -> bool {
    roles.is_empty() || roles.contains(&role)
}

fn role_of(stage: &str) -> Role {
    match stage {
        "fold" => Role::Fold,
        "close" => Role::Close,
        "router" => Role::Router,
        history::SIGNALS_STAGE | history::LATE_STAGE => Role::Api,
        _ => Role::Sink,
    }
}

/// Answers probes while the log is waited for, until it is dropped.
struct Lobby {
    leave: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Lobby {
    fn open(listener: &std::net::TcpListener, kafka: Kafka) -> Result<Self, Failure> {
        let listener = listener.try_clone().map_err(Failure::failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
        let (leave, left) = tokio::sync::oneshot::channel();
        let why = move || kafka.trouble().unwrap_or_else(|| "starting".to_owned());
        let serve = async move {
            let served = async {
                let listener = TcpListener::from_std(listener)?;
                let shutdown = async { drop(left.await) };
                golden_http::serve(listener, golden_http::lobby(why), shutdown).await
            };
            if let Err(error) = served.await {
                tracing::warn!(%error, "probes are not answered while the log is waited for");
            }
        };
        let thread = std::thread::Builder::new().name("lobby".to_owned()).spawn(move || runtime.block_on(serve));
        Ok(Self { leave: Some(leave), thread: Some(thread.map_err(Failure::failed)?) })
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        drop(self.leave.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the lobby ended by a panic");
        }
    }
}

/// A folder that goes with the process.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "the demo's folder could not be removed");
        }
    }
}

/// Groupings that the demo has beside the default ones.
const DEMO_GROUPINGS: [(&str, &[&str]); 3] =
    [("service_host", &["svc_host"]), ("service_place", &["swimlane", "region"]), ("service_region", &["region"])];

/// Flags win over settings; the demo has windows of 10 s and a folder of its own.
fn with_flags(mut settings: Settings, args: &RunArgs) -> Settings {
    let seconds = |s| Span(Duration::from_secs(s));
    if args.demo {
        // The scenario is out of order by two seconds at most: a short bound shows signals soon.
        (settings.pipeline.window, settings.pipeline.bound) = (seconds(10), seconds(3));
        // Nor is it ahead, so decisions may count soon.
        (settings.pipeline.skew, settings.pipeline.lead) = (seconds(5), seconds(10));
        settings.runtime.commit_interval = Span(Duration::from_millis(500));
        if settings.pipeline.groupings == Settings::default().pipeline.groupings {
            // Places and hosts as well, so that no panel of the boards is empty.
            settings
                .pipeline
                .groupings
                .extend(DEMO_GROUPINGS.map(|(name, of)| (name.to_owned(), of.iter().map(|s| (*s).to_owned()).collect())));
        }
        if args.data.is_none() {
            settings.data = std::env::temp_dir().join(format!("golden-demo-{}", std::process::id()));
        }
    }
    if args.flip {
        // The story fits three minutes: judged by fewer and quicker probes than a cluster would be.
        let router = &mut settings.router;
        (router.probe, router.failed, router.of, router.recovered) = (seconds(2), 3, 3, 3);
        (router.warm, router.windows, router.between) = (seconds(10), 2, seconds(5));
    }
    if let Some(data) = &args.data {
        settings.data.clone_from(data);
    }
    if args.demo && settings.overrides.from.is_none() {
        // A folder to try rules with; what is published counts within half a minute.
        settings.overrides.from = Some(settings.data.join("bundles").display().to_string());
        settings.overrides.poll = seconds(1);
    }
    if let Some(listen) = args.listen {
        settings.http.listen = listen;
    }
    if let Some(kafka) = &mut settings.log.kafka {
        kafka.dev |= args.dev;
    }
    settings
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Failure> {
    let busy = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            Failure::usage(format!("address {address} is in use: stop what listens there, or choose another with --listen"))
        }
        _ => Failure::usage(format!("cannot listen on {address}: {e}")),
    };
    let listener = std::net::TcpListener::bind(address).map_err(busy)?;
    listener.set_nonblocking(true).map_err(Failure::failed)?;
    Ok(listener)
}

#[expect(clippy::too_many_arguments, reason = "all that a deployment is made of comes together here, once")]
fn deployment(
    settings: &Settings,
    checked: &Checked,
    start: &Start,
    topics: &Topics,
    inlets: &[Inlet],
    rules: &Arc<Rules>,
    tally: &Arc<Tally>,
    log: &dyn Log,
) -> Result<Deployment, Failure> {
    let source = |inlet: &Inlet| {
        let partitions = log.partitions(&inlet.topic).map_err(Failure::missing)?;
        let name = inlet.source.name.clone();
        Ok(SourceTopic { topic: inlet.topic.clone(), name, partitions, decoder: inlet.decoders() })
    };
    let sources = inlets.iter().map(source).collect::<Result<Vec<_>, Failure>>()?;
    let partitions = settings.log.partitions;
    let fold_tasks = match settings.runtime.fold_tasks {
        0 => cores().min(sources.iter().map(|source| source.partitions as usize).sum()),
        n => n,
    };
    Ok(Deployment {
        colour: start.deployment.colour.name(),
        epoch: start.deployment.epoch,
        owned_from: start.owned_from,
        starts: colours::positions(start),
        settings: checked.clone(),
        topics: topics.clone(),
        sources,
        tenant: "default".to_owned(),
        partitions,
        time: TimeMode::Live,
        health_of_all: false,
        fold_tasks,
        close_tasks: settings.runtime.close_tasks,
        rules: Arc::clone(rules),
        tally: Arc::clone(tally),
    })
}

/// How long the history keeps what, and most bytes of all partitions.
fn retention(settings: &Settings, checked: &Checked) -> Retention {
    let HistorySettings { retention, ten_minutes, hours, max_mib } = settings.history;
    Retention {
        windows: nanos(retention.0),
        ten_minutes: nanos(ten_minutes.0),
        hours: nanos(hours.0),
        bytes: max_mib.saturating_mul(1 << 20),
        settle: nanos(checked.plain.retain.0),
    }
}

/// What one of so many partitions may keep: an equal share of the bytes, so that all of them together stay within the bound.
fn share(all: Retention, partitions: u32) -> Retention {
    Retention { bytes: all.bytes / u64::from(partitions.max(1)), ..all }
}

fn sinks(topics: &Topics, checked: &Checked, settings: &Settings, scrapes: &Arc<Scrapes>) -> Vec<Stage> {
    let kept = share(retention(settings, checked), settings.log.partitions);
    let (remember, ttl) = (nanos(checked.plain.retain.0) * 2, checked.series_ttl);
    // A service may live on long after its last line of the late ledger, and its counter must not fall meanwhile.
    let late_ttl = nanos(settings.log.public_retention.0).max(ttl);
    let (of_signals, of_late) = (Arc::clone(scrapes), Arc::clone(scrapes));
    let sink =
        |name: &str, reads: &Topic, kind| Stage { name: name.to_owned(), reads: vec![reads.clone()], writes: vec![], tasks: 1, kind };
    vec![
        sink(
            history::SIGNALS_STAGE,
            &topics.public,
            Kind::Keyed(Box::new(move |_| Box::new(HistoryStage::signals(kept))), history::FORMAT),
        ),
        sink(
            history::LATE_STAGE,
            &topics.late,
            Kind::Keyed(Box::new(move |_| Box::new(HistoryStage::late(kept.windows))), history::FORMAT),
        ),
        sink(
            "scrape",
            &topics.public,
            Kind::Keyed(Box::new(move |p| Box::new(Scrape::signals(&of_signals, p, remember, ttl))), scrape::FORMAT),
        ),
        sink(
            "scrape-late",
            &topics.late,
            Kind::Keyed(Box::new(move |p| Box::new(Scrape::late(&of_late, p, remember, late_ttl))), scrape::FORMAT),
        ),
    ]
}

/// What a person needs to know first.
fn announce(address: SocketAddr, doors: golden_http::Doors, args: &RunArgs, settings: &Settings, starts: &[Start]) {
    eprintln!("golden-signals {} is running", env!("CARGO_PKG_VERSION"));
    let links = [
        ("services", "/", doors.api),
        ("router", "/api/v1/router", doors.router && !doors.api),
        ("API", "/api/docs", true),
        ("metrics", "/metrics", true),
        ("send events to", "/api/v1/events", doors.ingest),
    ];
    for (what, path, _) in links.into_iter().filter(|(.., there)| *there) {
        eprintln!("  {what:15} http://{address}{path}");
    }
    eprintln!("  {:15} {}", "data", settings.data.display());
    for start in starts {
        eprintln!("  {:15} {}, version {}", "deployment", start.deployment, start.version);
    }
    if let Some(kafka) = &settings.log.kafka {
        eprintln!("  {:15} {}, topic {}", "Kafka", kafka.bootstrap, settings.log.source.topic);
    }
    if let Some(from) = &settings.overrides.from {
        eprintln!("  {:15} golden overrides publish DIR --to {from}", "rules of teams");
    }
    if args.demo {
        eprintln!("\nThe demo shop is being fed; its first signals show within 20 seconds. Incidents of each cycle:");
        demo::print_timetable();
        if args.flip {
            eprintln!("\nA release happens meanwhile, and fails:");
        }
    }
    eprintln!("\nStop with Ctrl-C.");
}

/// Serves until a signal comes, a task fails, or a deployment of this process has ended.
fn serve(listener: std::net::TcpListener, router: golden_http::Router, watch: Watch, standing: Arc<Standing>) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(cores().clamp(2, 8)).enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).map_err(Failure::failed)?;
        let shutdown = async move {
            let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(signal) => signal,
                Err(error) => return tracing::error!(%error, "signals cannot be taken"),
            };
            let mut look = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => return,
                    _ = terminate.recv() => return,
                    _ = look.tick() => {
                        if watch.failure().is_some() || standing.ended().is_some() {
                            return;
                        }
                    }
                }
            }
        };
        golden_http::serve(listener, router, shutdown).await.map_err(Failure::failed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partitions_together_keep_no_more_than_the_bound() {
        let all = Retention { bytes: 20 << 30, ..Retention::default() };
        for partitions in [1, 2, 7, 24, 1000] {
            let each = share(all, partitions);
            assert!(each.bytes * u64::from(partitions) <= all.bytes, "{partitions}");
            assert!(each.bytes * u64::from(partitions) > all.bytes - u64::from(partitions), "{partitions}");
            assert_eq!(Retention { bytes: all.bytes, ..each }, all, "nothing else is shared out");
        }
        assert_eq!(share(all, 0), all);
    }
}
