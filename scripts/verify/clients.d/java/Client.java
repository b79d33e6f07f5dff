// Sends events with the Java client and reads them back: brokers, topic, name, codec, idempotence, count.

import java.time.*;
import java.util.*;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;

class Client {
    public static void main(String[] args) throws Exception {
        String brokers = args[0], topic = args[1], name = args[2], codec = args[3];
        boolean idempotence = Boolean.parseBoolean(args[4]);
        int count = Integer.parseInt(args[5]);
        String text = "org.apache.kafka.common.serialization.String";
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "compression.type", codec,
            "enable.idempotence", idempotence, "linger.ms", 50,
            "key.serializer", text + "Serializer", "value.serializer", text + "Serializer");
        try (var producer = new KafkaProducer<String, String>(settings)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int n = 0; n < count; n++) {
                String value = String.format("{\"id_usuario\":\"%1$s-%2$d\",\"tipo_evento\":\"visualizacao\",\"id_produto\":\"%1$s\","
                    + "\"id_evento\":\"%1$s-%2$d\",\"timestamp\":\"%3$s\"}", name, n, Instant.now());
                sent.add(producer.send(new ProducerRecord<>(topic, name + "-" + n, value)));
            }
            producer.flush();
            for (var future : sent) future.get();
        }

        // A group of its own, or every partition by hand.
        settings = Map.of("bootstrap.servers", brokers, "group.id", name, "auto.offset.reset", "earliest",
            "key.deserializer", text + "Deserializer", "value.deserializer", text + "Deserializer");
        Set<String> read = new HashSet<>();
        try (var consumer = new KafkaConsumer<String, String>(settings)) {
            if (idempotence) {
                consumer.subscribe(List.of(topic));
            } else {
                var partitions = consumer.partitionsFor(topic).stream()
                    .map(part -> new TopicPartition(topic, part.partition())).collect(Collectors.toList());
                consumer.assign(partitions);
                consumer.seekToBeginning(partitions);
            }
            Instant deadline = Instant.now().plusSeconds(60);
            while (read.size() < count && Instant.now().isBefore(deadline)) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    if (record.key() != null && record.key().startsWith(name + "-")) read.add(record.key());
                }
            }
        }
        System.out.println("read " + read.size());
        System.exit(read.size() == count ? 0 : 1);
    }
}
