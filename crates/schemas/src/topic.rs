//! A Kafka topic as the catalog declares it, and the Arrow schemas that follow from it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::changes::{Changes, Debezium, NumericTime, change_columns};
use crate::looked_up::LookedUp;

/// The archive's own columns; they come before the topic's.
pub mod archive_columns {
    /// The partition of the offset.
    pub const PARTITION: &str = "_particao";
    /// The offset, or the first of a range that was never delivered.
    pub const OFFSET: &str = "_deslocamento";
    /// Last offset of a range that was never delivered; null for a delivered offset.
    pub const OFFSET_END: &str = "_deslocamento_fim";
    /// When the message came, by our clock.
    pub const ARRIVAL: &str = "_chegada";
    /// Which log the offset is of: a topic that is deleted and created again has another.
    pub const LOG: &str = "_log";
    /// The verdict's name.
    pub const VERDICT: &str = "_veredito";
    /// The reason's name; null for what was not refused.
    pub const REASON: &str = "_motivo";
    /// The message's bytes, where they are kept.
    pub const PAYLOAD: &str = "_conteudo";
}

/// The columns that the table of a topic's history, the rows that came from files, adds to the
/// topic's. They come before those.
pub mod history_columns {
    /// Counts the table's commits: rows after a number are those that were added since.
    pub const SEQUENCE: &str = "_sequencia";
    /// The import's id: the same content, imported again, has the same.
    pub const IMPORT: &str = "_importacao";
    /// The file's name.
    pub const FILE: &str = "_arquivo";
    /// The line of a text file, else the row, the header included.
    pub const LINE: &str = "_linha";
    /// What is wrong with a refused row, in words.
    pub const DETAIL: &str = "_detalhe";
    /// The sheet of a workbook; null in other files.
    pub const SHEET: &str = "_planilha";
    /// What tells a row from others without an event id, hashed: order, product, time and value as
    /// the file writes them. Null in rows of older versions.
    pub const KEY: &str = "_chave";
    /// All cells of the row as the file writes them, hashed. Null in rows of older versions.
    pub const CELLS: &str = "_celulas";
    /// The key without its amounts, hashed: order, product and time tell a line of an order whose
    /// amounts change. Null without an order.
    pub const ITEM: &str = "_item";
    /// The verdict of what stands for rows that were taken back: one row for each quarter of an
    /// hour in which some had counted, so that jobs compute those days again. It has an event time
    /// and no other column of the topic.
    pub const UNDONE: &str = "desfeita";
    /// The reason of a row that cannot be taken apart into cells; every other reason is one of
    /// messages too.
    pub const ROW_REASON: &str = "linha";
    pub use super::archive_columns::{ARRIVAL, PAYLOAD, REASON, VERDICT};
}

/// Event and arrival times: microseconds in UTC, the only unit that Delta tables know.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Declared by `CREATE TABLE ... WITH (connector = 'kafka', ...)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// The table's name in SQL.
    pub name: String,
    /// The topic's name in Kafka.
    pub kafka_topic: String,
    /// What a message may have.
    pub columns: Vec<Column>,
    /// Index of the column that holds the event time.
    pub event_time: usize,
    /// Index of the column that identifies an event, if the topic is deduplicated.
    pub event_id: Option<usize>,
    /// How far a partition's watermark trails its newest event.
    pub watermark_ms: i64,
    /// How far behind the effective watermark a row still counts.
    pub lateness_ms: i64,
    /// How far ahead of the wall clock an event may lie.
    pub ahead_ms: i64,
    /// How long a partition must have been at its end to be idle.
    pub idle_ms: i64,
    /// Larger messages are refused.
    pub message_bytes_max: usize,
    /// Whether the archive keeps every payload whole, or only those of refused messages.
    pub keep_raw: bool,
    /// If it has one row for each primary key, and not events.
    pub changes: Option<Changes>,
}

/// Behind a topic's name in Kafka: the topic of its refused messages.
pub const DEAD_LETTERS: &str = ".dlq";

/// `lateness = 'never'`: no row is too late.
pub const LATENESS_NEVER_MS: i64 = i64::MAX;

/// A field of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The field's name, and the column's.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// `NOT NULL`: a message without it is refused.
    pub needed: bool,
    /// `DEFAULT expr`: SQL over the message's columns, used where the field is absent.
    pub default: Option<String>,
    /// `CHECK (expr)`: SQL over the message's columns; false refuses the message.
    pub check: Option<String>,
    /// How many bytes a text may have: `VARCHAR(n)`, `TEXT_OR_NUMBER(n)`. Of no meaning for what is
    /// not a text.
    pub bytes_max: usize,
    /// Where the column's values are looked up; messages and files cannot give them then.
    pub lookup: Option<LookedUp>,
}

