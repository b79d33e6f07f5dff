//! Stops and starts.

use super::world::kafka;
use crate::restart::verdicts_over_a_restart;
use crate::world::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn every_offset_gets_one_verdict_and_a_restart_goes_on() {
    let Some(kafka) = kafka() else { return };
    verdicts_over_a_restart(Shop::on(kafka, 4).await).await;
}
