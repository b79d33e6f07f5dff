//! A small Kafka-protocol broker.