/// What a text column holds unless it says otherwise: the most that every warehouse has a type for.
pub const TEXT_BYTES_MAX: usize = 65_535;

/// The earliest event time, in microseconds: 1970-01-01T00:00:00Z. What lies before it is a clock
/// that was never set or a date that was not there, and much earlier times cannot be held in
/// nanoseconds, as some readers want them.
pub const EVENT_MICROS_MIN: i64 = 0;

impl Column {
    /// A column that may be absent, with no rules of its own.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self {
            name: name.into(),
            kind,
            needed: false,
            default: None,
            check: None,
            bytes_max: TEXT_BYTES_MAX,
            lookup: None,
        }
    }
}

impl Debezium {
    /// Appends the columns that such a topic has besides those that are declared.
    pub fn add_columns(columns: &mut Vec<Column>, times: Option<NumericTime>) -> Self {
        let first = columns.len();
        columns.push(Column { needed: true, ..Column::new(change_columns::INSTANT, ColumnKind::Timestamp) });
        columns.push(Column::new(change_columns::POSITION, ColumnKind::Integer));
        columns.push(Column::new(change_columns::DELETED, ColumnKind::Boolean));
        Self { instant: first, position: first + 1, deleted: first + 2, times }
    }
}

/// What a field may hold in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A JSON string.
    Text,
    /// A JSON string, or a JSON number, which is taken as its text: for keys that some systems
    /// write as numbers.
    TextOrNumber,
    /// A JSON string of three letters, kept in upper case.
    Currency,
    /// A JSON number without fraction, 64 bits.
    Integer,
    /// A JSON number or string with at most `scale` decimals; never rounded.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: i8,
    },
    /// An RFC 3339 string; without offset it is in the domain's zone.
    Timestamp,
    /// A JSON boolean.
    Boolean,
}

impl ColumnKind {
    /// The type of its Arrow column.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text | Self::TextOrNumber | Self::Currency => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Timestamp => timestamp_type(),
            Self::Boolean => DataType::Boolean,
        }
    }
}

impl Topic {
    /// Whether rows count however late they are.
    pub fn is_never_late(&self) -> bool {
        self.lateness_ms == LATENESS_NEVER_MS
    }

    /// The columns of a decoded message. All are nullable: a refused message has none of them.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields()))
    }

    /// The archive's columns, then the topic's.
    pub fn archive_schema(&self) -> SchemaRef {
        use archive_columns::*;
        let mut fields = vec![
            Field::new(PARTITION, DataType::Int32, false),
            Field::new(OFFSET, DataType::Int64, false),
            Field::new(OFFSET_END, DataType::Int64, true),
            Field::new(ARRIVAL, timestamp_type(), false),
            Field::new(LOG, DataType::Utf8, false),
            Field::new(VERDICT, DataType::Utf8, false),
            Field::new(REASON, DataType::Utf8, true),
            Field::new(PAYLOAD, DataType::Binary, true),
        ];
        fields.extend(self.fields());
        Arc::new(Schema::new(fields))
    }

    /// The history's columns, then the topic's.
    pub fn history_schema(&self) -> SchemaRef {
        use history_columns::*;
        let mut fields = vec![
            Field::new(SEQUENCE, DataType::Int64, false),
            Field::new(IMPORT, DataType::Utf8, false),
            Field::new(FILE, DataType::Utf8, false),
            Field::new(LINE, DataType::Int64, false),
            Field::new(ARRIVAL, timestamp_type(), false),
            Field::new(VERDICT, DataType::Utf8, false),
            Field::new(REASON, DataType::Utf8, true),
            Field::new(DETAIL, DataType::Utf8, true),
            Field::new(PAYLOAD, DataType::Utf8, true),
            Field::new(SHEET, DataType::Utf8, true),
            Field::new(KEY, DataType::Binary, true),
            Field::new(CELLS, DataType::Binary, true),
            Field::new(ITEM, DataType::Binary, true),
        ];
        fields.extend(self.fields());
        Arc::new(Schema::new(fields))
    }

    /// Whether some of its columns are looked up.
    pub fn has_lookups(&self) -> bool {
        self.columns.iter().any(|column| column.lookup.is_some())
    }

    /// The Kafka topic to which refused messages go.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}{DEAD_LETTERS}", self.kafka_topic)
    }

    fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), true)).collect()
    }
}
