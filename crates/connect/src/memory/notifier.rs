//! Notifications kept in the order in which they were delivered.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::{ConnectError, Notification, Notifier};

/// Keeps every notification.
#[derive(Debug, Default)]
pub struct MemoryNotifier(Mutex<Vec<Notification>>);

impl MemoryNotifier {
    /// Nothing has been delivered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every delivery, repeats included.
    pub fn delivered(&self) -> Vec<Notification> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Notifier for MemoryNotifier {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(notification.clone());
        Ok(())
    }
}
