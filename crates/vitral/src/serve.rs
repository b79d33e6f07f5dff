//! `vitral serve`: answers alone, next to a stream.

use vitral_commands::args::Common;
use vitral_commands::serve::{self, Flags};
use vitral_config::Config;
use vitral_process::runtimes;

use crate::shutdown;
use crate::supervisor::Supervisor;

pub fn run(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<()> {
    let stop = shutdown::listen(shutdown::GRACE)?;
    runtimes::run::<anyhow::Error>(async {
        let serve::Serving { mut fronts, follower, histories, alerts, reconciliations, health } =
            serve::start(config, common, flags).await?;
        let mut supervisor = Supervisor::new(health);
        supervisor.start(follower);
        supervisor.start(histories);
        supervisor.start(alerts);
        supervisor.start(reconciliations);
        tracing::info!(api = %fronts.api.address, sql = fronts.sql.as_ref().map(|sql| sql.address.to_string()), "serving");
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            error = fronts.failed() => Err(error),
        };
        supervisor.stop().await;
        outcome.and(fronts.stop().await)
    })
}
