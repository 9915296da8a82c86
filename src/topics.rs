//! `golden topics`: shows and makes the Kafka topics that the settings need.

use crate::commands::{TopicsAction, TopicsArgs};
use crate::engine;
use crate::failure::{Failure, Outcome};
use crate::settings;
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use std::sync::Arc;
use std::time::Duration;

/// How long brokers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn topics(args: &TopicsArgs) -> Outcome {
    let mut settings = settings::load(args.settings.config.as_deref())?.settings;
    if let Some(kafka) = &mut settings.log.kafka {
        kafka.dev |= args.dev;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let Some(kafka) = engine::kafka(&settings, &clock)? else {
        return Err(Failure::usage("log.kafka is not set: the embedded log makes its topics itself"));
    };
    let kafka = kafka.impatient(PATIENCE);
    let needed = engine::needed(&settings);
    let plan = kafka.plan(&needed).map_err(Failure::missing)?;
    for step in &plan.steps {
        println!("{step}");
    }
    for reason in plan.refused.iter().chain(&plan.awaited) {
        println!("cannot be mended here: {reason}");
    }
    if plan.is_done() {
        println!("all topics are as they must be");
        return Ok(());
    }
    match args.action {
        TopicsAction::Plan => Err(Failure::failed("topics are not as they must be; `golden topics apply` does these steps")),
        TopicsAction::Apply => {
            kafka.apply(&plan).map_err(Failure::missing)?;
            println!("{} steps done", plan.steps.len());
            if plan.refused.is_empty() && plan.awaited.is_empty() {
                Ok(())
            } else {
                Err(Failure::failed("some of it needs a person: see above"))
            }
        }
    }
}
