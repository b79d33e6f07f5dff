//! What is archived of topics under other columns than the catalog declares.

use vitral_catalog::{Catalog, Diagnostic};
use vitral_schemas::topic::Topic;
use vitral_store::{Drift, Location, StoreError};

/// What keeps a stream from going on with its archives, and what its user may not have meant.
#[derive(Debug, Default)]
pub struct Found {
    /// Columns of another type, or that new rows would need.
    pub errors: Vec<Diagnostic>,
    /// Columns that were dropped or renamed.
    pub warnings: Vec<String>,
}

/// Compares all topics with what is stored of them. Nothing is made where nothing is.
pub async fn compare(catalog: &Catalog, store: &Location) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for topic in &catalog.topics {
        found.add(catalog, topic, Drift::of(topic, store).await?);
    }
    Ok(found)
}

impl Found {
    fn add(&mut self, catalog: &Catalog, topic: &Topic, drift: Drift) {
        let table = &topic.name;
        for (column, (stored, declared)) in drift.retyped {
            self.errors.push(catalog.position_of_column(topic, &column).error(
                format!("column {column} of {table} is {declared}, and what is archived of it is {stored}"),
                format!(
                    "give it back its type, or give the {declared} a name of its own: {column}, no longer declared, is kept with the \
                     rows that have it"
                ),
            ));
        }
        for column in drift.needed {
            self.errors.push(catalog.position_of(topic).error(
                format!("column {column} of {table} is not declared any more, and cannot be null in what is archived"),
                "declare it again, or declare a topic of another name".into(),
            ));
        }
        let place = catalog.position_of(topic);
        self.warnings.extend(drift.kept.iter().map(|column| {
            format!(
                "{place}: column {column} of {table} is archived and not declared any more: it is kept, and null in new rows; declared again \
                 with its type, it is back"
            )
        }));
    }
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{Diagnostics, DomainSettings, SourceFile};
    use vitral_store::Archive;

    use vitral_schemas::position::PartitionId;

    use super::*;

    fn catalog(columns: &str) -> Catalog {
        let text = format!(
            "CREATE TABLE ev (
    t TIMESTAMP NOT NULL,
    {columns}
) WITH (connector = 'kafka', event_time = 't');"
        );
        let file = SourceFile { path: "a.sql".into(), text };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog")
    }

    #[tokio::test]
    async fn dropped_columns_are_warned_of_and_others_types_are_errors_at_their_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a place");
        let first = catalog("seg TEXT, preco DECIMAL(18, 2)");
        let found = compare(&first, &store).await.expect("compared");
        assert!(found.errors.is_empty() && found.warnings.is_empty(), "nothing is stored: {found:?}");
        drop(Archive::open(&first.topics[0], "log", [PartitionId(0)], &store).await.expect("opened"));
        let found = compare(&first, &store).await.expect("compared");
        assert!(found.errors.is_empty() && found.warnings.is_empty(), "{found:?}");

        let found = compare(&catalog("segmento TEXT, preco DECIMAL(18, 2)"), &store).await.expect("compared");
        assert!(found.errors.is_empty(), "{found:?}");
        assert_eq!(found.warnings.len(), 1, "{found:?}");
        assert!(found.warnings[0].starts_with("a.sql:1:14: column seg of ev is archived"), "{found:?}");

        let found = compare(&catalog("seg BIGINT, preco DECIMAL(18, 4)"), &store).await.expect("compared");
        let text = Diagnostics(found.errors).to_string();
        assert!(text.contains("a.sql:3:17: column preco of ev is DECIMAL(18, 4)"), "{text}");
        assert!(text.contains("a.sql:3:5: column seg of ev is BIGINT, and what is archived of it is TEXT"), "{text}");
        assert!(text.contains("remedy: give it back its type") && found.warnings.is_empty(), "{text}");
    }
}
