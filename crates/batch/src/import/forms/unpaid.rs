//! Words of rows that are not paid, or not yet, as columns of states have them in Portuguese,
//! English and Spanish.

use crate::import::mapping::names::plain;

/// How words begin of which such a text has one: others are not looked at closely.
const STEMS: [&str; 18] = [
    "abert",
    "aguard",
    "an\u{e1}lise",
    "an\u{c1}lise",
    "analise",
    "await",
    "boleto",
    "espera",
    "hold",
    "impag",
    "pag",
    "paid",
    "pay",
    "pend",
    "pix",
    "review",
    "unpaid",
    "waiting",
];
/// Whole texts, in plain letters.
const WHOLE: [&str; 16] = [
    "pendente",
    "pendiente",
    "pending",
    "aguardando",
    "aguardando_confirmacao",
    "awaiting",
    "on_hold",
    "em_espera",
    "en_espera",
    "em_aberto",
    "em_analise",
    "under_review",
    "in_review",
    "unpaid",
    "impago",
    "impaga",
];
/// Words that say so within a text.
const WITHIN: [&str; 23] = [
    "aguardando_pagamento",
    "aguardando_o_pagamento",
    "aguardando_aprovacao",
    "aguarda_pagamento",
    "pagamento_pendente",
    "pendente_de_pagamento",
    "pagamento_em_analise",
    "pagamento_nao",
    "pagamento_negado",
    "nao_pago",
    "nao_paga",
    "nao_pagou",
    "sem_pagamento",
    "boleto_emitido",
    "boleto_gerado",
    "boleto_impresso",
    "pix_gerado",
    "esperando_pago",
    "awaiting_payment",
    "waiting_for_payment",
    "pending_payment",
    "payment_pending",
    "not_paid",
];

/// Headings of columns that say of each row whether it is paid.
const PAID: [&str; 8] = ["pago", "paga", "paid", "is_paid", "quitado", "pagado", "pagamento_confirmado", "foi_pago"];

/// Whether a column's cells say yes where a row is paid, and no where it is not; its heading in
/// plain letters.
pub(super) fn is_of_paid(heading: &str) -> bool {
    PAID.contains(&heading)
}

/// Whether a text says that a row is not paid.
pub(super) fn is_unpaid(text: &str) -> bool {
    if !has_stem(text) {
        return false;
    }
    let text = plain(text);
    let are_whole = |(at, found): (usize, &str)| {
        let (before, behind) = (&text[..at], &text[at + found.len()..]);
        (before.is_empty() || before.ends_with('_')) && (behind.is_empty() || behind.starts_with('_'))
    };
    WHOLE.contains(&text.as_str()) || WITHIN.iter().any(|words| text.match_indices(words).any(are_whole))
}

fn has_stem(text: &str) -> bool {
    let begins = |word: &str| {
        STEMS.iter().any(|stem| word.get(..stem.len()).is_some_and(|found| found.eq_ignore_ascii_case(stem)))
    };
    text.split(|character: char| !character.is_alphabetic()).any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_not_paid_are_told_from_others() {
        for text in [
            "Aguardando pagamento",
            "AGUARDANDO O PAGAMENTO",
            "Pendente",
            "N\u{e3}o pago",
            "nao pago",
            "Boleto emitido",
            "Pagamento pendente (boleto)",
            "Em an\u{e1}lise",
            "pending",
            "Payment pending",
            "unpaid",
            "Awaiting payment",
            "on hold",
            "On-Hold",
            "pending_payment",
        ] {
            assert!(is_unpaid(text), "{text}");
        }
        for text in [
            "Pago",
            "Paid",
            "Aguardando envio",
            "Lustre pendente de teto",
            "Boleto",
            "Boleto pago",
            "Pix",
            "Em aberto at\u{e9} 10h",
            "Pendrive 32 GB",
            "Household",
            "Aprovado",
            "",
        ] {
            assert!(!is_unpaid(text), "{text}");
        }
    }
}
