//! The cluster that topics are read from, where a command says something else than the connection.

use vitral_connect_kafka::KafkaConfig;

use crate::Config;
use crate::connections::KAFKA;

impl Config {
    /// Topics are read from this cluster, whatever is declared, as a demo has a broker of its own.
    /// It is also what the name `kafka` means as long as nobody declares that.
    pub fn set_cluster(&mut self, cluster: KafkaConfig) {
        self.cluster = Some(cluster);
    }

    /// The brokers of the connection that topics are read from, `host:port` with commas between
    /// them, are these.
    pub fn set_brokers(&mut self, brokers: &str) {
        self.connections.entry(self.kafka.connection.clone()).or_default().url = format!("{KAFKA}://{brokers}");
    }
}

#[cfg(test)]
mod tests {
    use vitral_connect::Connection;

    use super::*;
    use crate::Receiver;

    #[test]
    fn a_cluster_of_one_s_own_is_that_of_the_topics_and_of_what_names_none() {
        let demo = KafkaConfig { brokers: "127.0.0.1:9192".to_owned(), ..KafkaConfig::default() };
        let mut config = Config::default();
        config.set_cluster(demo.clone());
        assert_eq!(config.kafka().expect("a cluster"), demo);
        assert!(matches!(config.receiver("kafka"), Ok(Receiver::Kafka(kafka)) if kafka == demo));
        // What somebody has declared under this name is still that.
        config.connections.insert(KAFKA.to_owned(), Connection::to("kafka://a:9092"));
        assert_eq!(config.kafka().expect("a cluster"), demo);
        assert!(matches!(config.receiver("kafka"), Ok(Receiver::Kafka(kafka)) if kafka.brokers == "a:9092"));
        let mut config = Config::default();
        config.set_brokers("b:9092,c:9092");
        assert_eq!(config.kafka().expect("a cluster").brokers, "b:9092,c:9092");
        assert!(matches!(config.receiver("kafka"), Ok(Receiver::Kafka(kafka)) if kafka.brokers == "b:9092,c:9092"));
    }
}
