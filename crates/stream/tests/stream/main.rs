//! The stream on a broker in memory, and what is about Kafka itself on a real one:
//! `scripts/services start kafka`, then `env $(scripts/services env) cargo test`.
//!
//! One binary, so that all is linked once; a file for each subject.

mod alerts;
mod backfill;
mod changes;
mod clock;
mod committed;
mod compaction;
mod dead_letters;
mod duplicates;
mod failures;
mod fencing;
mod health;
mod idleness;
mod kafka;
mod kept_back;
mod lateness;
mod log;
mod lookups;
mod order;
mod partitions;
mod replay;
mod restart;
mod row_logs;
mod sessions;
mod sizes;
mod skips;
mod snapshots;
mod tables;
mod waiting;
mod watermarks;
mod world;
