# Apache Kafka: one node in KRaft mode, broker and controller in one process. Sourced by ../services.

port=${VITRAL_KAFKA_PORT:-19092}
if alive; then port=$(<"$home/port"); fi
# What connects at the port after the next is told that the broker is at this one: a proxy may stand there.
proxied=${VITRAL_KAFKA_PROXIED_PORT:-$((port + 3))}
address=127.0.0.1:$port
jars=$home/$(sha256sum <"$definitions/kafka/pom.xml" | cut -c1-12)
java=(java -Xmx768m -Dlog4j2.level=INFO -cp "$jars/*")
command=("${java[@]}" kafka.Kafka "$home/server.properties")

install() {
  needs java default-jre-headless
  [[ -d $jars ]] && return
  needs mvn maven
  echo "kafka: copying its jars to $jars" >&2
  rm -rf "$jars.part"
  mvn --batch-mode --quiet -Dstyle.color=never -f "$definitions/kafka/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies -DoutputDirectory="$jars.part" >&2
  mv "$jars.part" "$jars"
}

prepare() {
  echo "$port" >"$home/port"
  cat >"$home/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://$address,PROXIED://127.0.0.1:$((port + 2)),CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://$address,PROXIED://127.0.0.1:$proxied
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$home/data
# Tests replay events of past years: nothing may expire.
log.retention.ms=-1
num.partitions=4
auto.create.topics.enable=true
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
END
  [[ -d $home/data ]] ||
    "${java[@]}" kafka.tools.StorageTool format --cluster-id vitral-test-kafka-0001 \
      --config "$home/server.properties" >"$home/log" 2>&1 ||
    { tail -n 30 "$home/log" >&2; rm -rf "$home/data"; fail "kafka could not format $home/data"; }
}

# A Metadata request (version 0) that names no topic: the answer's 9th to 12th byte count the brokers in service.
answers() {
  timeout 2 bash 2>/dev/null -c '
    exec 3<>"/dev/tcp/${1/:/\/}"
    printf "\0\0\0\016\0\003\0\0\0\0\0\001\377\377\0\0\0\0" >&3
    [[ $(head -c 12 <&3 | tail -c 4 | od -An -tu1) == "   0   0   0   1" ]]' answers "$address"
}

environment() { echo "VITRAL_TEST_KAFKA=$address"; }
