//! How far what was read had come.

use vitral_catalog::{Name, Needs};
use vitral_query::ReadPoint;

/// As JSON: the watermark of each topic, and through when each metric is published.
pub(crate) fn versions(needs: &Needs, point: &ReadPoint) -> String {
    let mut versions = serde_json::Map::new();
    for topic in &needs.topics {
        let watermark_ms = point.view.committed_watermarks.get(topic).map(|watermark| watermark.ms());
        versions.insert(topic.clone(), serde_json::json!({ "marca_dagua_ms": watermark_ms }));
    }
    for (name, metric) in &point.view.metrics {
        if needs.names.iter().any(|known| matches!(known, Name::Table(table) if table == name)) {
            versions.insert(name.clone(), serde_json::json!({ "publicada_ate_ms": metric.published_through_ms }));
        }
    }
    serde_json::Value::Object(versions).to_string()
}
