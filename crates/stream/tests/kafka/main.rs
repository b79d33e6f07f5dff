//! The stream against a real Kafka: `scripts/services start kafka`, then `env $(scripts/services env) cargo test`.
//!
//! One binary, so that all is linked once; a file for each subject.

mod backfill;
mod batches;
mod clock;
mod compaction;
mod dead_letters;
mod duplicates;
mod failures;
mod fencing;
mod idleness;
mod lateness;
mod log;
mod order;
mod partitions;
mod pauses;
mod replay;
mod restart;
mod security;
mod skips;
mod snapshots;
mod transactions;
mod waiting;
mod world;
