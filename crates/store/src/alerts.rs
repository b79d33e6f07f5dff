//! What alerts remember: their transitions, what was delivered of them, and silences.
//!
//! A transition is a fact: it is committed once, with what is to be sent because of it (its
//! destinations) and what had been read, under `txn(alerta/NAME, number)`, and never decided again.
//! Everything that is known of alerts is made from these rows ([`episodes`]). What has been
//! delivered is noted afterwards, so that a process that dies in between delivers it again, under
//! the same id.

mod delays;
mod episodes;
mod rows;
mod silences;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::episodes::{Episode, Episodes, episode_rows, episode_schema};
pub use self::silences::{Silence, Silences};
use crate::append_table::AppendTable;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

/// The table of transitions: its folder in the store.
const TRANSITIONS: &str = "alertas";
/// What was delivered, or refused for good.
const DELIVERIES: &str = "alertas_entregas";
/// The application whose version tells one commit from the next.
const WRITER: &str = "alertas/escrita";
/// Next to the transitions: which corrections of the past had been taken in when alerts were last
/// evaluated.
const CORRECTIONS_FILE: &str = "_corrections";
/// Next to them: which notifications fail while others are accepted.
const DELAYS_FILE: &str = "_waiting";
/// Whether the transition was committed is looked up after an error, this often.
const LOOKS: usize = 3;

/// Readers hold the receiving end: what alerts have seen, in [`episode_schema`].
pub type AlertReceiver = watch::Receiver<Arc<RecordBatch>>;

/// What happened to an alert, or to one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransitionKind {
    /// It was evaluated for the first time.
    Began,
    /// The key came into the rows, and has to stay for a while before it fires.
    Pending,
    /// It left before that.
    Withdrawn,
    /// It fires.
    Fired,
    /// That it fires, which a silence had kept back, is reported now.
    Notified,
    /// It still fires, and that is reported again.
    Repeated,
    /// It has left the rows.
    Resolved,
    /// The alert's query fails from here on.
    Failed,
    /// It works again.
    Recovered,
    /// A day's report.
    Reported,
}

/// Why nobody was notified that a key fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hush {
    /// It was among the rows when the alert was new, or came by a correction of the past.
    Past,
    /// Somebody had asked for silence.
    Silence,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The alert's name, or the report's.
    pub alert: String,
    /// What it is about; empty for the alert as a whole.
    pub key: String,
    /// The number of the transition that brought the key in.
    pub episode: i64,
    /// Counts the alert's transitions, from 1.
    pub number: i64,
    /// What happened.
    pub kind: TransitionKind,
    /// When it was decided, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Since when the key has been among the rows.
    pub since_ms: i64,
    /// How much the alert matters.
    pub severity: String,
    /// How many rows the key has.
    pub rows: i64,
    /// The first of them, as JSON; for a failure, its reason.
    pub content: String,
    /// What had been read, as JSON: the version of each table.
    pub versions: String,
    /// To whom it is to be sent: `connection/topic`.
    pub destinations: Vec<String>,
    /// Why it is sent to nobody though somebody would be notified.
    pub hush: Option<Hush>,
    /// Under which id it is sent, the same at each attempt.
    pub id: String,
}

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The transition's id.
    pub id: String,
    /// To whom.
    pub destination: String,
    /// When.
    pub at_ms: i64,
    /// Why it was refused for good; none if it was accepted.
    pub refusal: Option<String>,
    /// How many attempts it took.
    pub attempts: i64,
}

/// A notification that was not accepted, and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delay {
    /// The transition's id.
    pub id: String,
    /// To whom.
    pub destination: String,
    /// How many attempts there were.
    pub attempts: i64,
    /// Why the last one failed.
    pub reason: String,
}

/// The transitions of all alerts of a store, and what was delivered of them. One process writes it:
/// the stream's.
#[derive(Debug)]
pub struct AlertLog {
    place: Location,
    transitions: Table,
    deliveries: AppendTable,
}

