//! Tables that the engine itself keeps, and that no file of the catalog declares.

/// Tables that the engine itself keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineTable {
    /// Every row of every topic that did not count.
    Ledger,
    /// What reconciliations have found.
    Reconciliation,
    /// What was imported, and taken back.
    Imports,
    /// Rows that the warehouse's database cannot take.
    Quarantine,
    /// What was done to data, and by whom.
    Audit,
    /// What alerts have seen: one row for each time that a key came into an alert's rows.
    Alerts,
    /// How alerts came to that: each transition as it was committed.
    AlertTransitions,
}

impl EngineTable {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ledger,
        Self::Reconciliation,
        Self::Imports,
        Self::Quarantine,
        Self::Audit,
        Self::Alerts,
        Self::AlertTransitions,
    ];

    /// What SQL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "livro",
            Self::Reconciliation => vitral_schemas::reconciliation::TABLE,
            Self::Imports => "importacoes",
            Self::Quarantine => "quarentena",
            Self::Audit => "auditoria",
            Self::Alerts => "alertas",
            Self::AlertTransitions => "alertas_transicoes",
        }
    }

    /// Whether it can be read before anything is in it.
    pub fn is_always_there(self) -> bool {
        matches!(self, Self::Ledger | Self::Reconciliation | Self::Alerts)
    }

    /// Whether endpoints may read it; the others are only for those who have the stored files.
    pub(super) fn is_served(self) -> bool {
        matches!(self, Self::Ledger | Self::Reconciliation | Self::Imports | Self::Alerts)
    }
}
