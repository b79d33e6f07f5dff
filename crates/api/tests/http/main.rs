//! The API as its clients see it: requests in, exact answers out, over views made by hand.

mod alertas;
mod bounds;
mod connections;
mod csv;
mod endpoints;
mod health;
mod hosts;
mod live;
mod metrics;
mod page;
mod paging;
mod reconciliacao;
mod refusals;
mod sessions;
mod shutdown;
mod stock;
mod stored;
mod tables;
mod world;
