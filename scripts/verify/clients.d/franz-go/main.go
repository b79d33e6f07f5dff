// Sends events with franz-go and reads them back: brokers, topic, name, codec, idempotence, count.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	brokers, topic, name, codec := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	idempotence := os.Args[5] == "true"
	count, err := strconv.Atoi(os.Args[6])
	check(err)
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codecs[codec]),
		kgo.ProducerLinger(50 * time.Millisecond),
	}
	if !idempotence {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	producer, err := kgo.NewClient(options...)
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	records := make([]*kgo.Record, count)
	for n := range records {
		id := fmt.Sprintf("%s-%d", name, n)
		value := fmt.Sprintf(`{"id_usuario":%q,"tipo_evento":"visualizacao","id_produto":%q,"id_evento":%q,"timestamp":%q}`,
			id, name, id, time.Now().UTC().Format(time.RFC3339Nano))
		records[n] = &kgo.Record{Key: []byte(id), Value: []byte(value)}
	}
	check(producer.ProduceSync(ctx, records...).FirstErr())
	producer.Close()

	// A group of its own, or every partition by hand.
	options = []kgo.Opt{kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if idempotence {
		options = append(options, kgo.ConsumerGroup(name))
	}
	consumer, err := kgo.NewClient(options...)
	check(err)
	read := map[string]bool{}
	for len(read) < count && ctx.Err() == nil {
		fetches := consumer.PollFetches(ctx)
		fetches.EachError(func(_ string, partition int32, err error) { fmt.Println("reading failed:", partition, err) })
		fetches.EachRecord(func(record *kgo.Record) {
			if strings.HasPrefix(string(record.Key), name+"-") {
				read[string(record.Key)] = true
			}
		})
	}
	consumer.Close()
	fmt.Println("read", len(read))
	if len(read) != count {
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
