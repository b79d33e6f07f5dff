//! Who the shop's users are: what another system would know of them, and events do not say.
//!
//! A profile depends on the user's number alone, like a product: every seed plays with the same
//! users.

use super::SimulatorConfig;
use super::popularity::{running_sums, weighted};
use super::shop::REGIONS;
use crate::random::{Random, mix, scale};

/// How many users, per mille, nothing is known of: they have never registered.
const UNKNOWN_PER_MILLE: u64 = 20;

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// As in the events' `id_usuario`.
    pub id_usuario: String,
    /// The group of customers that the shop puts the user in.
    pub segmento: &'static str,
    /// Where the user lives.
    pub cidade: &'static str,
}

/// The profiles of all users that have one.
pub fn profiles(config: &SimulatorConfig) -> impl Iterator<Item = Profile> + use<> {
    let sums = region_sums();
    (0..config.users.max(1)).filter_map(move |user| {
        let hash = habits(user);
        if scale(mix(hash ^ 4), 1_000) < UNKNOWN_PER_MILLE {
            return None;
        }
        let segmento = match scale(mix(hash ^ 5), 100) {
            0..58 => "varejo",
            58..85 => "clube",
            85..95 => "vip",
            _ => "revenda",
        };
        let cidade = REGIONS[home(hash, &sums)].cidade;
        Some(Profile { id_usuario: format!("u{}", u64::from(user) + 1), segmento, cidade })
    })
}

/// Decides all that stays the same of a user.
pub(super) fn habits(user: u32) -> u64 {
    mix(u64::from(user) ^ 0x7573_6572)
}

/// The region of a user's home, by its index.
pub(super) fn home(habits: u64, region_sums: &[u64]) -> usize {
    weighted(&mut Random::new(habits), region_sums)
}

/// Of how many users live in each region.
pub(super) fn region_sums() -> Vec<u64> {
    running_sums(REGIONS.iter().map(|region| region.weight))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn most_users_have_a_profile_and_few_are_in_the_small_segments() {
        let all: Vec<_> = profiles(&SimulatorConfig::default()).collect();
        assert!((19_500..19_700).contains(&all.len()), "{}", all.len());
        let mut segments = BTreeMap::new();
        for profile in &all {
            *segments.entry(profile.segmento).or_insert(0) += 1;
        }
        assert!(segments.len() == 4 && segments["varejo"] > 10_000 && (800..1_200).contains(&segments["revenda"]));
        let large = SimulatorConfig { users: 40_000, ..SimulatorConfig::default() };
        assert!(all.iter().cloned().eq(profiles(&large).take(all.len())), "more users change nobody's profile");
    }
}
