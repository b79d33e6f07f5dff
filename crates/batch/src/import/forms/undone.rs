//! Columns that fill nothing and say which rows are not sold, or not any more: cancelled, returned,
//! paid back, or never paid.
//!
//! Their rows count all the same. What such a column says is pointed out, with the condition that
//! leaves those rows out.

use super::unpaid::{is_of_paid, is_unpaid};
use crate::import::mapping::names::plain;
use crate::import::source::{Cell, Row};
use crate::import::wording::is_pasteable;

/// How words begin of what is not sold, or not any more.
const UNDONE: [&str; 14] = [
    "cancel",
    "anulad",
    "void",
    "refund",
    "reembols",
    "estorn",
    "devol",
    "returned",
    "recusad",
    "declined",
    "failed",
    "chargeback",
    "contesta",
    "expirad",
];
/// Words that deny what the heading says.
const DENIALS: [&str; 9] = ["nao", "n", "no", "false", "falso", "none", "nenhum", "nenhuma", "nunca"];
/// The code that Brazilian invoices have for what they are for: those that begin with 1, 2 or 3 are
/// of goods that come in.
const OPERATIONS: &str = "cfop";
/// Values that a condition names.
const NAMED: usize = 12;
/// Longer cells are texts that happen to have such a word, in bytes.
const LENGTH: usize = 48;

/// What a column says of rows that are not sales.
pub(super) struct Undone {
    reads: Reads,
    /// The cells that say so, each once, in the order in which they come.
    values: Vec<String>,
    /// More values than are kept.
    has_more: bool,
    /// The first of them.
    place: Option<String>,
    /// Whether other cells are filled.
    has_others: bool,
    /// The cell before: most columns repeat theirs.
    last: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// Cells with such a word.
    Words,
    /// The heading has the word: every cell that does not deny it.
    Filled,
    /// The heading asks whether a row is paid: every cell that denies it.
    Denied,
    Operations,
}

impl Undone {
    /// `heading` in plain letters.
    pub(super) fn new(heading: &str) -> Self {
        let reads = match heading {
            OPERATIONS => Reads::Operations,
            heading if is_of_paid(heading) => Reads::Denied,
            heading if is_undone(heading) || is_unpaid(heading) => Reads::Filled,
            _ => Reads::Words,
        };
        let (values, last) = (Vec::new(), String::new());
        Self { reads, values, has_more: false, place: None, has_others: false, last }
    }

    pub(super) fn see(&mut self, cell: &Cell, row: &Row) {
        if cell.text == self.last || (self.reads == Reads::Words && self.has_more) {
            return;
        }
        cell.text.clone_into(&mut self.last);
        let text = cell.text.trim();
        let is_undone = match self.reads {
            Reads::Words => text.len() <= LENGTH && (is_undone(text) || is_unpaid(text)),
            Reads::Denied => denies(text) || is_undone(text) || is_unpaid(text),
            Reads::Filled => !denies(text),
            Reads::Operations => is_of_goods_that_come_in(text),
        };
        if !is_undone {
            self.has_others = true;
        } else if !self.values.contains(&cell.text) {
            self.place.get_or_insert_with(|| row.place());
            if self.values.len() < NAMED { self.values.push(cell.text.clone()) } else { self.has_more = true }
        }
    }

    /// What people should know of rows that count all the same.
    pub(super) fn note(&self, heading: &str) -> Option<String> {
        let (first, place) = (self.values.first()?, self.place.as_ref()?);
        let way = match self.condition(heading) {
            Some(condition) => format!("--where \"{}\" leaves them out", condition.replace('"', "\\\"")),
            None => "--where and a condition leaves them out".to_owned(),
        };
        let meant = if is_pasteable(heading) { format!("--map \"{heading}=\"") } else { "--map".to_owned() };
        Some(format!(
            "column {heading} holds {first} ({place}), and such rows count too: {way}, {meant} confirms that they should count"
        ))
    }

    /// A condition that holds for all other rows, also where the cell is blank; none where it could
    /// not be pasted into a shell as it is.
    fn condition(&self, heading: &str) -> Option<String> {
        if !is_pasteable(heading) {
            return None;
        }
        if self.reads == Reads::Filled && !self.has_others {
            return Some(format!("\"{heading}\" IS NULL"));
        }
        if self.has_more || !self.values.iter().all(|value| is_pasteable(value)) {
            return None;
        }
        let values: Vec<String> = self.values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
        Some(format!("coalesce(\"{heading}\", '') NOT IN ({})", values.join(", ")))
    }
}

