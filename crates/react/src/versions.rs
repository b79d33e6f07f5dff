//! How far what was read had come.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vitral_catalog::{Name, Needs};
use vitral_panes::view::KeyedThrough;
use vitral_query::ReadPoint;
use vitral_schemas::position::{Offset, PartitionId};

/// As JSON: the watermark of each topic, through when each metric is published, and through which
/// commit and which offsets each table is kept up to date.
pub(crate) fn versions(needs: &Needs, point: &ReadPoint) -> String {
    // A topic with a primary key and the table of its rows have one name.
    let mut versions: BTreeMap<&str, serde_json::Map<String, Value>> = BTreeMap::new();
    for topic in &needs.topics {
        let watermark_ms = point.view.committed_watermarks.get(topic).map(|watermark| watermark.ms());
        versions.entry(topic).or_default().insert("marca_dagua_ms".to_owned(), json!(watermark_ms));
    }
    for (name, metric) in &point.view.metrics {
        if needs.names.iter().any(|known| matches!(known, Name::Table(table) if table == name)) {
            let of_metric = versions.entry(name).or_default();
            of_metric.insert("publicada_ate_ms".to_owned(), json!(metric.published_through_ms));
        }
    }
    for (name, table) in point.view.keyed.iter().filter(|(name, _)| needs.table(name)) {
        let KeyedThrough { commit, offsets, .. } = &*table.through;
        let of_table = versions.entry(name).or_default();
        of_table.insert("versao".to_owned(), json!(commit));
        of_table.insert("deslocamentos".to_owned(), json!(by_number(offsets)));
    }
    json!(versions).to_string()
}

/// Offsets at the places of their partitions, which Kafka numbers from 0; none where nothing is in.
fn by_number(offsets: &BTreeMap<PartitionId, Offset>) -> Vec<Option<i64>> {
    let count = offsets.last_key_value().map_or(0, |(last, _)| last.0.saturating_add(1));
    (0..count).map(|partition| offsets.get(&PartitionId(partition)).map(|offset| offset.0)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Schema;
    use datafusion::datasource::empty::EmptyTable;
    use vitral_panes::view::{KeyedTableView, View};
    use vitral_query::Principal;
    use vitral_schemas::event_time::Watermark;

    use super::*;

    #[test]
    fn tables_say_through_which_commit_and_offsets_they_were_read() {
        let table = |commit, offsets: &[(i32, i64)]| KeyedTableView {
            topic: "eventos".to_owned(),
            keys: Vec::new(),
            rows: Arc::new(EmptyTable::new(Arc::new(Schema::empty()))),
            through: Arc::new(KeyedThrough {
                log: None,
                commit,
                offsets: offsets.iter().map(|(partition, next)| (PartitionId(*partition), Offset(*next))).collect(),
            }),
            since_ms: None,
            failure: None,
        };
        let keyed = [
            ("niveis", table(Some(7), &[(0, 41), (2, 9)])),
            ("pedidos", table(None, &[])),
            ("outra", table(Some(1), &[])),
        ];
        let view = View {
            keyed: keyed.into_iter().map(|(name, table)| (name.to_owned(), table)).collect(),
            committed_watermarks: [("eventos".to_owned(), Watermark::from_ms(5))].into(),
            ..View::default()
        };
        let point = ReadPoint::new(Principal::operator(), Arc::new(view), 0);
        let needs = Needs {
            names: ["niveis", "pedidos"].map(|name| Name::Table(name.to_owned())).to_vec(),
            topics: ["eventos", "pedidos"].map(str::to_owned).into(),
            ..Needs::default()
        };
        let found: Value = serde_json::from_str(&versions(&needs, &point)).expect("JSON");
        let expected = json!({
            "eventos": { "marca_dagua_ms": 5 },
            "niveis": { "versao": 7, "deslocamentos": [41, null, 9] },
            "pedidos": { "marca_dagua_ms": null, "versao": null, "deslocamentos": [] },
        });
        assert_eq!(found, expected);
    }
}
