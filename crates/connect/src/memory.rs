//! Every port in memory, without any service: for tests, and wherever nothing has to outlive the
//! process.

mod broker;
mod dead_letters;
mod lookup;
mod notifier;
mod publisher;
mod sink;
mod source;

pub use broker::{MemoryBroker, MemoryMessage};
pub use dead_letters::MemoryDeadLetters;
pub use lookup::MemoryLookup;
pub use notifier::MemoryNotifier;
pub use sink::MemorySink;
pub use source::MemorySource;
