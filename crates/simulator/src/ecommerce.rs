//! Believable shoppers of a Brazilian shop, as messages of topic `eventos_clientes`; what they
//! leave in stock ([`AllTopics`]), and what was sold before ([`write_past_sales`]).

use std::collections::{BTreeMap, VecDeque};

use chrono_tz::Tz;

use clock::Clock;
use crowd::Crowd;
use event::{Event, EventKind, Sale, event_id};
use popularity::Market;
use shopper::{Action, Cart, Line, Visitor};

use crate::random::{Random, mix};
use crate::{Message, MessageKind};

mod clock;
mod crowd;
mod departments;
mod event;
mod json;
mod malformed;
mod past;
mod popularity;
mod profiles;
mod reference;
mod shop;
mod shopper;
mod stock;
#[cfg(test)]
mod tests;

pub use past::write_past_sales;
pub use profiles::{Profile, profiles};
pub use reference::write_reference_csv;
pub use shop::{Product, Region, products, regions};
pub use stock::{AllTopics, STOCK_TOPIC};

/// The topic of its messages.
pub const TOPIC: &str = "eventos_clientes";

/// Late events come at most 22 minutes after they happened, well within the lateness of an hour.
const LATE_MS: i64 = 5_000;
const LATE_DOUBLINGS: u64 = 8;
/// Those too late come at least 75 minutes after they happened, at most 40 hours.
const TOO_LATE_MS: i64 = 75 * 60_000;
const TOO_LATE_DOUBLINGS: u64 = 5;

/// Producers repeat a message within 3 seconds, much sooner than it could be too late.
const DUPLICATE_AFTER_MS: i64 = 20;
const DUPLICATE_DOUBLINGS: u64 = 7;
/// At high rates the oldest repetition goes out early rather than waiting in memory (300 bytes
/// each).
const DUPLICATES_MAX: usize = 1_024;

/// How many orders, per mille, have a line refunded.
const REFUND_PER_MILLE: u64 = 45;
/// Refunds follow after 3 minutes to 8.5 days.
const REFUND_AFTER_MS: i64 = 180_000;
const REFUND_DOUBLINGS: u64 = 12;
/// At high rates the refund due first goes out early (200 bytes each); dropping some would lower
/// their share instead.
const REFUNDS_MAX: usize = 65_536;

/// How many orders, per mille, use a coupon for everything in them.
const COUPON_PER_MILLE: u64 = 80;
const CURRENCY_PER_MILLE: u64 = 30;

/// What a shop is like, and how well its messages travel.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatorConfig {
    /// Decides, with the start, every choice that is made.
    pub seed: u64,
    /// Simulated time of the start, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Mean messages per second of simulated time.
    pub rate: f64,
    /// Whether the rate follows the shop's day: quiet at 4 h, busy at lunch and from 20 to 22 h,
    /// `rate` on average.
    pub rhythm: bool,
    /// How many products the shop has; at least 1 is taken.
    pub products: u32,
    /// How many users it has; at least 1 is taken.
    pub users: u32,
    /// The share of all messages, from 0 to 1, that are late but still count.
    pub late_share: f64,
    /// The share of those later than the lateness of one hour.
    pub too_late_share: f64,
    /// The share of those that repeat an earlier message exactly.
    pub duplicate_share: f64,
    /// The share of those that must be refused.
    pub malformed_share: f64,
    /// The shop's zone, for the daily rhythm and for the clients that write local time.
    pub zone: Tz,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            // 2025-05-14, midnight in São Paulo.
            start_ms: 1_747_191_600_000,
            rate: 200.0,
            rhythm: true,
            products: 2_000,
            users: 20_000,
            late_share: 0.01,
            too_late_share: 0.001,
            duplicate_share: 0.01,
            malformed_share: 0.002,
            zone: chrono_tz::America::Sao_Paulo,
        }
    }
}

/// An endless iterator of messages.
#[derive(Debug)]
pub struct Simulator {
    config: SimulatorConfig,
    /// Hash of seed and start, from which ids derive: another start repeats none.
    run: u64,
    random: Random,
    clock: Clock,
    market: Market,
    crowd: Crowd,
    /// Events and orders so far.
    events: u64,
    orders: u64,
    /// Lines of an order that are still to be sent, with the kind of the first.
    order_lines: VecDeque<(Event, MessageKind)>,
    /// By when they are due and the order.
    refunds: BTreeMap<(i64, u64), Event>,
    duplicates: VecDeque<Message>,
    /// The chance that a sent event will be repeated.
    duplicate_chance: f64,
    /// What the last message sold.
    sold: Option<Line>,
}

