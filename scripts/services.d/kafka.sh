# Apache Kafka: one node in KRaft mode, broker and controller in one process. Sourced by ../services.
#
# Next to the plain listener there is one with TLS and passwords or tokens, one for client certificates, and one whose certificate has
# expired. Users: `vitral` may do everything, `stranger` nothing.

source "$definitions/certificates.bash"

port=${VITRAL_KAFKA_PORT:-19092}
if alive; then port=$(<"$home/port"); fi
# Clients that connect two ports further are directed to this one, where a proxy may stand.
proxied=${VITRAL_KAFKA_PROXIED_PORT:-$((port + 3))}
address=127.0.0.1:$port
secured=127.0.0.1:$((port + 4)) mutual=127.0.0.1:$((port + 5)) expired=127.0.0.1:$((port + 6))
tls=$home/tls
jars=$home/$(sha256sum <"$definitions/kafka/pom.xml" | cut -c1-12)
java=(java -Xmx768m -Dlog4j2.level=INFO "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://$tls/jwks.json" -cp "$jars/*")
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
  # What earlier versions formatted knows no users.
  [[ -f $tls/complete ]] || rm -rf "$home/data"
  local sasl=org.apache.kafka.common.security
  cat >"$home/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://$address,PROXIED://127.0.0.1:$((port + 2)),CONTROLLER://127.0.0.1:$((port + 1)),SECURED://$secured,MUTUAL://$mutual,EXPIRED://$expired
advertised.listeners=PLAINTEXT://$address,PROXIED://127.0.0.1:$proxied,SECURED://$secured,MUTUAL://$mutual,EXPIRED://$expired
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL,MUTUAL:SSL,EXPIRED:SSL
ssl.keystore.type=PEM
ssl.keystore.location=$tls/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$tls/ca.pem
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location=$tls/expired.pem
listener.name.mutual.ssl.client.auth=required
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.secured.plain.sasl.jaas.config=$sasl.plain.PlainLoginModule required user_vitral="vitral-secret" user_stranger="stranger-secret";
listener.name.secured.scram-sha-256.sasl.jaas.config=$sasl.scram.ScramLoginModule required;
listener.name.secured.scram-sha-512.sasl.jaas.config=$sasl.scram.ScramLoginModule required;
listener.name.secured.oauthbearer.sasl.jaas.config=$sasl.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="unused";
listener.name.secured.oauthbearer.sasl.server.callback.handler.class=$sasl.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.secured.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=file://$tls/jwks.json
listener.name.secured.oauthbearer.sasl.oauthbearer.expected.audience=kafka
listener.name.secured.oauthbearer.sasl.oauthbearer.expected.issuer=http://127.0.0.1
listener.name.secured.oauthbearer.connections.max.reauth.ms=60000
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:vitral;User:CN=vitral
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
  [[ -d $home/data ]] && return
  make_certificates "$tls"
  "${java[@]}" kafka.tools.StorageTool format --cluster-id vitral-test-kafka-0001 --config "$home/server.properties" \
    --add-scram "SCRAM-SHA-256=[name=vitral,password=vitral-secret]" --add-scram "SCRAM-SHA-512=[name=vitral,password=vitral-secret]" \
    >"$home/log" 2>&1 || { tail -n 30 "$home/log" >&2; rm -rf "$home/data"; fail "kafka could not format $home/data"; }
}

# A Metadata request (version 0) that names no topic: the answer's 9th to 12th byte count the brokers in service.
answers() {
  timeout 2 bash 2>/dev/null -c '
    exec 3<>"/dev/tcp/${1/:/\/}"
    printf "\0\0\0\016\0\003\0\0\0\0\0\001\377\377\0\0\0\0" >&3
    [[ $(head -c 12 <&3 | tail -c 4 | od -An -tu1) == "   0   0   0   1" ]]' answers "$address"
}

environment() {
  echo "VITRAL_TEST_KAFKA=$address"
  printf 'VITRAL_TEST_KAFKA_%s\n' "SASL_SSL=$secured" "MTLS=$mutual" "EXPIRED=$expired" "TLS=$tls"
  # Tests damage what lies there.
  echo "VITRAL_TEST_KAFKA_DATA=$home/data"
}
