//! `golden config check|show`.

use crate::commands::{ConfigArgs, ConfigCommand};
use crate::failure::Outcome;
use crate::{engine, settings, sources};
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use std::sync::Arc;

pub(crate) fn config(args: &ConfigArgs) -> Outcome {
    match &args.command {
        ConfigCommand::Check(args) => {
            let loaded = settings::load(args.config.as_deref())?;
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let kafka = engine::kafka(&loaded.settings, &clock)?;
            sources::inlets(&loaded.settings, kafka.as_ref())?;
            crate::run::check_outputs(&loaded.settings)?;
            println!("the settings are fine");
        }
        ConfigCommand::Show(args) => {
            for line in settings::load(args.config.as_deref())?.lines()? {
                println!("{line}");
            }
        }
    }
    Ok(())
}
