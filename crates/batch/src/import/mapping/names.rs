//! Names of columns, as people and programs write them: alike whatever their case, accents and
//! signs.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Lower case, without accents, words joined by underscores; composed letters and decomposed ones
/// are the same.
pub(in crate::import) fn plain(name: &str) -> String {
    let mut plain = String::new();
    for character in name.trim().nfkd().filter(|character| !is_combining_mark(*character)) {
        match character {
            character if character.is_alphanumeric() => plain.extend(character.to_lowercase()),
            _ if plain.is_empty() || plain.ends_with('_') => {}
            _ => plain.push('_'),
        }
    }
    plain.truncate(plain.trim_end_matches('_').len());
    plain
}

/// What two names must have in common to be the same.
pub(in crate::import) fn key(name: &str) -> String {
    plain(name).replace('_', "")
}

/// Without what is in parentheses at the end, such as a currency or a unit.
pub(super) fn without_unit(name: &str) -> Option<&str> {
    let (name, rest) = name.trim().rsplit_once(['(', '['])?;
    (rest.ends_with([')', ']']) && !name.trim().is_empty()).then(|| name.trim())
}

/// Whether numbers below the heading are shares, or so many times as large or small as they look.
pub(super) fn is_scaled(name: &str) -> bool {
    const SCALES: [&str; 14] = [
        "mil",
        "milhar",
        "milhares",
        "milhao",
        "milhoes",
        "thousand",
        "thousands",
        "million",
        "millions",
        "k",
        "mm",
        "centavos",
        "cents",
        "percent",
    ];
    let unit = without_unit(name).map(|rest| plain(&name.trim()[rest.len()..])).unwrap_or_default();
    name.contains('%') || unit.split('_').any(|word| SCALES.contains(&word))
}

/// Words that say something.
pub(super) fn words(name: &str) -> Vec<String> {
    plain(name).split('_').filter(|word| word.len() > 3).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_plain() {
        assert_eq!(plain(" ID do Pedido "), "id_do_pedido");
        assert_eq!(plain("Preço (R$)"), "preco_r");
        assert_eq!(plain("região"), "regiao");
        assert_eq!(plain("regia\u{303}o"), "regiao", "decomposed");
        assert_eq!(plain("N.º de venda"), "n_o_de_venda");
        assert_eq!(key("IdPedido"), key("id_pedido"));
        assert_eq!(key("ID-Pedido"), key("id pedido"));
        assert_eq!(without_unit("Preço Unitário (R$)"), Some("Preço Unitário"));
        assert_eq!(without_unit("(R$)"), None);
        assert_eq!(
            ["Preço (R$ mil)", "% Desconto", "Valor (em milhares)", "Preço (R$)", "Camisa mil (un)"].map(is_scaled),
            [true, true, true, false, false]
        );
    }
}
