# PostgreSQL from Debian, 15 or later, without passwords, for tests alone. Sourced by ../services.

port=${VITRAL_POSTGRES_PORT:-25432}
if alive; then port=$(<"$home/port"); fi
address=127.0.0.1:$port
data=$home/data/cluster
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
    -c fsync=off -c max_connections=200)
  [[ -d $home/data ]] && [[ -d $data ]] && return
  rm -rf "$data"
  mkdir -p "$home/data" "$data"
  if ((EUID == 0)); then chown postgres:postgres "$data"; fi
  ${as_owner[@]+"${as_owner[@]}"} "$(programs)/initdb" -D "$data" --auth trust --username vitral --encoding UTF8 --locale C.UTF-8 >&2
}

answers() {
  [[ $(PGCONNECT_TIMEOUT=2 psql -h 127.0.0.1 -p "$port" -U vitral -d postgres -Atqc 'SELECT 1' 2>/dev/null) == 1 ]]
}

environment() { echo "VITRAL_TEST_POSTGRES=postgresql://vitral@$address/postgres?sslmode=disable"; }
