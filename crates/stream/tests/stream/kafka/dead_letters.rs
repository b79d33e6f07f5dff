//! Refused messages, on their way to another topic.

use super::world::kafka;
use crate::dead_letters::{a_refusal_is_sent_on, one_byte_too_large};
use crate::world::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_go_to_the_dead_letter_topic_with_their_reason() {
    let Some(kafka) = kafka() else { return };
    a_refusal_is_sent_on(Shop::on(kafka, 1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_one_byte_too_large_is_refused_and_the_next_counts() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on_with_settings(kafka, 1, &[("max.message.bytes", "4194304")]).await;
    let dir = tempfile::tempdir().expect("a folder");
    one_byte_too_large(&shop, dir.path()).await;
}
