//! What the simulated shop sells and where it sells: products and regions, and the reference tables of both.
//!
//! A product depends on its number alone. Every seed thus plays in the same shop, the first products of a larger shop
//! are those of a smaller one, and no table of products is held in memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::SimulatorConfig;
use super::departments::{DEPARTMENTS, Department};
use crate::random::{mix, scale};

/// A product of the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// As in the events' `id_produto`.
    pub id_produto: String,
    /// Its name for shoppers.
    pub nome: String,
    /// As in the events' `categoria`.
    pub categoria: &'static str,
    /// Its usual price, in hundredths of the currency.
    pub preco_cents: i64,
}

/// A region that the shop delivers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The federal unit's letters, as in the events' `regiao`.
    pub regiao: &'static str,
    /// Its name for people.
    pub nome: &'static str,
    /// How many of the shop's users live there, relative to the others (population in 100,000s).
    pub(super) weight: u64,
}

const fn region(regiao: &'static str, nome: &'static str, weight: u64) -> Region {
    Region { regiao, nome, weight }
}

pub(super) const REGIONS: [Region; 27] = [
    region("SP", "São Paulo", 444),
    region("MG", "Minas Gerais", 205),
    region("RJ", "Rio de Janeiro", 161),
    region("BA", "Bahia", 141),
    region("PR", "Paraná", 114),
    region("RS", "Rio Grande do Sul", 109),
    region("PE", "Pernambuco", 91),
    region("CE", "Ceará", 88),
    region("PA", "Pará", 81),
    region("SC", "Santa Catarina", 76),
    region("GO", "Goiás", 71),
    region("MA", "Maranhão", 68),
    region("PB", "Paraíba", 40),
    region("AM", "Amazonas", 39),
    region("ES", "Espírito Santo", 38),
    region("MT", "Mato Grosso", 37),
    region("RN", "Rio Grande do Norte", 33),
    region("PI", "Piauí", 33),
    region("AL", "Alagoas", 31),
    region("DF", "Distrito Federal", 28),
    region("MS", "Mato Grosso do Sul", 28),
    region("SE", "Sergipe", 22),
    region("RO", "Rondônia", 16),
    region("TO", "Tocantins", 15),
    region("AC", "Acre", 8),
    region("AP", "Amapá", 7),
    region("RR", "Roraima", 6),
];

/// Every product of the shop; events refer to no other.
pub fn products(config: &SimulatorConfig) -> impl Iterator<Item = Product> + use<> {
    (0..config.products.max(1)).map(|index| {
        let item = Item::new(index);
        Product {
            id_produto: format!("p{}", index + 1),
            nome: item.name(),
            categoria: item.category(),
            preco_cents: item.price_cents(),
        }
    })
}

/// Every region that events may name.
pub fn regions() -> impl Iterator<Item = Region> {
    REGIONS.into_iter()
}

/// Writes `produtos.csv` (`id_produto,nome,categoria`) and `regioes.csv` (`regiao,nome`) into `dir`.
///
/// # Errors
/// A file cannot be written.
pub fn write_reference_csv(dir: &Path, config: &SimulatorConfig) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut file = BufWriter::new(File::create(dir.join("produtos.csv"))?);
    writeln!(file, "id_produto,nome,categoria")?;
    for product in products(config) {
        writeln!(file, "{},{},{}", product.id_produto, csv_text(&product.nome), csv_text(product.categoria))?;
    }
    file.flush()?;
    let mut file = BufWriter::new(File::create(dir.join("regioes.csv"))?);
    writeln!(file, "regiao,nome")?;
    for region in regions() {
        writeln!(file, "{},{}", region.regiao, csv_text(region.nome))?;
    }
    file.flush()
}

/// Quoted as RFC 4180 has it: some names hold inches and commas.
pub(super) fn csv_text(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// A product's attributes, computed from its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    hash: u64,
}

impl Item {
    /// The product `p{index + 1}`.
    pub(super) fn new(index: u32) -> Self {
        Self { hash: mix(u64::from(index)) }
    }

    pub(super) fn department_index(self) -> usize {
        scale(self.hash, DEPARTMENTS.len() as u64) as usize
    }

    pub(super) fn category(self) -> &'static str {
        self.department().name
    }

    pub(super) fn price_cents(self) -> i64 {
        const ENDINGS: [u64; 4] = [1, 10, 51, 100];
        let (_, low, high) = self.noun();
        // Squared: cheap articles outnumber expensive ones of the same kind.
        let share = self.salted(2) >> 48;
        let reais = u64::from(low) + ((u64::from(high - low) * share * share) >> 32);
        let cents = reais * 100 - ENDINGS[scale(self.salted(3), ENDINGS.len() as u64) as usize] + 100;
        cents as i64
    }

    fn name(self) -> String {
        let department = self.department();
        let (noun, ..) = self.noun();
        let maker = pick(department.makers, self.salted(4));
        let finish = pick(department.finishes, self.salted(5));
        if department.models {
            let letter = char::from(b'A' + scale(self.salted(6), 26) as u8);
            return format!("{noun} {maker} {letter}{} {finish}", 100 + scale(self.salted(7), 90) * 10);
        }
        format!("{noun} {maker} {finish}")
    }

    fn department(self) -> &'static Department {
        &DEPARTMENTS[self.department_index()]
    }

    fn noun(self) -> (&'static str, u32, u32) {
        pick(self.department().nouns, self.salted(1))
    }

    fn salted(self, salt: u64) -> u64 {
        mix(self.hash ^ salt)
    }
}

fn pick<T: Copy>(choices: &[T], hash: u64) -> T {
    choices[scale(hash, choices.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn config(products: u32) -> SimulatorConfig {
        SimulatorConfig { products, ..SimulatorConfig::default() }
    }

    #[test]
    fn products_have_names_prices_and_every_category() {
        let products: Vec<_> = products(&config(2_000)).collect();
        assert_eq!(products.len(), 2_000);
        assert_eq!(products.iter().map(|product| product.categoria).collect::<BTreeSet<_>>().len(), DEPARTMENTS.len());
        assert!(products.iter().map(|product| &product.nome).collect::<BTreeSet<_>>().len() > 1_700);
        assert!(products.iter().all(|product| (800..=750_000).contains(&product.preco_cents)));
    }

    #[test]
    fn a_larger_shop_begins_with_the_smaller_one() {
        assert!(products(&config(50)).eq(products(&config(500)).take(50)));
    }

    #[test]
    fn reference_tables_are_quoted() {
        assert_eq!(csv_text("Monitor 24\", 75 Hz"), "\"Monitor 24\"\", 75 Hz\"");
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("reference");
        write_reference_csv(&dir, &config(300)).expect("written");
        let products = fs::read_to_string(dir.join("produtos.csv")).expect("read");
        assert!(products.starts_with("id_produto,nome,categoria\np1,"));
        assert_eq!(products.lines().count(), 301);
        let regions = fs::read_to_string(dir.join("regioes.csv")).expect("read");
        assert!(regions.starts_with("regiao,nome\nSP,São Paulo\n"));
        assert_eq!(regions.lines().count(), 28);
    }
}
