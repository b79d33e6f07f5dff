# Certificates for the services that speak TLS, made by openssl. Sourced by the definitions that need them.

# make_certificates FOLDER: once for each folder
#   ca.pem               signs everything but what is named otherwise
#   other-ca.pem         has signed nothing
#   server.pem           key and certificate of 127.0.0.1, not of `localhost`
#   expired.pem          the same, expired in 2021
#   client.crt, .key     of the user `vitral`
#   oidc.key, jwks.json  sign tokens, and check them
make_certificates() {
  [[ -f $1/complete ]] && return
  needs openssl openssl
  rm -rf "$1"
  mkdir -p "$1"
  (
    umask 077
    cd "$1"
    local each modulus
    for each in ca other-ca; do
      openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=vitral test $each" -keyout $each.key -out $each.pem
    done
    signed server "/CN=server" "subjectAltName=IP:127.0.0.1" -days 3650
    signed expired "/CN=server" "subjectAltName=IP:127.0.0.1" -startdate 20200101000000Z -enddate 20210101000000Z
    signed client "/CN=vitral" "extendedKeyUsage=clientAuth" -days 3650
    for each in server expired; do cat $each.key $each.crt ca.pem >$each.pem; done
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out oidc.key
    modulus=$(openssl rsa -in oidc.key -noout -modulus | cut -d= -f2 | sed 's/../\\x&/g')
    modulus=$(printf '%b' "$modulus" | base64 --wrap 0 | tr '+/' '-_' | tr -d '=')
    printf '{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"vitral-test","e":"AQAB","n":"%s"}]}\n' "$modulus" >jwks.json
    touch complete
  ) 2>"$1/log" >&2 || { cat "$1/log" >&2; fail "openssl could not make certificates in $1"; }
}

# signed NAME SUBJECT EXTENSION DATES...
signed() {
  openssl req -new -newkey rsa:2048 -nodes -subj "$2" -keyout "$1.key" -out "$1.csr"
  printf '%s\n' "$3" >"$1.ext"
  : >index.txt
  openssl ca -batch -config /dev/stdin -name vitral -cert ca.pem -keyfile ca.key -in "$1.csr" -out "$1.crt" -extfile "$1.ext" -notext \
    "${@:4}" <<CONFIG
[vitral]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
CONFIG
}
