//! `vitral config show`: the effective configuration, secrets hidden.

use anyhow::Context;

use crate::config::Config;

pub fn run(config: &Config) -> anyhow::Result<()> {
    let text = toml::to_string_pretty(&config.effective()?).context("the configuration cannot be written")?;
    crate::output::answer(text.trim_end());
    Ok(())
}
