// Sends events with KafkaJS and reads them back: brokers, topic, name, codec, idempotence, count.
// KafkaJS has gzip only; the other codecs are packages that a shop registers like this.

const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require("kafkajs");
const lz4 = require("lz4-napi");
const snappy = require("snappy");
const zstd = require("@bokuweb/zstd-wasm");

// Java's framing of snappy, in which consumers get it from Java producers.
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
async function unpackSnappy(buffer) {
  if (!buffer.subarray(0, 8).equals(XERIAL)) return snappy.uncompress(buffer);
  const parts = [];
  for (let at = 16; at < buffer.length; ) {
    const size = buffer.readUInt32BE(at);
    parts.push(await snappy.uncompress(buffer.subarray(at + 4, at + 4 + size)));
    at += 4 + size;
  }
  return Buffer.concat(parts);
}
CompressionCodecs[CompressionTypes.Snappy] = () => ({ compress: (encoder) => snappy.compress(encoder.buffer), decompress: unpackSnappy });
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
});

async function main([brokers, topic, name, codec, idempotence, counted]) {
  const idempotent = idempotence === "true";
  const count = Number(counted);
  await zstd.init();
  const kafka = new Kafka({ clientId: name, brokers: [brokers], logLevel: logLevel.ERROR });
  const compression = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }[codec];
  const producer = kafka.producer({ idempotent, maxInFlightRequests: idempotent ? 1 : 5 });
  await producer.connect();
  for (let n = 0; n < count; n += 100) {
    const messages = [];
    for (let m = n; m < Math.min(n + 100, count); m++) {
      const event = { id_usuario: `${name}-${m}`, tipo_evento: "visualizacao", id_produto: name, id_evento: `${name}-${m}`, timestamp: new Date().toISOString() };
      messages.push({ key: `${name}-${m}`, value: JSON.stringify(event) });
    }
    await producer.send({ topic, compression, messages, acks: -1 });
  }
  await producer.disconnect();

  // It reads in groups only.
  const consumer = kafka.consumer({ groupId: name, sessionTimeout: 10000, retry: { retries: 3 } });
  const read = new Set();
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, 60000);
    consumer.on(consumer.events.CRASH, (event) => console.log(`reading failed: ${event.payload.error}`));
    consumer.run({
      eachMessage: async ({ message }) => {
        if (message.key && message.key.toString().startsWith(`${name}-`)) read.add(message.key.toString());
        if (read.size === count) { clearTimeout(timer); resolve(); }
      },
    });
  });
  await consumer.disconnect();
  console.log(`read ${read.size}`);
  process.exit(read.size === count ? 0 : 1);
}

main(process.argv.slice(2)).catch((error) => { console.log(`${error}`); process.exit(1); });
