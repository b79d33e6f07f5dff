//! Pseudo-random numbers whose sequence never changes: SplitMix64, written out here because a
//! library's generator may change with its version, and the simulator promises the same bytes for
//! the same seed.
//!
//! Architecture invariant: the simulator uses only integer arithmetic and the four IEEE operations
//! on `f64`. Logarithms and powers differ between platforms' libraries, so distributions are built
//! without them.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A bijection of 64 bits that scatters neighbours: for one `x` there is one hash, and for one hash
/// one `x`.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(GOLDEN);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// `hash` mapped to `0..bound`; 0 for a bound of 0.
pub(crate) fn scale(hash: u64, bound: u64) -> u64 {
    ((u128::from(hash) * u128::from(bound)) >> 64) as u64
}

#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        let hash = mix(self.0);
        self.0 = self.0.wrapping_add(GOLDEN);
        hash
    }

    /// Uniform in `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        scale(self.next(), bound)
    }

    /// Uniform in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub(crate) fn per_mille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// From `shortest` to `shortest * 2^doublings`, every doubling equally likely: short spans
    /// prevail, long ones occur.
    pub(crate) fn span_ms(&mut self, shortest: i64, doublings: u64) -> i64 {
        let base = shortest << self.below(doublings);
        base + self.below(base.unsigned_abs()) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(expected, [random.next(), random.next(), random.next()]);
    }

    #[test]
    fn spans_stay_in_their_bounds() {
        let mut random = Random::new(7);
        let spans: Vec<_> = (0..10_000).map(|_| random.span_ms(1_000, 4)).collect();
        assert!(spans.iter().all(|span| (1_000..16_000).contains(span)));
        assert!(spans.iter().any(|span| *span < 1_100) && spans.iter().any(|span| *span > 15_000));
    }
}
