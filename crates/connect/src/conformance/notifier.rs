//! What a notifier must do.

use crate::{Event, Notification, Notifier};

/// Notifications are delivered under their ids; `ids` asks the other side which ids have arrived.
pub async fn notifier_conforms(notifier: &impl Notifier, ids: impl AsyncFn() -> Vec<String>) {
    let notification = |id: &str| Notification {
        id: id.to_owned(),
        title: "Ruptura".to_owned(),
        text: "p1".to_owned(),
        event: if id.ends_with("resolucao") { Event::Resolved } else { Event::Fired },
        subject: "ruptura".to_owned(),
        key: "p1".to_owned(),
        severity: "warning".to_owned(),
        ..Notification::default()
    };
    for id in ["ruptura/p1/1/disparo", "ruptura/p1/1/disparo", "ruptura/p1/1/resolucao"] {
        notifier.deliver(&notification(id)).await.expect("delivered");
    }
    let mut found = ids().await;
    found.dedup();
    assert_eq!(found, ["ruptura/p1/1/disparo", "ruptura/p1/1/resolucao"]);
}
