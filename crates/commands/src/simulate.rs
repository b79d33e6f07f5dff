//! `vitral simulate`: synthetic events to Kafka or a file.

use std::fs::File;
use std::io::{BufWriter, ErrorKind};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use vitral_config::Config;
use vitral_connect_kafka::EventProducer;
use vitral_simulator::ecommerce::{Simulator, SimulatorConfig, TOPIC};
use vitral_simulator::{Pace, play, write_lines};

use crate::instant::instant;

/// Which events, and where they go.
#[derive(Debug, Args)]
pub struct Flags {
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Event time of the first event, RFC 3339. Without it, events are of now and are sent at their pace.
    #[arg(long, value_name = "T", value_parser = instant)]
    start: Option<DateTime<Utc>>,
    /// How many messages.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    count: usize,
    /// Mean events per second of event time.
    #[arg(long, value_name = "N", default_value_t = 200.0)]
    rate: f64,
    /// Messages sent to Kafka a second, however far apart their event times are (default: as fast as it goes).
    #[arg(long, value_name = "N")]
    pace: Option<f64>,
    /// `kafka`, or a file that gets one message a line; `-` is standard output.
    #[arg(long, value_name = "kafka|FILE", default_value = "kafka")]
    to: String,
    /// The topic, when sending to Kafka.
    #[arg(long, default_value = TOPIC)]
    topic: String,
    /// How many products and users there are.
    #[arg(long, default_value_t = 2_000)]
    products: u32,
    #[arg(long, default_value_t = 20_000)]
    users: u32,
}

/// Makes events and sends or writes them.
pub fn run(config: Config, flags: &Flags) -> anyhow::Result<()> {
    ensure!(flags.rate > 0.0, "--rate must be above 0");
    ensure!(flags.pace.is_none_or(|pace| pace > 0.0), "--pace must be above 0");
    let start_ms = flags.start.unwrap_or_else(Utc::now).timestamp_millis();
    let simulator = Simulator::new(SimulatorConfig {
        seed: flags.seed,
        start_ms,
        rate: flags.rate,
        rhythm: flags.start.is_some(),
        products: flags.products,
        users: flags.users,
        zone: config.settings()?.time_zone,
        ..SimulatorConfig::default()
    });
    let messages = simulator.take(flags.count);
    if flags.to == "-" {
        let mut out = BufWriter::new(std::io::stdout().lock());
        return match write_lines(messages, &mut out) {
            // The reader has seen enough, as `head` has.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.context("standard output cannot be written to"),
        };
    }
    if flags.to != "kafka" {
        let failed = || format!("{} cannot be written", flags.to);
        let mut file = BufWriter::new(File::create(&flags.to).with_context(failed)?);
        return write_lines(messages, &mut file).with_context(failed);
    }
    let pace = match flags.pace {
        Some(rate) => Pace::PerSecond(rate),
        None if flags.start.is_none() => Pace::EventTime { start_ms },
        None => Pace::Unlimited,
    };
    let producer = EventProducer::new(&config.kafka()?, &flags.topic)?;
    let began = Instant::now();
    play(messages, pace, &AtomicBool::new(false), |message| producer.send(&message.key, &message.payload))?;
    producer.flush(Duration::from_secs(60))?;
    let (delivered, undelivered) = (producer.delivered(), producer.undelivered());
    vitral_process::output::answer(&format!(
        "{delivered} delivered, {undelivered} not, in {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    ensure!(undelivered == 0, "the broker did not take {undelivered} messages");
    Ok(())
}
