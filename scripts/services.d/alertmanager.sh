# Prometheus' Alertmanager, from Debian. Sourced by ../services.

port=${VITRAL_ALERTMANAGER_PORT:-19193}
if alive; then port=$(<"$home/port"); fi
address=127.0.0.1:$port
command=(prometheus-alertmanager --config.file "$home/alertmanager.yml" --storage.path "$home/data" --web.listen-address "$address"
  --cluster.listen-address '')

install() {
  needs curl curl
  needs prometheus-alertmanager prometheus-alertmanager
}

prepare() {
  echo "$port" >"$home/port"
  mkdir -p "$home/data"
  printf 'route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n' >"$home/alertmanager.yml"
}

answers() { curl --silent --fail --output /dev/null --max-time 2 "http://$address/-/ready"; }

environment() { echo "VITRAL_TEST_ALERTMANAGER=http://$address"; }
