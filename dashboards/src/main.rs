//! Writes the files of dashboards, rules and alerts below `dashboards/`, or below the folder that it is given; a number behind it says how many times
//! shorter than a minute the pipeline's windows are.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let folder = args.next().map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let times = args.next().and_then(|times| times.to_str()?.parse().ok()).unwrap_or(1);
    let files = if times == 1 { golden_dashboards::files() } else { golden_dashboards::rules_for(times) };
    for (path, content) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
    }
    Ok(())
}