impl AlertLog {
    /// Opens the tables of a store, or creates them.
    pub async fn open(store: &Location) -> Result<Self, StoreError> {
        let layout = Layout::of(store);
        let place = layout.table(TRANSITIONS);
        let transitions = Table::open(TRANSITIONS, &place, rows::schema()).await?;
        let deliveries = AppendTable::open(DELIVERIES, &layout.table(DELIVERIES), rows::delivery_schema()).await?;
        Ok(Self { place, transitions, deliveries })
    }

    /// Which corrections of the past had been taken in when alerts were last evaluated; none before
    /// the first time.
    pub async fn corrections(&self) -> Result<Option<String>, StoreError> {
        self.place.read_text(CORRECTIONS_FILE).await
    }

    /// Alerts have been evaluated with these corrections.
    pub async fn set_corrections(&self, corrections: &str) -> Result<(), StoreError> {
        self.place.write_text(CORRECTIONS_FILE, corrections).await
    }

    /// These notifications fail while others are accepted.
    pub async fn set_delays(&self, delays: &[Delay]) -> Result<(), StoreError> {
        self.place.write_text(DELAYS_FILE, &delays::written(delays)).await
    }

    /// Every transition, each alert's in order, and every delivery.
    pub async fn read(&self) -> Result<(Vec<Transition>, Vec<Delivered>), StoreError> {
        read(self.transitions.provider().await?, Some(self.deliveries.provider().await?)).await
    }

    /// One commit: the transitions of one evaluation. Each alert's go on from the number that was
    /// committed last, else another process has decided something in the meantime, and this one has
    /// to stop.
    pub async fn append(&mut self, transitions: &[Transition]) -> Result<(), StoreError> {
        let mut numbers: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for transition in transitions {
            let number = transition.number;
            let known = numbers.entry(&transition.alert).or_insert((number, number));
            *known = (known.0.min(number), known.1.max(number));
        }
        for (alert, (first, _)) in &numbers {
            let committed = self.transitions.transaction(&application(alert)).await?.unwrap_or_default();
            if committed != first - 1 {
                return Err(StoreError::Overtaken { table: TRANSITIONS.to_owned() });
            }
        }
        let mut wanted: Vec<_> = numbers.iter().map(|(alert, (_, last))| (application(alert), *last)).collect();
        // By which this commit is known again. Of two that are under way together, only one
        // succeeds.
        let token = i64::from_ne_bytes(Uuid::new_v4().as_u64_pair().0.to_ne_bytes());
        wanted.push((WRITER.to_owned(), token));
        let rows = rows::of(transitions).map_err(|error| StoreError::read(TRANSITIONS)(error.into()))?;
        if let Err(error) = self.transitions.append(vec![rows], &wanted).await
            && !self.is_committed(token).await
        {
            return Err(error);
        }
        self.transitions.compact().await.map(|_| ())
    }

    /// After an error whose outcome is unknown: whether the commit is there.
    async fn is_committed(&mut self, token: i64) -> bool {
        for _ in 0..LOOKS {
            if self.transitions.refresh().await.is_err() {
                continue;
            }
            if let Ok(committed) = self.transitions.transaction(WRITER).await {
                return committed == Some(token);
            }
        }
        false
    }

    /// One commit: these were accepted, or refused for good.
    pub async fn delivered(&mut self, deliveries: &[Delivered]) -> Result<(), StoreError> {
        let rows = rows::of_deliveries(deliveries).map_err(|error| StoreError::read(DELIVERIES)(error.into()))?;
        self.deliveries.append(rows).await
    }
}

/// The transitions and deliveries of a store, for reading; none before the first.
pub async fn read_alerts(store: &Location) -> Result<Option<(Vec<Transition>, Vec<Delivered>)>, StoreError> {
    let Some(transitions) = Table::read(TRANSITIONS, &Layout::of(store).table(TRANSITIONS)).await? else {
        return Ok(None);
    };
    let deliveries = match AppendTable::read(DELIVERIES, &Layout::of(store).table(DELIVERIES)).await? {
        Some(deliveries) => Some(deliveries.provider().await?),
        None => None,
    };
    read(transitions.provider().await?, deliveries).await.map(Some)
}

