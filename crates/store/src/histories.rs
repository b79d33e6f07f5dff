//! The port between imported rows and those who read them together with a topic's messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use tokio::sync::watch;

/// By topic, every imported row in the history's schema; topics without a history are not in it.
pub type Histories = BTreeMap<String, Arc<dyn TableProvider>>;

/// Readers hold the receiving end.
pub type HistoryReceiver = watch::Receiver<Arc<Histories>>;
