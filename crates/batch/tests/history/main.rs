//! Imported history, the jobs and the checks over it.

mod asked;
mod changes;
mod domains;
mod identity;
mod import;
mod jobs;
mod kept;
mod late;
mod live;
mod looked_up;
mod profiles;
mod reading;
mod statuses;
mod twice;
mod undo;
mod whole;
mod workbooks;
mod world;
