//! Imported history, the jobs and the checks over it.

mod identity;
mod import;
mod jobs;
mod reading;
mod undo;
mod world;
