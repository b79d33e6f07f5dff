//! Which product a shopper views next: power-law popularity, departments, and the offer of the
//! moment.

use super::departments::DEPARTMENTS;
use super::shop::Item;
use crate::random::{Random, mix};

const OFFER_MS: i64 = 15 * 60_000;
/// How many product views, per mille, the offer attracts.
const OFFER_PER_MILLE: u64 = 30;
/// How many of a shopper's views, per mille, stay in the department of the last one.
const SAME_DEPARTMENT_PER_MILLE: u64 = 600;

/// A prime above every `u32`, so that multiplying by it permutes the numbers below any count.
const SCATTER: u64 = 4_294_967_311;

/// `rank` to a number below `count`, one to one: popular or busy ones do not have low numbers.
pub(super) fn scatter(rank: u32, count: u32) -> u32 {
    ((u64::from(rank) * SCATTER + 17) % u64::from(count)) as u32
}

/// A product that is cheaper for a quarter of an hour and gets many views meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) product: u32,
    pub(super) percent: i64,
}

/// How popular the product of this rank is: Zipf's law with exponent 1. The constant keeps the
/// first few from dwarfing all others.
pub(super) fn weight(rank: u32) -> u64 {
    (1 << 40) / (10 * u64::from(rank) + 27)
}

#[derive(Debug)]
pub(super) struct Market {
    shelves: Vec<Shelf>,
    /// Cumulative weights of the departments.
    sums: Vec<u64>,
    offer: Offer,
    offer_slot: i64,
}

/// A department's products, most popular first, with their cumulative weights.
#[derive(Debug, Default)]
struct Shelf {
    products: Vec<u32>,
    sums: Vec<u64>,
}

impl Market {
    pub(super) fn new(products: u32) -> Self {
        let mut shelves: Vec<Shelf> = DEPARTMENTS.iter().map(|_| Shelf::default()).collect();
        for rank in 0..products {
            let product = scatter(rank, products);
            let shelf = &mut shelves[Item::new(product).department_index()];
            shelf.products.push(product);
            shelf.sums.push(shelf.sums.last().unwrap_or(&0) + weight(rank));
        }
        let sums = running_sums(shelves.iter().map(|shelf| shelf.sums.last().copied().unwrap_or(0)));
        let mut market = Self { shelves, sums, offer: Offer { product: 0, percent: 0 }, offer_slot: i64::MIN };
        market.turn_to(0);
        market
    }

    /// Changes the offer when its time has come. It depends on the time alone, so that every run
    /// sees the same.
    pub(super) fn turn_to(&mut self, now_ms: i64) {
        let slot = now_ms.div_euclid(OFFER_MS);
        if slot != self.offer_slot {
            let mut random = Random::new(mix(slot as u64));
            self.offer_slot = slot;
            self.offer = Offer { product: self.popular(&mut random), percent: 5 * (2 + random.below(5) as i64) };
        }
    }

    pub(super) fn offer(&self) -> Offer {
        self.offer
    }

    /// What a shopper whose last view was `last` views next.
    pub(super) fn next_look(&self, random: &mut Random, last: Option<u32>) -> u32 {
        if random.per_mille(OFFER_PER_MILLE) {
            return self.offer.product;
        }
        match last {
            Some(last) if random.per_mille(SAME_DEPARTMENT_PER_MILLE) => {
                self.shelves[Item::new(last).department_index()].pick(random)
            }
            _ => self.popular(random),
        }
    }

    fn popular(&self, random: &mut Random) -> u32 {
        self.shelves[weighted(random, &self.sums)].pick(random)
    }
}

impl Shelf {
    fn pick(&self, random: &mut Random) -> u32 {
        self.products[weighted(random, &self.sums)]
    }
}

pub(super) fn running_sums(weights: impl Iterator<Item = u64>) -> Vec<u64> {
    weights
        .scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

/// An index, each as likely as its weight; `sums` is not empty and its last value not 0.
pub(super) fn weighted(random: &mut Random, sums: &[u64]) -> usize {
    let at = random.below(sums.last().copied().unwrap_or(0));
    sums.partition_point(|sum| *sum <= at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_follows_a_power_law() {
        let market = Market::new(2_000);
        let mut random = Random::new(1);
        let mut looks = vec![0u32; 2_000];
        (0..1_000_000).for_each(|_| looks[market.popular(&mut random) as usize] += 1);
        looks.sort_unstable_by(|a, b| b.cmp(a));
        // Ten times the rank, about a tenth of the views.
        let ratio = f64::from(looks[20]) / f64::from(looks[200]);
        assert!((7.0..12.0).contains(&ratio), "{ratio}");
        let top: u32 = looks[..200].iter().sum();
        assert!((500_000..750_000).contains(&top), "{top}");
        assert!(looks[1_999] > 0);
    }

    #[test]
    fn scattering_permutes() {
        for count in [1, 2, 20, 999, 2_000] {
            let mut all: Vec<_> = (0..count).map(|rank| scatter(rank, count)).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..count));
        }
    }

    #[test]
    fn the_smallest_shop_has_one_product() {
        let market = Market::new(1);
        assert_eq!(market.next_look(&mut Random::new(1), Some(0)), 0);
    }

    #[test]
    fn an_offer_lasts_a_quarter_of_an_hour() {
        let mut market = Market::new(2_000);
        let mut offers = Vec::new();
        for minute in 0..60 {
            market.turn_to(minute * 60_000);
            offers.push(market.offer().product);
        }
        offers.dedup();
        assert_eq!(offers.len(), 4);
    }
}
