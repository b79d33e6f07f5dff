//! Silences: for how long nobody is to be notified of an alert, or of one of its keys. Any process
//! may ask for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::Utc;
use datafusion::catalog::TableProvider;
use uuid::Uuid;

use super::rows::Columns;
use super::{collect, maybe_texts, schema_of, text_field, texts, time_field, times};
use crate::append_table::AppendTable;
use crate::audit::Act;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;

/// The table's name, and its folder in the store.
const SILENCES: &str = "silencios";

/// One of them. A later row of the same id replaces an earlier one: that is how a silence ends
/// early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// What it is ended by.
    pub id: String,
    /// The alert.
    pub alert: String,
    /// One of its keys; none for all.
    pub key: Option<String>,
    /// From when, in milliseconds since the epoch.
    pub from_ms: i64,
    /// Until when.
    pub until_ms: i64,
    /// Why, in words.
    pub reason: Option<String>,
    /// Who asked for it.
    pub principal: String,
}

/// The silences of a store.
#[derive(Debug)]
pub struct Silences {
    store: Location,
    table: Option<AppendTable>,
    known: Vec<Silence>,
}

impl Silence {
    /// Of an alert, or of one of its keys; nobody has asked for it yet.
    pub fn new(alert: &str, key: Option<String>, (from_ms, until_ms): (i64, i64), reason: Option<String>) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            alert: alert.to_owned(),
            key,
            from_ms,
            until_ms,
            reason,
            principal: String::new(),
        }
    }

    /// Whether it holds for a key at this moment.
    pub fn covers(&self, alert: &str, key: &str, now_ms: i64) -> bool {
        self.alert == alert
            && self.key.as_deref().is_none_or(|own| own == key)
            && (self.from_ms..self.until_ms).contains(&now_ms)
    }

    /// Keeps it, and that somebody has asked for it.
    pub async fn record(mut self, store: &Location, act: Act) -> Result<Self, StoreError> {
        self.principal.clone_from(&act.principal);
        let mut table = AppendTable::open(SILENCES, &Layout::of(store).table(SILENCES), schema()).await?;
        let one = |text: &str| texts(std::iter::once(text));
        let time = |ms: i64| times(std::iter::once(Some(ms)));
        let maybe = |text: &Option<String>| maybe_texts(std::iter::once(text.as_deref()));
        let columns = vec![
            one(&self.id),
            one(&self.alert),
            maybe(&self.key),
            time(self.from_ms),
            time(self.until_ms),
            maybe(&self.reason),
            one(&self.principal),
            time(Utc::now().timestamp_millis()),
        ];
        let rows = arrow::array::RecordBatch::try_new(schema(), columns);
        table.append(rows.map_err(|error| StoreError::read(SILENCES)(error.into()))?).await?;
        act.record(store).await?;
        Ok(self)
    }
}

impl Silences {
    /// Of this store; nothing is read yet.
    pub fn of(store: &Location) -> Self {
        Self { store: store.clone(), table: None, known: Vec::new() }
    }

    /// Reads what any process has added; true if there was something.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let is_new = match &mut self.table {
            Some(table) => table.refresh().await?,
            None => {
                self.table = AppendTable::read(SILENCES, &Layout::of(&self.store).table(SILENCES)).await?;
                self.table.is_some()
            }
        };
        if let Some(table) = self.table.as_ref().filter(|_| is_new) {
            self.known = read(table.provider().await?).await?;
        }
        Ok(is_new)
    }

    /// Those that hold now or later.
    pub fn standing(&self, now_ms: i64) -> impl Iterator<Item = &Silence> {
        self.known.iter().filter(move |silence| silence.until_ms > now_ms)
    }

    /// Whether nobody is to be notified of a key at this moment.
    pub fn cover(&self, alert: &str, key: &str, now_ms: i64) -> bool {
        self.known.iter().any(|silence| silence.covers(alert, key, now_ms))
    }
}

async fn read(table: Arc<dyn TableProvider>) -> Result<Vec<Silence>, StoreError> {
    let failed = StoreError::read(SILENCES);
    let mut newest: BTreeMap<String, (i64, Silence)> = BTreeMap::new();
    for batch in collect(table).await.map_err(&failed)? {
        let columns = Columns::of(&batch, &schema()).map_err(|error| failed(error.into()))?;
        for row in 0..batch.num_rows() {
            let silence = Silence {
                id: columns.text(0, row),
                alert: columns.text(1, row),
                key: columns.maybe_text(2, row),
                from_ms: columns.ms(3, row),
                until_ms: columns.ms(4, row),
                reason: columns.maybe_text(5, row),
                principal: columns.text(6, row),
            };
            let at_ms = columns.ms(7, row);
            match newest.get(&silence.id) {
                Some((known_ms, _)) if *known_ms > at_ms => {}
                _ => drop(newest.insert(silence.id.clone(), (at_ms, silence))),
            }
        }
    }
    Ok(newest.into_values().map(|(_, silence)| silence).collect())
}

fn schema() -> SchemaRef {
    schema_of(vec![
        text_field("id", false),
        text_field("alerta", false),
        text_field("chave", true),
        time_field("de", false),
        time_field("ate", false),
        text_field("motivo", true),
        text_field("principal", false),
        time_field("instante", false),
    ])
}
