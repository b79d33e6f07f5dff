//! `vitral config show`: the effective configuration, secrets hidden.

use anyhow::Context;
use vitral_config::Config;

/// Prints what is in force.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let text = toml::to_string_pretty(&config.effective()?).context("the configuration cannot be written")?;
    vitral_process::output::answer(text.trim_end());
    Ok(())
}
