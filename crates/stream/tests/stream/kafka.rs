//! What only a real broker shows.

mod batches;
mod dead_letters;
mod fencing;
mod log;
mod partitions;
mod pauses;
mod restart;
mod security;
mod skips;
mod transactions;
mod waiting;
mod world;