impl Simulator {
    /// The messages of this configuration, from its start on.
    pub fn new(config: SimulatorConfig) -> Self {
        let run = mix(config.seed ^ mix(config.start_ms as u64));
        let mut random = Random::new(mix(run));
        let mut clock = Clock::new(config.start_ms, config.rate, config.rhythm, config.zone);
        // The day's rhythm delays the first message too.
        clock.advance(&mut random);
        let mut market = Market::new(config.products.max(1));
        market.turn_to(clock.now_ms());
        let mut crowd = Crowd::new(run, config.users.max(1));
        crowd.fit(clock.rate_now());
        crowd.warm_up(&mut random, &market);
        // Neither broken nor outdated messages are repeated, so the others are a little more often.
        let repeatable = 1.0 - config.malformed_share - config.duplicate_share - config.too_late_share;
        let duplicate_chance = config.duplicate_share / repeatable.max(f64::MIN_POSITIVE);
        Self {
            run,
            random,
            clock,
            market,
            crowd,
            events: 0,
            orders: 0,
            order_lines: VecDeque::new(),
            refunds: BTreeMap::new(),
            duplicates: VecDeque::new(),
            duplicate_chance,
            sold: None,
            config,
        }
    }

    fn step(&mut self) -> Message {
        let now_ms = self.clock.now_ms();
        self.sold = None;
        if self.random.chance(self.config.malformed_share) {
            return self.malformed(now_ms);
        }
        let early = self.duplicates.len() > DUPLICATES_MAX;
        if let Some(duplicate) = self.duplicates.pop_front_if(|first| early || first.event_ms <= now_ms) {
            return Message { event_ms: now_ms, ..duplicate };
        }
        let (event, kind) = self.next_event(now_ms);
        self.sold = event.sold();
        let message = self.message(&event, kind);
        if kind != MessageKind::TooLate && self.random.chance(self.duplicate_chance) {
            let due_ms = now_ms + self.random.span_ms(DUPLICATE_AFTER_MS, DUPLICATE_DOUBLINGS);
            let duplicate = Message { event_ms: due_ms, kind: MessageKind::Duplicate, ..message.clone() };
            self.duplicates.push_back(duplicate);
        }
        message
    }

    fn next_event(&mut self, now_ms: i64) -> (Event, MessageKind) {
        if let Some(line) = self.order_lines.pop_front() {
            return line;
        }
        if let Some((_, mut refund)) = self.due_refund(now_ms) {
            refund.time_ms = now_ms - refund.visitor.lag_ms;
            return (refund, MessageKind::Prompt);
        }
        let (visitor, action) = self.crowd.act(&mut self.random, &self.market);
        let (kind, lag_ms) = self.lag();
        (self.event(visitor, action, now_ms - visitor.lag_ms - lag_ms, kind), kind)
    }

    /// The next refund that is due, or that has no room to wait; with the time at which it is due.
    fn due_refund(&mut self, now_ms: i64) -> Option<(i64, Event)> {
        let ((due_ms, _), _) = self.refunds.first_key_value()?;
        let is_due = *due_ms <= now_ms || self.refunds.len() > REFUNDS_MAX;
        is_due.then(|| self.refunds.pop_first()).flatten().map(|((due_ms, _), refund)| (due_ms, refund))
    }

    /// Late events are dated back instead of held back: a demo shows them from its start, and none
    /// waits in memory.
    fn lag(&mut self) -> (MessageKind, i64) {
        let roll = self.random.unit() * (1.0 - self.config.malformed_share - self.config.duplicate_share);
        if roll < self.config.too_late_share {
            (MessageKind::TooLate, self.random.span_ms(TOO_LATE_MS, TOO_LATE_DOUBLINGS))
        } else if roll < self.config.too_late_share + self.config.late_share {
            (MessageKind::Late, self.random.span_ms(LATE_MS, LATE_DOUBLINGS))
        } else {
            (MessageKind::Prompt, 0)
        }
    }

