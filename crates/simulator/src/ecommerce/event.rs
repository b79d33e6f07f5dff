//! An event of topic `eventos_clientes` and its JSON, written straight into a buffer.

use super::json::Json;
use super::shop::{Item, REGIONS};
use super::shopper::{Line, Visitor};
use crate::random::mix;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    Click,
    View,
    Search,
    CartAddition,
    CartRemoval,
    Checkout,
    Purchase,
    Refund,
}

impl EventKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Click => "clique",
            Self::View => "visualizacao",
            Self::Search => "busca",
            Self::CartAddition => "adicao_carrinho",
            Self::CartRemoval => "remocao_carrinho",
            Self::Checkout => "inicio_checkout",
            Self::Purchase => "compra",
            Self::Refund => "reembolso",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    pub(super) visitor: Visitor,
    /// When it happened, which is a little before it is sent, or long before if it is late.
    pub(super) time_ms: i64,
    pub(super) product: Option<u32>,
    /// A search within the department of a product.
    pub(super) department_of: Option<u32>,
    pub(super) sale: Option<Sale>,
    /// Unit price, where shoppers see one.
    pub(super) price_cents: Option<i64>,
    pub(super) quantity: Option<u32>,
}

/// What only purchases and refunds have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sale {
    pub(super) order: u64,
    pub(super) unit_discount_cents: i64,
    /// Whether the shop's own currency is named too; usually it goes without saying.
    pub(super) names_currency: bool,
}

impl Event {
    pub(super) fn new(kind: EventKind, visitor: Visitor, time_ms: i64) -> Self {
        Self {
            kind,
            visitor,
            time_ms,
            product: None,
            department_of: None,
            sale: None,
            price_cents: None,
            quantity: None,
        }
    }

    /// What leaves the stock with it.
    pub(super) fn sold(&self) -> Option<Line> {
        let line = |product| Line { product, quantity: self.quantity.unwrap_or(1) };
        self.product.filter(|_| self.kind == EventKind::Purchase).map(line)
    }

    /// The event as JSON. `offset_ms` is the shop's offset from UTC, `id` comes from [`event_id`].
    pub(super) fn json(&self, id: &[u8; 26], offset_ms: i64) -> Vec<u8> {
        let visitor = &self.visitor;
        let mut json = Json::new();
        json.text(b"id_evento", id);
        json.key(b"id_usuario");
        json.bytes(b"\"u");
        json.integer(u64::from(visitor.user) + 1);
        json.bytes(b"\"");
        if self.kind != EventKind::Refund {
            json.text(b"id_sessao", &token(b's', visitor.visit));
        }
        json.text(b"tipo_evento", self.kind.name().as_bytes());
        if let Some(sale) = self.sale {
            json.text(b"id_pedido", &token(b'P', sale.order));
        }
        if let Some(product) = self.product {
            json.key(b"id_produto");
            json.bytes(b"\"p");
            json.integer(u64::from(product) + 1);
            json.bytes(b"\"");
        }
        if let Some(product) = self.product.or(self.department_of) {
            json.text(b"categoria", Item::new(product).category().as_bytes());
        }
        if let Some(quantity) = self.quantity {
            json.key(b"quantidade");
            json.integer(quantity.into());
        }
        if let Some(price) = self.price_cents {
            json.money(b"preco", price, visitor.old_app);
            self.sale_fields(&mut json, price * i64::from(self.quantity.unwrap_or(1)));
            if visitor.foreign {
                json.text(b"moeda", b"USD");
            }
        }
        if let Some(region) = visitor.region {
            json.text(b"regiao", REGIONS[usize::from(region)].regiao.as_bytes());
        }
        json.text(b"canal", visitor.channel().as_bytes());
        if let Some(affiliate) = visitor.affiliate {
            json.key(b"id_afiliado");
            json.bytes(b"\"a");
            json.integer(affiliate.into());
            json.bytes(b"\"");
        }
        json.key(b"timestamp");
        json.bytes(b"\"");
        if visitor.writes_local_time() {
            json.time(self.time_ms.saturating_add(offset_ms));
            json.offset(offset_ms);
        } else {
            json.time(self.time_ms);
            json.bytes(b"Z");
        }
        json.bytes(b"\"");
        json.finish()
    }

    fn sale_fields(&self, json: &mut Json, total_cents: i64) {
        let Some(sale) = self.sale else { return };
        json.money(b"valor_total", total_cents, self.visitor.old_app);
        if sale.unit_discount_cents > 0 && self.kind == EventKind::Purchase {
            let discount = sale.unit_discount_cents * i64::from(self.quantity.unwrap_or(1));
            json.money(b"desconto", discount, self.visitor.old_app);
        }
        if sale.names_currency && !self.visitor.foreign {
            json.text(b"moeda", b"BRL");
        }
    }
}

const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// An id in the form of a ULID: 48 bits of time, then 80 that derive from the run and the event's
/// number in it.
///
/// Within a run the low 64 bits never repeat, because `mix` is a bijection.
pub(super) fn event_id(time_ms: i64, run: u64, number: u64) -> [u8; 26] {
    let high = (time_ms as u64 & 0xFFFF_FFFF_FFFF) << 16 | mix(run) >> 48;
    let mut bits = u128::from(high) << 64 | u128::from(mix(run.wrapping_add(number)));
    let mut id = [0; 26];
    for place in id.iter_mut().rev() {
        *place = BASE32[(bits & 31) as usize];
        bits >>= 5;
    }
    id
}

/// The id of a visit or an order: a prefix and 64 bits in base 32.
pub(super) fn token(prefix: u8, mut number: u64) -> [u8; 14] {
    let mut text = [prefix; 14];
    for place in text[1..].iter_mut().rev() {
        *place = BASE32[(number & 31) as usize];
        number >>= 5;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::departments::DEPARTMENTS;
    use super::super::shopper::CHANNELS;
    use super::*;

    #[test]
    fn texts_need_no_escaping() {
        let words = DEPARTMENTS.iter().map(|department| department.name);
        let words = words.chain(CHANNELS).chain(REGIONS.iter().map(|region| region.regiao));
        for word in words {
            assert!(!word.contains(|letter: char| letter == '"' || letter == '\\' || letter.is_control()), "{word}");
        }
    }

    #[test]
    fn ids_begin_with_the_time_and_differ_by_run_and_number() {
        let id = |time, run, number| String::from_utf8(event_id(time, run, number).to_vec()).expect("text");
        // The time part of the example in the ULID specification.
        assert_eq!(&id(1_469_922_850_259, 1, 1)[..10], "01ARZ3NDEK");
        assert_ne!(id(0, 1, 1), id(0, 1, 2));
        assert_ne!(id(0, 1, 2), id(0, 2, 1));
    }
}
