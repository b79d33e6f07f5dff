//! What the API measures of itself, for Prometheus.

mod cache;
mod health;

use std::fmt::Debug;
use std::sync::atomic::AtomicU64;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use self::cache::register_cache;
pub use self::health::register_health;

/// From an answer out of memory to the time limit of a query.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

/// What the API counts of itself: requests, live streams and connections.
#[derive(Debug, Clone)]
pub struct Telemetry {
    requests: Family<Request, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    live_streams: Gauge,
    live_messages: Counter<u64, AtomicU64>,
    connections: Gauge,
    refused_connections: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

impl Telemetry {
    /// Registers the API's own figures, whose names all begin with `vitral_http_`.
    pub fn register(registry: &mut Registry) -> Self {
        let telemetry = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            live_streams: Gauge::default(),
            live_messages: Counter::default(),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("vitral_http");
        registry.register("requests", "Requests answered", telemetry.requests.clone());
        registry.register("request_seconds", "Time until an answer's head was ready", telemetry.seconds.clone());
        registry.register("live_streams", "Live streams that are open", telemetry.live_streams.clone());
        registry.register("live_messages", "Messages sent on live streams", telemetry.live_messages.clone());
        registry.register("connections", "Connections that are open", telemetry.connections.clone());
        registry.register(
            "refused_connections",
            "Connections that were answered 503 at once: all were busy",
            telemetry.refused_connections.clone(),
        );
        telemetry
    }

    pub(crate) fn connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(crate) fn refused_connection(&self) {
        self.refused_connections.inc();
    }

    /// `route` is the pattern, not the path: labels must stay few.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, seconds: f64) {
        let route = route.to_owned();
        self.seconds.get_or_create(&Route { route: route.clone() }).observe(seconds);
        let request = Request { method: method_label(method), route, status: status.as_u16() };
        self.requests.get_or_create(&request).inc();
    }

    pub(crate) fn open_stream(&self) -> OpenStream {
        self.live_streams.inc();
        OpenStream { open: self.live_streams.clone(), messages: self.live_messages.clone() }
    }
}

/// Counts as open as long as it lives.
pub(crate) struct OpenStream {
    open: Gauge,
    messages: Counter<u64, AtomicU64>,
}

impl OpenStream {
    pub(crate) fn sent(&self) {
        self.messages.inc();
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// Anyone may invent methods.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
