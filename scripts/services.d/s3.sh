# An S3 object store on a local folder: versitygw, from Go modules. Sourced by ../services.
#
# Not MinIO: that is under the AGPL, which this project keeps out. What Vitral needs of a store, `If-None-Match: *` on a PUT
# answering 412 for a key that exists, is asked for in `answers`.

port=${VITRAL_S3_PORT:-19000}
if alive; then port=$(<"$home/port"); fi
address=127.0.0.1:$port
version=v1.8.0
bucket=vitral
key=vitral-test-key secret=vitral-test-secret
command=("$home/$version/versitygw" --port "$address" --access "$key" --secret "$secret" --region us-east-1
  posix "$home/data")

install() {
  needs curl curl
  [[ -x $home/$version/versitygw ]] && return
  needs go golang-go
  echo "s3: building versitygw $version" >&2
  GOBIN=$home/$version go install "github.com/versity/versitygw/cmd/versitygw@$version" >&2
}

# A folder is a bucket.
prepare() {
  echo "$port" >"$home/port"
  mkdir -p "$home/data/$bucket"
}

# put KEY CODE: a PUT if absent is answered with that code
put() {
  local answer
  answer=$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 2 --aws-sigv4 aws:amz:us-east-1:s3 \
    --user "$key:$secret" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
    --header 'If-None-Match: *' --request PUT --data-binary there \
    "http://$address/$bucket/$1") || true
  [[ " ${*:2} " == *" $answer "* ]]
}

answers() { put answers 200 412 && put answers 412; }

environment() {
  echo "VITRAL_TEST_S3=http://$address"
  printf 'VITRAL_TEST_S3_%s\n' "BUCKET=$bucket" "KEY=$key" "SECRET=$secret"
}
