//! What the simulated shop sells and where it sells: products and regions.
//!
//! A product depends on its number alone. Every seed thus plays in the same shop, the first
//! products of a larger shop are those of a smaller one, and no table of products is held in
//! memory.

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
    /// Its largest city, where the shop's users of the region live.
    pub(super) cidade: &'static str,
    /// How many of the shop's users live there, relative to the others (population in 100,000s).
    pub(super) weight: u64,
}

const fn region(regiao: &'static str, nome: &'static str, cidade: &'static str, weight: u64) -> Region {
    Region { regiao, nome, cidade, weight }
}

pub(super) const REGIONS: [Region; 27] = [
    region("SP", "São Paulo", "São Paulo", 444),
    region("MG", "Minas Gerais", "Belo Horizonte", 205),
    region("RJ", "Rio de Janeiro", "Rio de Janeiro", 161),
    region("BA", "Bahia", "Salvador", 141),
    region("PR", "Paraná", "Curitiba", 114),
    region("RS", "Rio Grande do Sul", "Porto Alegre", 109),
    region("PE", "Pernambuco", "Recife", 91),
    region("CE", "Ceará", "Fortaleza", 88),
    region("PA", "Pará", "Belém", 81),
    region("SC", "Santa Catarina", "Joinville", 76),
    region("GO", "Goiás", "Goiânia", 71),
    region("MA", "Maranhão", "São Luís", 68),
    region("PB", "Paraíba", "João Pessoa", 40),
    region("AM", "Amazonas", "Manaus", 39),
    region("ES", "Espírito Santo", "Serra", 38),
    region("MT", "Mato Grosso", "Cuiabá", 37),
    region("RN", "Rio Grande do Norte", "Natal", 33),
    region("PI", "Piauí", "Teresina", 33),
    region("AL", "Alagoas", "Maceió", 31),
    region("DF", "Distrito Federal", "Brasília", 28),
    region("MS", "Mato Grosso do Sul", "Campo Grande", 28),
    region("SE", "Sergipe", "Aracaju", 22),
    region("RO", "Rondônia", "Porto Velho", 16),
    region("TO", "Tocantins", "Palmas", 15),
    region("AC", "Acre", "Rio Branco", 8),
    region("AP", "Amapá", "Macapá", 7),
    region("RR", "Roraima", "Boa Vista", 6),
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
}
