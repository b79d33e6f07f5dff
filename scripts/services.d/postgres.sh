# PostgreSQL from Debian, 15 or later, without passwords, for tests alone; by TLS for those who ask. Sourced by ../services.

source "$definitions/certificates.bash"

port=${VITRAL_POSTGRES_PORT:-25432}
if alive; then port=$(<"$home/port"); fi
address=127.0.0.1:$port
data=$home/data/cluster
tls=$home/tls
as_owner=()
if ((EUID == 0)); then
  # It does not run as root, and its own user may not look into root's folders.
  data=${TMPDIR:-/tmp}/vitral-postgres-$port
  as_owner=(setpriv --reuid=postgres --regid=postgres --clear-groups env -C /)
fi
# The newest that is installed.
programs() { find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1; }

install() {
  [[ -n $(programs) ]] || needs initdb postgresql
  needs psql postgresql-client
}

prepare() {
  echo "$port" >"$home/port"
  command=(${as_owner[@]+"${as_owner[@]}"} "$(programs)/postgres" -D "$data" -p "$port" -h 127.0.0.1 -k ''
    -c fsync=off -c max_connections=200 -c wal_level=logical -c ssl=on -c ssl_cert_file=server.crt -c ssl_key_file=server.key)
  make_certificates "$tls"
  # What earlier versions made has no certificate.
  [[ -f $data/server.key ]] || rm -rf "$home/data"
  if [[ ! -d $home/data || ! -d $data ]]; then
    rm -rf "$data"
    mkdir -p "$home/data" "$data"
    if ((EUID == 0)); then chown postgres:postgres "$data"; fi
    ${as_owner[@]+"${as_owner[@]}"} "$(programs)/initdb" -D "$data" --auth trust --username vitral --encoding UTF8 --locale C.UTF-8 >&2
  fi
  # Each time: another folder's services may have made these data.
  command install --mode 600 ${as_owner[@]+--owner=postgres} "$tls/server.crt" "$tls/server.key" "$data"
}

answers() {
  [[ $(PGCONNECT_TIMEOUT=2 psql -h 127.0.0.1 -p "$port" -U vitral -d postgres -Atqc 'SELECT 1' 2>/dev/null) == 1 ]]
}

environment() {
  echo "VITRAL_TEST_POSTGRES=postgresql://vitral@$address/postgres?sslmode=disable"
  echo "VITRAL_TEST_POSTGRES_TLS=$tls"
}