/// Whether a word of the text begins like one of them. None of those has an accent in its
/// beginning.
fn is_undone(text: &str) -> bool {
    let mut is_inside = false;
    text.char_indices().any(|(at, character)| {
        let is_beginning = !std::mem::replace(&mut is_inside, character.is_alphabetic()) && is_inside;
        let rest = &text.as_bytes()[at..];
        is_beginning
            && matches!(rest[0].to_ascii_lowercase(), b'a' | b'c'..=b'f' | b'r' | b'v')
            && UNDONE.iter().any(|begins| {
                rest.get(..begins.len()).is_some_and(|found| found.eq_ignore_ascii_case(begins.as_bytes()))
            })
    })
}

/// `Não`, `0,00`, `-`.
fn denies(text: &str) -> bool {
    match text.bytes().any(|byte| byte.is_ascii_digit()) {
        true => !text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)),
        false => {
            let text = plain(text);
            text.is_empty() || DENIALS.contains(&text.as_str())
        }
    }
}

fn is_of_goods_that_come_in(text: &str) -> bool {
    let digits: String = text.chars().filter(|character| *character != '.').collect();
    digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.starts_with(['1', '2', '3'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::source::Kind;

    fn note(heading: &str, cells: &[&str]) -> Option<String> {
        let mut undone = Undone::new(&plain(heading));
        for (line, text) in (2..).zip(cells).filter(|(_, text)| !text.is_empty()) {
            let row = Row { sheet: None, line, cells: Vec::new(), broken: None, is_unended: false };
            undone.see(&Cell::new((*text).to_owned(), Kind::Written), &row);
        }
        undone.note(heading)
    }

    #[test]
    fn every_way_to_say_that_a_row_is_no_sale_is_pointed_out() {
        let cases = [
            (
                "Situação",
                ["Pago", "CANCELADO", "cancelado"],
                "coalesce(\\\"Situação\\\", '') NOT IN ('CANCELADO', 'cancelado')",
            ),
            ("Tipo", ["Venda", "Devolução", ""], "NOT IN ('Devolução')"),
            ("Natureza da operação", ["Venda", "Devolução de venda", "Venda"], "NOT IN ('Devolução de venda')"),
            ("Status", ["paid", "refunded", "chargeback"], "NOT IN ('refunded', 'chargeback')"),
            ("Obs", ["ok", "cliente disse 'não': estornado", ""], "('cliente disse ''não'': estornado')"),
            ("Cancelado", ["Não", "Sim", "Não"], "NOT IN ('Sim')"),
            ("Data de cancelamento", ["", "14/02/2024", ""], "\\\"Data de cancelamento\\\" IS NULL"),
            ("Valor reembolsado", ["0,00", "R$ 5,00", "0,00"], "--where and a condition"),
            (
                "Situação",
                ["Pago", "Aguardando pagamento", "Boleto emitido"],
                "NOT IN ('Aguardando pagamento', 'Boleto emitido')",
            ),
            ("Status", ["paid", "pending", "On hold"], "NOT IN ('pending', 'On hold')"),
            ("Pago", ["Sim", "Não", "Sim"], "NOT IN ('Não')"),
            ("Pagamento pendente", ["Não", "Sim", "Não"], "NOT IN ('Sim')"),
            ("CFOP", ["5102", "1202", "6.102"], "NOT IN ('1202')"),
        ];
        for (heading, cells, expected) in cases {
            let note = note(heading, &cells).unwrap_or_default();
            assert!(note.contains(expected), "{heading}: {note}");
        }
    }

    #[test]
    fn what_says_nothing_of_the_kind_is_left_alone() {
        for (heading, cells) in [
            ("Situação", ["Pago", "Enviado", "Aguardando envio"]),
            ("Pago", ["Sim", "sim", "S"]),
            ("Nome", ["Lustre pendente", "Pendrive", "Boleto"]),
            ("Cancelado", ["Não", "não", "N"]),
            ("Reembolso", ["0", "0,00", "-"]),
            ("CFOP", ["5102", "6102", "7102"]),
            ("Tipo", ["Venda", "Revenda", "Descanceladora"]),
            ("Cidade", ["Volta Redonda", "Feira", "12345"]),
        ] {
            assert_eq!(note(heading, &cells), None, "{heading}");
        }
    }

    /// A cell is pasted into a shell with the proposal: it must not run there.
    #[test]
    fn cells_that_a_shell_would_obey_are_in_no_proposal() {
        let note = note("Situação", &["Pago", "Cancelado $(reboot)", "`reboot` cancelado"]).expect("a note");
        assert!(note.contains("--where and a condition") && !note.contains("NOT IN"), "{note}");
    }
}
