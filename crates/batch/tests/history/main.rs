//! Imported history, the jobs and the checks over it.

mod import;
mod jobs;
mod reading;
mod world;
