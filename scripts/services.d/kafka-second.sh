# A second broker of the service `kafka`, which must run: for tests in which one of two brokers fails. Sourced by ../services.

port=${VITRAL_KAFKA_SECOND_PORT:-19192}
if alive; then port=$(<"$home/port"); fi
proxied=${VITRAL_KAFKA_SECOND_PROXIED_PORT:-$((port + 3))}
address=127.0.0.1:$port
first=$root/kafka
jars=$first/$(sha256sum <"$definitions/kafka/pom.xml" | cut -c1-12)
java=(java -Xmx512m -Dlog4j2.level=INFO -cp "$jars/*")
command=("${java[@]}" kafka.Kafka "$home/server.properties")

install() { [[ -s $first/pid ]] || fail "kafka-second needs kafka: scripts/services start kafka"; }

prepare() {
  echo "$port" >"$home/port"
  cat >"$home/server.properties" <<END
process.roles=broker
node.id=2
controller.quorum.voters=1@127.0.0.1:$(($(<"$first/port") + 1))
listeners=PLAINTEXT://$address,PROXIED://127.0.0.1:$((port + 2))
advertised.listeners=PLAINTEXT://$address,PROXIED://127.0.0.1:$proxied
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$home/data
log.retention.ms=-1
END
  [[ -d $home/data ]] ||
    "${java[@]}" kafka.tools.StorageTool format --cluster-id vitral-test-kafka-0001 \
      --config "$home/server.properties" >"$home/log" 2>&1 ||
    { tail -n 30 "$home/log" >&2; rm -rf "$home/data"; fail "kafka-second could not format $home/data"; }
}

# An ApiVersions request (version 0): the answer's 9th and 10th byte are its error code. A Metadata request would find the first broker
# as well.
answers() {
  timeout 2 bash 2>/dev/null -c '
    exec 3<>"/dev/tcp/${1/:/\/}"
    printf "\0\0\0\012\0\022\0\0\0\0\0\001\377\377" >&3
    [[ $(head -c 10 <&3 | tail -c 2 | od -An -tu1) == "   0   0" ]]' answers "$address" &&
    grep -qs "Kafka Server started" "$home/log"
}

environment() { echo "VITRAL_TEST_KAFKA_SECOND=$address"; }