    fn event(&mut self, visitor: Visitor, action: Action, time_ms: i64, kind: MessageKind) -> Event {
        let event = |kind| Event::new(kind, visitor, time_ms);
        match action {
            Action::Search { department } => Event { department_of: department, ..event(EventKind::Search) },
            Action::Click { product } => Event { product: Some(product), ..event(EventKind::Click) },
            Action::View { product } => Event {
                product: Some(product),
                price_cents: Some(visitor.price_cents(product)),
                ..event(EventKind::View)
            },
            Action::Add(line) => priced(event(EventKind::CartAddition), line),
            Action::Remove(line) => priced(event(EventKind::CartRemoval), line),
            Action::Checkout => event(EventKind::Checkout),
            Action::Buy(cart) => self.buy(event(EventKind::Purchase), cart, kind),
        }
    }

    /// Puts the order's lines in the queue, takes the first from it, and may plan a refund.
    fn buy(&mut self, purchase: Event, cart: Cart, kind: MessageKind) -> Event {
        let order = mix(mix(self.run ^ 2).wrapping_add(self.orders));
        self.orders += 1;
        let coupon = if self.random.per_mille(COUPON_PER_MILLE) { 5 * (1 + self.random.below(3) as i64) } else { 0 };
        let names_currency = self.random.per_mille(CURRENCY_PER_MILLE);
        let offer = self.market.offer();
        for line in cart.lines() {
            let mut event = priced(purchase, line);
            let percent = if line.product == offer.product { coupon.max(offer.percent) } else { coupon };
            let unit_discount_cents = event.price_cents.unwrap_or(0) * percent / 100;
            event.sale = Some(Sale { order, unit_discount_cents, names_currency });
            self.order_lines.push_back((event, kind));
        }
        if self.random.per_mille(REFUND_PER_MILLE) {
            let nth = self.random.below(self.order_lines.len() as u64) as usize;
            let due_ms = self.clock.now_ms() + self.random.span_ms(REFUND_AFTER_MS, REFUND_DOUBLINGS);
            let (line, _) = self.order_lines[nth];
            let refund = self.refund(line);
            self.refunds.insert((due_ms, order), refund);
        }
        // The crowd only buys carts that hold something.
        self.order_lines.pop_front().map_or(purchase, |(first, _)| first)
    }

    /// Gives back what was paid for a line, so its discount is off the unit amount.
    fn refund(&mut self, line: Event) -> Event {
        let discount = line.sale.map_or(0, |sale| sale.unit_discount_cents);
        Event {
            kind: EventKind::Refund,
            price_cents: line.price_cents.map(|price| price - discount),
            quantity: line.quantity.map(|all| if self.random.per_mille(700) { all } else { 1 }),
            ..line
        }
    }

    fn message(&mut self, event: &Event, kind: MessageKind) -> Message {
        let id = event_id(event.time_ms, self.run, self.events);
        self.events += 1;
        Message {
            topic: TOPIC,
            key: format!("u{}", u64::from(event.visitor.user) + 1),
            payload: event.json(&id, self.clock.offset_ms()),
            event_ms: self.clock.now_ms(),
            kind,
        }
    }

    /// What a visitor's client sends when it is broken; the visit itself goes on untouched.
    fn malformed(&mut self, now_ms: i64) -> Message {
        let visitor = self.crowd.any_visitor(&mut self.random);
        let line = Line { product: self.market.next_look(&mut self.random, None), quantity: 1 };
        let event = priced(Event::new(EventKind::CartAddition, visitor, now_ms - visitor.lag_ms), line);
        let mut message = self.message(&event, MessageKind::Prompt);
        message.kind = MessageKind::Malformed(malformed::break_event(&mut self.random, &mut message.payload));
        message
    }
}

impl Iterator for Simulator {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let message = self.step();
        if self.clock.advance(&mut self.random) {
            self.market.turn_to(self.clock.now_ms());
            self.crowd.fit(self.clock.rate_now());
        }
        Some(message)
    }
}

fn priced(event: Event, line: Line) -> Event {
    Event {
        product: Some(line.product),
        quantity: Some(line.quantity),
        price_cents: Some(event.visitor.price_cents(line.product)),
        ..event
    }
}
