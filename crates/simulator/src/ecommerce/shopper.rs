//! One visit to the shop: who comes, and what they do until they leave.
//!
//! Architecture invariant: a shopper views a product before adding it, adds before removing or
//! checking out, and buys only straight after a checkout.

use super::popularity::Market;
use super::profiles::{habits, home};
use super::shop::Item;
use crate::random::{Random, mix, scale};

pub(super) const CHANNELS: [&str; 4] = ["app", "site", "site_movel", "marketplace"];
const APP: u8 = 0;
const SITE: u8 = 1;
const MOBILE_SITE: u8 = 2;
const MARKETPLACE: u8 = 3;
const AFFILIATES: u64 = 400;
/// From this unit price on, shoppers take one piece.
const DEAR_CENTS: i64 = 60_000;
const CART_LINES: usize = 5;
const CENTAVOS_PER_CENT: i64 = 5;

/// What every event of a visit repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visitor {
    pub(super) user: u32,
    pub(super) visit: u64,
    /// Time from an event to its sending.
    pub(super) lag_ms: i64,
    channel: u8,
    /// Index into the regions; absent for those who hide where they are.
    pub(super) region: Option<u8>,
    pub(super) affiliate: Option<u16>,
    /// Shops from abroad and pays in dollars.
    pub(super) foreign: bool,
    /// Uses a release of the app that sends prices as text.
    pub(super) old_app: bool,
}

impl Visitor {
    /// A visit of `user`. Home and habits depend on the user alone, so that returning users are
    /// recognisable.
    pub(super) fn new(random: &mut Random, user: u32, visit: u64, region_sums: &[u64]) -> Self {
        let hash = habits(user);
        let region = home(hash, region_sums) as u8;
        let usual = match scale(mix(hash ^ 1), 100) {
            0..42 => APP,
            42..72 => SITE,
            72..95 => MOBILE_SITE,
            _ => MARKETPLACE,
        };
        let channel = if random.per_mille(850) { usual } else { random.below(MARKETPLACE.into()) as u8 };
        Self {
            user,
            visit,
            lag_ms: 15 + random.span_ms(10, 6),
            channel,
            region: (!random.per_mille(20)).then_some(region),
            affiliate: (channel != MARKETPLACE && random.per_mille(60)).then(|| {
                let share = random.below(AFFILIATES);
                (1 + share * share / AFFILIATES) as u16
            }),
            foreign: scale(mix(hash ^ 2), 1000) < 3,
            old_app: channel == APP && scale(mix(hash ^ 3), 100) < 12,
        }
    }

    pub(super) fn channel(&self) -> &'static str {
        CHANNELS[usize::from(self.channel)]
    }

    /// Apps write local time with its offset, the other channels UTC.
    pub(super) fn writes_local_time(&self) -> bool {
        self.channel == APP
    }

    /// A price in cents of the currency in which this visitor pays.
    pub(super) fn price_cents(&self, product: u32) -> i64 {
        let cents = Item::new(product).price_cents();
        if self.foreign { cents / CENTAVOS_PER_CENT } else { cents }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) product: u32,
    pub(super) quantity: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Search { department: Option<u32> },
    Click { product: u32 },
    View { product: u32 },
    Add(Line),
    Remove(Line),
    Checkout,
    Buy(Cart),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cart {
    lines: [Option<Line>; CART_LINES],
}

impl Cart {
    pub(super) fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        self.lines.iter().flatten().copied()
    }

    fn is_empty(&self) -> bool {
        self.lines().next().is_none()
    }

    fn is_full(&self) -> bool {
        self.lines().count() == CART_LINES
    }

    pub(super) fn holds(&self, product: u32) -> bool {
        self.lines().any(|line| line.product == product)
    }

    pub(super) fn add(&mut self, line: Line) {
        if let Some(place) = self.lines.iter_mut().find(|place| place.is_none()) {
            *place = Some(line);
        }
    }

    fn take_any(&mut self, random: &mut Random) -> Option<Line> {
        let nth = random.below(self.lines().count() as u64) as usize;
        self.lines.iter_mut().filter(|place| place.is_some()).nth(nth)?.take()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Entering,
    Browsing,
    /// Saw this product in a list and clicked on it.
    Clicked(u32),
    CheckingOut,
    Done,
}

#[derive(Debug, Clone)]
pub(super) struct Shopper {
    pub(super) visitor: Visitor,
    stage: Stage,
    /// Came to buy, not only to look.
    keen: bool,
    viewed: Option<u32>,
    cart: Cart,
}

impl Shopper {
    pub(super) fn new(random: &mut Random, visitor: Visitor) -> Self {
        let keen = random.per_mille(300);
        Self { visitor, stage: Stage::Entering, keen, viewed: None, cart: Cart::default() }
    }

    /// The visit's next event; none when the shopper leaves.
    pub(super) fn act(&mut self, random: &mut Random, market: &Market) -> Option<Action> {
        match self.stage {
            Stage::Entering if random.per_mille(220) => Some(self.search(random)),
            Stage::Entering => Some(self.look(random, market)),
            Stage::Clicked(product) if random.per_mille(850) => Some(self.view(product)),
            Stage::CheckingOut => match random.below(1000) {
                0..380 => {
                    self.stage = Stage::Done;
                    Some(Action::Buy(std::mem::take(&mut self.cart)))
                }
                380..600 => Some(self.look(random, market)),
                _ => None,
            },
            Stage::Done if random.per_mille(700) => None,
            Stage::Browsing | Stage::Clicked(_) | Stage::Done => self.browse(random, market),
        }
    }

    fn browse(&mut self, random: &mut Random, market: &Market) -> Option<Action> {
        let roll = random.below(1000);
        if !self.cart.is_empty() {
            let checkout = if self.keen { 260 } else { 90 };
            if roll < checkout || self.cart.is_full() {
                self.stage = Stage::CheckingOut;
                return Some(Action::Checkout);
            }
            if roll < checkout + 60 {
                return self.cart.take_any(random).map(Action::Remove);
            }
        }
        if random.per_mille(if self.keen { 50 } else { 140 }) {
            return None;
        }
        match self.viewed {
            _ if random.per_mille(80) => Some(self.search(random)),
            Some(product) if !self.cart.holds(product) && random.per_mille(self.add_per_mille()) => {
                let line = Line { product, quantity: quantity(random, product) };
                self.cart.add(line);
                Some(Action::Add(line))
            }
            _ => Some(self.look(random, market)),
        }
    }

    fn add_per_mille(&self) -> u64 {
        if self.keen { 390 } else { 130 }
    }

    fn search(&mut self, random: &mut Random) -> Action {
        self.stage = Stage::Browsing;
        Action::Search { department: self.viewed.filter(|_| random.per_mille(600)) }
    }

    fn look(&mut self, random: &mut Random, market: &Market) -> Action {
        let product = market.next_look(random, self.viewed);
        if random.per_mille(450) {
            self.stage = Stage::Clicked(product);
            return Action::Click { product };
        }
        self.view(product)
    }

    fn view(&mut self, product: u32) -> Action {
        self.stage = Stage::Browsing;
        self.viewed = Some(product);
        Action::View { product }
    }
}

/// How many pieces of a product somebody takes.
pub(super) fn quantity(random: &mut Random, product: u32) -> u32 {
    if Item::new(product).price_cents() >= DEAR_CENTS {
        return 1;
    }
    match random.below(100) {
        0..80 => 1,
        80..93 => 2,
        93..97 => 3,
        97..99 => 4,
        _ => 6,
    }
}
