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
    /// A range of offsets that the broker never delivers: control records, aborted or compacted
    /// messages.
    Undelivered,
}

impl Verdict {
    /// Every verdict.
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

    /// The verdict of this name.
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
    /// A needed field is absent, null or an empty text.
    MissingField,
    /// A field holds another JSON type than its column.
    Type,
    /// The event time is not an RFC 3339 time, or lies before 1970.
    Time,
    /// The event time lies further ahead of the wall clock than the topic allows.
    Future,
    /// The message is larger than the topic allows, or a text than its column.
    Size,
    /// A field's value is outside its column's range, precision or check.
    Value,
}

impl Reason {
    /// Every reason.
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

/// Why a range of offsets was passed over on somebody's word, in the column `_motivo` of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unread {
    /// It was lost on the broker, or could not be read, and was skipped.
    Skipped,
    /// It comes before the first message of a topic that was deleted and created again.
    NewLog,
}

impl Unread {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::Skipped, Self::NewLog];

    /// The name in the archive's column `_motivo`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skipped => "pulado",
            Self::NewLog => "log_novo",
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
