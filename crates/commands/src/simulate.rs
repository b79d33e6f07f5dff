//! `vitral simulate`: synthetic events to Kafka or a file, and the stock that goes with them.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use vitral_config::Config;
use vitral_connect_kafka::EventProducer;
use vitral_simulator::ecommerce::{AllTopics, STOCK_TOPIC, SimulatorConfig, TOPIC, write_reference_csv};
use vitral_simulator::{Message, Pace, play, write_lines};

use crate::instant::instant;

/// What `--to` calls Kafka.
const KAFKA: &str = "kafka";
/// What `--stock` calls no place at all.
const NOWHERE: &str = "none";

/// Which events, and where they go.
#[derive(Debug, Args)]
pub struct Flags {
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Event time of the first event, RFC 3339. Without it, events are of now and are sent at their
    /// pace.
    #[arg(long, value_name = "T", value_parser = instant)]
    start: Option<DateTime<Utc>>,
    /// How many messages of customers.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    count: usize,
    /// Mean events per second of event time.
    #[arg(long, value_name = "N", default_value_t = 200.0)]
    rate: f64,
    /// Messages sent to Kafka a second, however far apart their event times are (default: as fast
    /// as possible).
    #[arg(long, value_name = "N")]
    pace: Option<f64>,
    /// `kafka`, or a file that gets one message a line; `-` is standard output.
    #[arg(long, value_name = "kafka|FILE", default_value = KAFKA)]
    to: String,
    /// The topic, when sending to Kafka.
    #[arg(long, default_value = TOPIC)]
    topic: String,
    /// Where stock levels go: a topic, if events go to Kafka, else a file; `none` for nowhere
    /// [default: the topic of stock levels if events go to theirs, else none]
    #[arg(long, value_name = "TOPIC|FILE|none")]
    stock: Option<String>,
    /// How many products and users there are.
    #[arg(long, default_value_t = 2_000)]
    products: u32,
    #[arg(long, default_value_t = 20_000)]
    users: u32,
    /// Also writes the reference tables that go with the events, as CSV files, into this folder.
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
}

impl Flags {
    /// Where stock levels go, if anywhere.
    fn stock(&self) -> Option<&str> {
        match self.stock.as_deref() {
            Some(NOWHERE) => None,
            None => (self.to == KAFKA && self.topic == TOPIC).then_some(STOCK_TOPIC),
            named => named,
        }
    }
}

/// Makes events and sends or writes them.
pub fn run(config: Config, flags: &Flags) -> anyhow::Result<()> {
    ensure!(flags.rate > 0.0, "--rate must be above 0");
    ensure!(flags.pace.is_none_or(|pace| pace > 0.0), "--pace must be above 0");
    let start_ms = flags.start.unwrap_or_else(Utc::now).timestamp_millis();
    let simulated = SimulatorConfig {
        seed: flags.seed,
        start_ms,
        rate: flags.rate,
        rhythm: flags.start.is_some(),
        products: flags.products,
        users: flags.users,
        zone: config.settings()?.time_zone,
        ..SimulatorConfig::default()
    };
    if let Some(dir) = &flags.reference {
        write_reference_csv(dir, &simulated).with_context(|| format!("{} cannot be written to", dir.display()))?;
    }
    let all = AllTopics::new(simulated);
    let has_stock = flags.stock().is_some();
    let messages = all.of_customers(flags.count).filter(|message| has_stock || message.topic != STOCK_TOPIC);
    if flags.to == KAFKA { send(&config, flags, messages, start_ms) } else { write(flags, messages) }
}

fn write(flags: &Flags, messages: impl Iterator<Item = Message>) -> anyhow::Result<()> {
    let create =
        |path: &str| File::create(path).map(BufWriter::new).with_context(|| format!("{path} cannot be written"));
    let mut stock = flags.stock().map(|path| Ok::<_, anyhow::Error>((path, create(path)?))).transpose()?;
    let mut failed = None;
    let events = messages.filter(|message| match &mut stock {
        Some((_, file)) if message.topic == STOCK_TOPIC => {
            let written = file.write_all(&message.payload).and_then(|()| file.write_all(b"\n"));
            failed = failed.take().or(written.err());
            false
        }
        _ => true,
    });
    if flags.to == "-" {
        let mut out = BufWriter::new(std::io::stdout().lock());
        match write_lines(events, &mut out) {
            // The reader has seen enough, as `head` has.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.context("standard output cannot be written to")?,
        }
    } else {
        write_lines(events, &mut create(&flags.to)?).with_context(|| format!("{} cannot be written", flags.to))?;
    }
    match stock {
        Some((path, mut file)) => {
            let written = failed.map_or_else(|| file.flush(), Err);
            written.with_context(|| format!("{path} cannot be written"))
        }
        None => Ok(()),
    }
}

fn send(config: &Config, flags: &Flags, messages: impl Iterator<Item = Message>, start_ms: i64) -> anyhow::Result<()> {
    let pace = match flags.pace {
        Some(rate) => Pace::PerSecond(rate),
        None if flags.start.is_none() => Pace::EventTime { start_ms },
        None => Pace::Unlimited,
    };
    let kafka = config.kafka()?;
    let events = EventProducer::new(&kafka, &flags.topic)?;
    let stock = flags.stock().map(|topic| EventProducer::new(&kafka, topic)).transpose()?;
    let began = Instant::now();
    play(messages, pace, &AtomicBool::new(false), |message| match &stock {
        Some(stock) if message.topic == STOCK_TOPIC => stock.send(&message.key, &message.payload),
        _ => events.send(&message.key, &message.payload),
    })?;
    let mut undelivered = 0;
    for (producer, what) in [(Some(&events), ""), (stock.as_ref(), " of stock")] {
        let Some(producer) = producer else { continue };
        producer.flush(Duration::from_secs(60))?;
        undelivered += producer.undelivered();
        vitral_process::output::answer(&format!(
            "{} delivered{what}, {} not, in {:.1} s",
            producer.delivered(),
            producer.undelivered(),
            began.elapsed().as_secs_f64()
        ));
    }
    ensure!(undelivered == 0, "the broker did not accept {undelivered} messages");
    Ok(())
}
