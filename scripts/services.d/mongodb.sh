# MongoDB's protocol: FerretDB 1 on SQLite, from Go modules, in a program of a few lines. Sourced by ../services.
#
# Not MongoDB itself: its licence keeps it out of package registries. FerretDB 1 has neither TTL indexes, transactions, change streams
# nor Decimal128.

port=${VITRAL_MONGODB_PORT:-27018}
if alive; then port=$(<"$home/port"); fi
address=127.0.0.1:$port
program=$home/$(cat "$definitions"/mongodb/{main.go,go.mod,go.sum} | sha256sum | cut -c1-12)/mongodb
command=("$program" -address "$address" -data "$home/data")

install() {
  [[ -x $program ]] && return
  needs go golang-go
  echo "mongodb: building FerretDB" >&2
  go build -C "$definitions/mongodb" -mod=readonly -tags ferretdb_no_postgresql -o "$program" . >&2
}

prepare() {
  echo "$port" >"$home/port"
  mkdir -p "$home/data"
}

# The command {ping: 1, $db: 'admin'}: the answer ends with the double 1 of its `ok`.
answers() {
  timeout 2 bash 2>/dev/null -c '
    exec 3<>"/dev/tcp/${1/:/\/}"
    printf "\063\0\0\0\001\0\0\0\0\0\0\0\335\007\0\0\0\0\0\0\0\036\0\0\0\020ping\0\001\0\0\0\002\$db\0\006\0\0\0admin\0\0" >&3
    [[ $(head -c 38 <&3 | tail -c 3 | od -An -tx1) == " f0 3f 00" ]]' answers "$address"
}

environment() {
  echo "VITRAL_TEST_MONGODB=mongodb://$address/vitral"
  # Tests start one of their own, and stop it.
  echo "VITRAL_TEST_MONGODB_PROGRAM=$program"
}
