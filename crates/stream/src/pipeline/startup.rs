//! Bringing a pipeline up: the topic's identity, the tables, and what is rebuilt from the archive.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use vitral_panes::watermark::Watermarks;
use vitral_panes::{EngineConfig, engine_session};
use vitral_schemas::topic::Topic;
use vitral_store::{Archive, MetricTable};

use super::cycle::Cycle;
use super::view::ViewOfTopic;
use super::{Context, Pipeline};
use crate::archive_rows::ArchiveRows;
use crate::committer::Committer;
use crate::decode::Decoder;
use crate::error::StreamError;
use crate::judge::Judge;
use crate::kafka::{DeadLetters, Source, create_topic};
use crate::panes_of_topic::PanesOfTopic;
use crate::recovery::recover;
use crate::telemetry::TopicLabel;

/// A refused message may be larger than the topic it came from allows others to be.
const DEAD_LETTER_SETTINGS: [(&str, &str); 1] = [("max.message.bytes", "104857600")];
/// Between questions for a topic that does not exist yet.
const TOPIC_RETRY: Duration = Duration::from_secs(1);

/// A pipeline that is ready to run, with its first view shown; none if it was stopped meanwhile.
pub(super) fn start(context: Context, topic: Topic, stop: &AtomicBool) -> Result<Option<Pipeline>, StreamError> {
    let engine = EngineConfig { memory_bytes: context.config.panes_memory_bytes };
    let planned = |source| StreamError::Batch { topic: topic.name.clone(), action: "planned", source };
    let session = engine_session(engine).map_err(planned)?;
    let mut panes = PanesOfTopic::new(&context.catalog, &topic, &context.settings, &session, engine.memory_bytes)?;
    let mut judge = Judge::new(&topic, &session)?;
    let mut source = Source::new(&context.config.kafka, &topic.kafka_topic, topic.message_bytes_max)?;
    let Some(partitions) = wait_for_topic(&source, stop)? else { return Ok(None) };
    let log = source.log_identity()?;
    let runtime = context.runtime.clone();
    let config = &context.config;
    let dead_letters = DeadLetters::new(&config.kafka, &topic.kafka_topic, topic.dead_letter_topic())?;
    runtime.block_on(create_topic(&config.kafka, &topic.dead_letter_topic(), 1, &DEAD_LETTER_SETTINGS))?;

    let archive_dir = config.data_dir.join("archive").join(&topic.name);
    let archive = runtime.block_on(Archive::open(&topic, &log, partitions.iter().copied(), &archive_dir))?;
    refuse_new_log(&context, &topic, &log, &runtime.block_on(archive.logs())?)?;
    let mut tables = Vec::new();
    for metric in &mut panes.metrics {
        let plan = std::sync::Arc::clone(metric.plan());
        let metrics_dir = config.data_dir.join("metrics");
        let open = MetricTable::open(
            &plan.metric.name,
            &metric.version,
            std::sync::Arc::clone(plan.rows_schema()),
            &metrics_dir,
        );
        let table = runtime.block_on(open)?;
        metric.published_through_ms = table.published_through_ms();
        tables.push(table);
    }

    let started = Instant::now();
    let mut watermarks = Watermarks::new(topic.watermark_ms, topic.idle_ms, archive.effective_ms());
    for partition in &partitions {
        watermarks.add_partition(*partition);
    }
    let recovered = recover(stop, &topic, &archive, &mut panes, &mut judge, &mut watermarks);
    let Some(rows) = runtime.block_on(recovered)? else { return Ok(None) };
    let counts = runtime.block_on(archive.counts())?;
    tracing::info!(
        topic = topic.name,
        rows,
        archived = counts.read(),
        known_ids = judge.known_id_count(),
        seconds = started.elapsed().as_secs_f64(),
        "open panes rebuilt from the archive"
    );

    let next_offsets: BTreeMap<i32, Option<i64>> =
        partitions.iter().map(|partition| (*partition, archive.next_offsets().get(partition).copied())).collect();
    let view = ViewOfTopic {
        archive: runtime.block_on(archive.provider())?,
        published: tables.iter().map(|table| runtime.block_on(table.provider())).collect::<Result<_, _>>()?,
    };
    let cycle = Cycle::new(next_offsets);
    source.assign(&cycle.next_offsets())?;
    let label = TopicLabel { topic: topic.name.clone() };
    let committed_ms = archive.effective_ms();
    let brokers = context.config.kafka.brokers.clone();
    let committer = Committer { archive, tables, brokers, telemetry: context.telemetry.clone(), label: label.clone() };
    let (jobs, job_receiver) = mpsc::channel(1);
    let (done_sender, done) = mpsc::unbounded_channel();
    runtime.spawn(committer.run(job_receiver, done_sender));
    let mut pipeline = Pipeline {
        decoder: Decoder::new(&topic, context.settings.time_zone),
        context,
        label,
        source,
        dead_letters,
        judge,
        panes,
        watermarks,
        counts,
        archive_rows: ArchiveRows::new(&topic, &log),
        cycle,
        view,
        live: None,
        jobs,
        done,
        job_in_flight: false,
        committed_ms,
        publishing_ms: None,
        paused: false,
        caught_up: false,
        partitions_asked: Instant::now(),
        refreshed: Instant::now(),
        refresh_took: Duration::ZERO,
        topic,
    };
    // Windows that closed with a commit after which the process died.
    pipeline.publish()?;
    while pipeline.job_in_flight && !stop.load(Ordering::SeqCst) {
        pipeline.wait_for_committer(Duration::from_secs(1))?;
    }
    pipeline.refresh(true)?;
    Ok(Some(pipeline))
}

fn wait_for_topic(source: &Source, stop: &AtomicBool) -> Result<Option<Vec<i32>>, StreamError> {
    let mut told = false;
    while !stop.load(Ordering::SeqCst) {
        match source.partitions() {
            Ok(partitions) if !partitions.is_empty() => return Ok(Some(partitions)),
            Ok(_) if told => {}
            Ok(_) => tracing::warn!(topic = source.topic(), "the topic does not exist yet; waiting for it"),
            Err(error) if told => tracing::debug!(topic = source.topic(), %error, "kafka does not answer"),
            Err(error) => tracing::warn!(topic = source.topic(), %error, "kafka does not answer; trying again"),
        }
        told = true;
        std::thread::sleep(TOPIC_RETRY);
    }
    Ok(None)
}

/// A topic made anew has offsets that mean other messages.
fn refuse_new_log(context: &Context, topic: &Topic, log: &str, known: &[String]) -> Result<(), StreamError> {
    match known.iter().find(|known| *known != log) {
        Some(other) if !known.iter().any(|known| known == log) && !context.config.accept_new_log => {
            Err(StreamError::NewLog { topic: topic.name.clone(), known: other.clone(), found: log.to_owned() })
        }
        _ => Ok(()),
    }
}