/// What alerts have seen; none before the first.
pub async fn read_episodes(store: &Location) -> Result<Option<Episodes>, StoreError> {
    let Some((transitions, deliveries)) = read_alerts(store).await? else { return Ok(None) };
    let mut episodes = Episodes::of(&transitions, &deliveries);
    let delays = Layout::of(store).table(TRANSITIONS).read_text(DELAYS_FILE).await?;
    delays::read(delays.as_deref().unwrap_or_default()).iter().for_each(|delay| episodes.delay(delay));
    Ok(Some(episodes))
}

/// The same as a table.
pub async fn alerts_table(store: &Location) -> Result<Option<Arc<dyn TableProvider>>, StoreError> {
    let Some(episodes) = read_episodes(store).await? else { return Ok(None) };
    let failed = StoreError::read(TRANSITIONS);
    let rows = episode_rows(episodes.all()).map_err(|error| failed(error.into()))?;
    Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).map_err(&failed)?)))
}

/// The transitions, as they are stored; none before the first.
pub async fn transitions_table(store: &Location) -> Result<Option<Arc<dyn TableProvider>>, StoreError> {
    match Table::read(TRANSITIONS, &Layout::of(store).table(TRANSITIONS)).await? {
        Some(table) => Ok(Some(table.provider().await?)),
        None => Ok(None),
    }
}

async fn read(
    transitions: Arc<dyn TableProvider>,
    deliveries: Option<Arc<dyn TableProvider>>,
) -> Result<(Vec<Transition>, Vec<Delivered>), StoreError> {
    let failed = StoreError::read(TRANSITIONS);
    let mut read = Vec::new();
    for batch in collect(transitions).await.map_err(&failed)? {
        read.extend(rows::read(&batch).map_err(|error| failed(error.into()))?);
    }
    read.sort_by(|a: &Transition, b: &Transition| (&a.alert, a.number).cmp(&(&b.alert, b.number)));
    let mut delivered = Vec::new();
    if let Some(deliveries) = deliveries {
        for batch in collect(deliveries).await.map_err(&failed)? {
            delivered.extend(rows::read_deliveries(&batch).map_err(|error| failed(error.into()))?);
        }
    }
    Ok((read, delivered))
}

async fn collect(table: Arc<dyn TableProvider>) -> datafusion::error::Result<Vec<RecordBatch>> {
    read_session(1).read_table(table)?.collect().await
}

/// What a row says in `estado`.
pub const STATES: [&str; 4] = ["pendente", "disparado", "resolvido", "falha"];

fn application(alert: &str) -> String {
    format!("alerta/{alert}")
}

fn text_field(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn time_field(name: &str, nullable: bool) -> Field {
    Field::new(name, vitral_schemas::topic::timestamp_type(), nullable)
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn maybe_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn numbers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let micros = values.map(|ms| ms.map(|ms| ms.saturating_mul(1000)));
    Arc::new(arrow::array::TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))
}

fn schema_of(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

impl TransitionKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Began,
        Self::Pending,
        Self::Withdrawn,
        Self::Fired,
        Self::Notified,
        Self::Repeated,
        Self::Resolved,
        Self::Failed,
        Self::Recovered,
        Self::Reported,
    ];

    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Began => "inicio",
            Self::Pending => "pendente",
            Self::Withdrawn => "cancelado",
            Self::Fired => "disparo",
            Self::Notified => "aviso",
            Self::Repeated => "repeticao",
            Self::Resolved => "resolucao",
            Self::Failed => "falha",
            Self::Recovered => "recuperacao",
            Self::Reported => "relatorio",
        }
    }
}

impl Hush {
    fn name(self) -> &'static str {
        match self {
            Self::Past => "passado",
            Self::Silence => "silencio",
        }
    }
}

#[cfg(test)]
mod tests;
