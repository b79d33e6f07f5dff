# Redis from Debian, small and without a disk, by TLS for those who ask; `vitral` may do only what the program does. Sourced by ../services.

source "$definitions/certificates.bash"

port=${VITRAL_REDIS_PORT:-19379}
if alive; then port=$(<"$home/port"); fi
address=127.0.0.1:$port
secured=127.0.0.1:$((port + 1))
tls=$home/tls
command=(redis-server "$home/redis.conf")

install() {
  needs redis-server redis-server
  needs redis-cli redis-tools
}

prepare() {
  echo "$port" >"$home/port"
  make_certificates "$tls"
  mkdir -p "$home/data"
  cat >"$home/redis.conf" <<END
bind 127.0.0.1
port $port
tls-port $((port + 1))
tls-cert-file $tls/server.crt
tls-key-file $tls/server.key
tls-ca-cert-file $tls/ca.pem
tls-auth-clients no
dir $home/data
save ""
appendonly no
maxmemory 16mb
maxmemory-policy allkeys-lru
user default on nopass ~* &* +@all
user vitral on >vitral-secret ~vitral:* resetchannels -@all +get +set +del +expire +publish +subscribe +evalsha +script|load +time
END
}

answers() { [[ $(timeout 2 redis-cli -p "$port" ping 2>/dev/null) == PONG ]]; }

environment() {
  echo "VITRAL_TEST_REDIS_URL=redis://vitral:vitral-secret@$address"
  echo "VITRAL_TEST_REDIS_ADMIN=redis://$address"
  echo "VITRAL_TEST_REDIS_TLS_URL=rediss://vitral:vitral-secret@$secured"
  echo "VITRAL_TEST_REDIS_CA=$tls/ca.pem"
  echo "VITRAL_TEST_REDIS_PROGRAM=$(command -v redis-server)"
}
