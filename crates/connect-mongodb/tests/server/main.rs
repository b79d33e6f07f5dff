//! A real server that speaks MongoDB's protocol: `scripts/tool just test-mongodb`.

mod lookup;
mod outage;
mod sink;
mod world;
