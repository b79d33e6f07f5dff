//! The simulator of the demo, at its pace.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Context;
use chrono::Utc;
use chrono_tz::Tz;
use vitral_catalog::Catalog;
use vitral_connect_kafka::{EventProducer, KafkaConfig};
use vitral_simulator::ecommerce::{AllTopics, STOCK_TOPIC, TOPIC, write_reference_csv};
use vitral_simulator::{Message, Pace, play};

pub use vitral_simulator::ecommerce::SimulatorConfig as Plan;

/// What is sent: events of so many a second. Nothing where the catalog lacks their topic.
pub fn plan(catalog: &Catalog, rate: f64, zone: Tz) -> Option<Plan> {
    let start_ms = Utc::now().timestamp_millis();
    let planned = Plan { start_ms, rate, rhythm: false, zone, ..Plan::default() };
    has_topic(catalog, TOPIC).then_some(planned)
}

fn has_topic(catalog: &Catalog, name: &str) -> bool {
    catalog.topics.iter().any(|topic| topic.kafka_topic == name)
}

/// Writes the tables that go with the events.
pub fn write_references(dir: &Path, planned: &Plan) -> anyhow::Result<()> {
    write_reference_csv(dir, planned).context("the reference tables cannot be written")
}

/// The simulator at its pace, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Simulation {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Simulation {
    /// From now on, with the stock where the catalog has its topic; at once done if nothing is to
    /// be sent.
    pub fn start(kafka: &KafkaConfig, plan: Plan, catalog: &Catalog) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        if plan.rate <= 0.0 {
            return Ok(Self { stop, thread: None });
        }
        // From now on: the ids of another start are others.
        let start_ms = Utc::now().timestamp_millis();
        let plan = Plan { start_ms, ..plan };
        let events = EventProducer::new(kafka, TOPIC)?;
        let stock = has_topic(catalog, STOCK_TOPIC).then(|| EventProducer::new(kafka, STOCK_TOPIC)).transpose()?;
        let stopped = Arc::clone(&stop);
        let run = move || {
            let send = |message: &Message| match (&stock, message.topic) {
                (Some(stock), STOCK_TOPIC) => stock.send(&message.key, &message.payload),
                (None, STOCK_TOPIC) => Ok(()),
                _ => events.send(&message.key, &message.payload),
            };
            if let Err(error) = play(AllTopics::new(plan), Pace::EventTime { start_ms }, &stopped, send) {
                tracing::error!(%error, "the simulator stopped");
            }
        };
        let thread = std::thread::Builder::new().name("simulator".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the simulator panicked");
        }
    }
}
