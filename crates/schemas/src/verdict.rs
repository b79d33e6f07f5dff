//! The one verdict that every Kafka offset gets, and why a message can be refused.

use std::fmt;

/// What became of an offset. Decided once, persisted in the archive, never decided again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Counts in every metric of its topic.
    Counted,
    /// Its event id had been counted already in the same partition, while it could still count.
    Duplicate,
    /// Its event time is older than the effective watermark less the lateness.
    Late,
    /// Not a valid event; [`Reason`] says why and the archive keeps its bytes.
    Refused,
    /// A message without a value (a tombstone).
    Empty,
    /// A range of offsets that the broker never delivers: control records, aborted or compacted messages.
    Undelivered,
}

impl Verdict {
    pub const ALL: [Self; 6] =
        [Self::Counted, Self::Duplicate, Self::Late, Self::Refused, Self::Empty, Self::Undelivered];

    /// The name in the archive's column `_veredito`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counted => "contada",
            Self::Duplicate => "duplicada",
            Self::Late => "atrasada",
            Self::Refused => "recusada",
            Self::Empty => "vazia",
            Self::Undelivered => "nao_entregue",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not one JSON object in UTF-8.
    Json,
    /// A needed field is absent or null.
    MissingField,
    /// A field holds another JSON type than its column.
    Type,
    /// The event time is no RFC 3339 time.
    Time,
    /// The event time lies further ahead of the wall clock than the topic allows.
    Future,
    /// The message is larger than the topic allows.
    Size,
    /// A field's value is outside its column's range, precision or check.
    Value,
}

impl Reason {
    pub const ALL: [Self; 7] =
        [Self::Json, Self::MissingField, Self::Type, Self::Time, Self::Future, Self::Size, Self::Value];

    /// The name in the archive's column `_motivo` and in the dead letter's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MissingField => "campo_ausente",
            Self::Type => "tipo",
            Self::Time => "tempo",
            Self::Future => "futuro",
            Self::Size => "tamanho",
            Self::Value => "valor",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
