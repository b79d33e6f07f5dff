//! The engine knows no domain: a shop's words are only in `catalog/`, in the folders of
//! `dashboards/` and in the simulator.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Words of the shop, alone or as a part of a name (`ShopSettings`, `vendas_por_minuto`).
const WORDS: [&str; 27] = [
    "brl",
    "carrinho",
    "checkout",
    "cliente",
    "clientes",
    "compra",
    "compras",
    "estoque",
    "funil",
    "loja",
    "lojas",
    "pedido",
    "pedidos",
    "produto",
    "produtos",
    "reais",
    "reembolso",
    "reembolsos",
    "shop",
    "shopper",
    "shoppers",
    "shops",
    "ticket",
    "usuario",
    "usuarios",
    "venda",
    "vendas",
];

/// Where such a word may stand, by a part of the line, and why. An entry that no line needs is an
/// error too.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("catalog/src/reader.rs", "shop.", "the settings' earlier names keep working"),
    ("config/src/lib.rs", "shop", "as above"),
    ("config/src/layers.rs", "&[\"shop\"]", "as above"),
    ("config/src/places.rs", "\"shop.\"", "as above"),
    ("batch/src/import/queried/file_table.rs", "R$\"", "signs of currencies"),
    ("batch/src/import/source/spreadsheet/cells.rs", "AR$", "as above"),
    ("batch/src/import/forms/currency.rs", "BRL", "a code among those of other currencies"),
    ("batch/src/import/forms/currency.rs", "R$\"", "signs of currencies"),
    ("batch/src/import/forms/currency.rs", "\"reais\"", "what people call it"),
    ("batch/src/import/mapping.rs", "hora_", "headings of files for the time of day"),
];

#[test]
fn the_engine_does_not_mention_the_shop() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crates' folder");
    let mut needed = BTreeSet::new();
    let mut found = Vec::new();
    let mut lines = 0;
    for file in files(crates, "rs") {
        let path = file.strip_prefix(crates).expect("below it").display().to_string();
        if !path.contains("/src/") || path.starts_with("simulator/") || is_of_tests(&path) {
            continue;
        }
        for (number, line) in without_tests(&fs::read_to_string(&file).expect("UTF-8")) {
            lines += 1;
            let Some(word) = mentioned(line) else { continue };
            match ALLOWED.iter().find(|(name, part, _)| path == *name && line.contains(part)) {
                Some(entry) => _ = needed.insert(entry),
                None => found.push(format!("crates/{path}:{number}: {word}: {}", line.trim())),
            }
        }
    }
    assert!(lines > 10_000, "only {lines} lines were read");
    assert!(found.is_empty(), "move this into the catalog, or say it without the shop:\n{}", found.join("\n"));
    let unneeded: Vec<_> = ALLOWED.iter().filter(|entry| !needed.contains(entry)).collect();
    assert!(unneeded.is_empty(), "no line needs this any more: {unneeded:?}");
}

/// What the pages of all domains share.
#[test]
fn shared_parts_of_the_page_do_not_mention_the_shop() {
    let live = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards/live");
    let mut found = Vec::new();
    for extension in ["js", "html", "css"] {
        for file in files(&live, extension) {
            let path = file.strip_prefix(&live).expect("below it").display().to_string();
            if path.starts_with("ecommerce/") || path.starts_with("vendor/") {
                continue;
            }
            for (number, line) in fs::read_to_string(&file).expect("UTF-8").lines().enumerate() {
                if let Some(word) = mentioned(line) {
                    found.push(format!("dashboards/live/{path}:{}: {word}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "move this into the domain's folder:\n{}", found.join("\n"));
}

#[test]
fn a_mention_is_found_in_any_writing() {
    for line in
        ["struct ShopSettings;", "\"/vendas/resumo\"", "// the shop's zone", "vendas_por_minuto", "R$ 1", "(BRL)"]
    {
        assert!(mentioned(line).is_some(), "{line}");
    }
    for line in ["workshop", "shopify_like", "subscription", "adventure", "the reader"] {
        assert_eq!(mentioned(line), None, "{line}");
    }
    let text = "a\n#[cfg(test)]\nfn b() {}\nc\n#[cfg(test)]\nmod tests;\nd\n#[cfg(test)]\nmod tests {\n e\n}";
    let left: String = without_tests(text).map(|(_, line)| line).filter(|line| line.len() == 1).collect();
    assert_eq!(left, "acd");
}

fn mentioned(line: &str) -> Option<String> {
    if line.contains("R$") {
        return Some("R$".to_owned());
    }
    let mut word = String::new();
    for character in line.chars().chain([' ']) {
        // A capital begins a part of a name, unless the whole is in capitals.
        let begins = character.is_uppercase() && word.chars().next_back().is_some_and(char::is_lowercase);
        if !character.is_alphanumeric() || begins {
            if WORDS.contains(&word.to_lowercase().as_str()) {
                return Some(word);
            }
            word.clear();
        }
        if character.is_alphanumeric() {
            word.push(character);
        }
    }
    None
}

fn is_of_tests(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

/// Lines with their numbers, but for modules of tests.
fn without_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let begins_tests = |index: usize| {
        lines[index].trim() == "#[cfg(test)]"
            && lines.get(index + 1).is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'))
    };
    let end = (0..lines.len()).find(|index| begins_tests(*index)).unwrap_or(lines.len());
    lines.into_iter().take(end).enumerate().map(|(index, line)| (index + 1, line))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|ends| ends == extension) {
            found.push(path);
        }
    }
    found
}
