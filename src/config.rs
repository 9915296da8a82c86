//! `golden config check|show`.

use crate::commands::{ConfigArgs, ConfigCommand};
use crate::failure::Outcome;
use crate::settings;

pub(crate) fn config(args: &ConfigArgs) -> Outcome {
    match &args.command {
        ConfigCommand::Check(args) => {
            let loaded = settings::load(args.config.as_deref())?;
            crate::run::mapping(&loaded.settings)?;
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
