//! `names = 'id', by = 'name'`: a reference table whose rows say what people call something that
//! other rows know by its id. Answers show the name next to the id.

use vitral_schemas::topic::{Column, ColumnKind};

use super::options::Options;
use super::{Catalog, Diagnostic, Reference};

/// Which columns of a reference table are the id and the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The column with the id, there and in rows that are shown.
    pub id: String,
    /// The column with the name.
    pub name: String,
}

impl Catalog {
    /// The tables that name something, those that are declared first before others that name the
    /// same.
    pub fn namings(&self) -> impl Iterator<Item = (&Reference, &Naming)> {
        self.references.iter().filter_map(|table| Some((table, table.naming.as_ref()?)))
    }
}

/// Both options, or none of them.
pub(super) fn take(columns: &[Column], options: &mut Options) -> Result<Option<Naming>, Diagnostic> {
    let (id, name) = (options.take_text("names")?, options.take_text("by")?);
    let ((id, id_at), (name, name_at)) = match (id, name) {
        (None, None) => return Ok(None),
        (Some(id), Some(name)) => (id, name),
        (Some((_, at)), None) | (None, Some((_, at))) => {
            let remedy = "write names = 'id', by = 'nome': the column with the id, and the one with the name";
            return Err(at.error("names and by go together", remedy.into()));
        }
    };
    for (column, at) in [(&id, id_at), (&name, name_at)] {
        let is_text = |known: &&Column| {
            known.name == *column && matches!(known.kind, ColumnKind::Text | ColumnKind::TextOrNumber)
        };
        if columns.iter().find(is_text).is_none() {
            return Err(at.error(format!("{column} is not a column of text of this table"), "name one that is".into()));
        }
    }
    Ok(Some(Naming { id, name }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DomainSettings, SourceFile};

    fn catalog(options: &str) -> Result<Catalog, String> {
        let text = format!(
            "CREATE TABLE produtos (id_produto TEXT NOT NULL, nome TEXT, preco DECIMAL(18, 2)) WITH (connector = 'file'{options});"
        );
        let file = SourceFile { path: "a.sql".into(), text };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_table_names_by_one_of_its_columns() {
        let named = catalog(", names = 'id_produto', by = 'nome'").expect("a catalog");
        let found: Vec<_> = named.namings().map(|(table, naming)| (table.name.as_str(), naming.clone())).collect();
        assert_eq!(found, [("produtos", Naming { id: "id_produto".into(), name: "nome".into() })]);
        let with_key = catalog(", key = 'id_produto', names = 'id_produto', by = 'nome'").expect("a catalog");
        assert_eq!(with_key.namings().count(), 1);
        assert_eq!(catalog("").expect("a catalog").namings().count(), 0);
        for (options, words) in [
            (", names = 'id_produto'", "names and by go together"),
            (", by = 'nome'", "names and by go together"),
            (", names = 'id_produto', by = 'preco'", "preco is not a column of text"),
            (", names = 'id', by = 'nome'", "id is not a column of text"),
        ] {
            let error = catalog(options).expect_err(options);
            assert!(error.contains(words), "{error}");
        }
    }
}
