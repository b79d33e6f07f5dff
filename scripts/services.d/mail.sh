# A mail server that keeps what it gets in a folder and sends nothing on: aiosmtpd, with STARTTLS. Sourced by ../services.

source "$definitions/certificates.bash"

port=${VITRAL_SMTP_PORT:-19125}
if alive; then port=$(<"$home/port"); fi
address=127.0.0.1:$port
tls=$home/tls
kept=$home/data/mail

install() {
  needs python3 python3-venv
  environment_folder=$(VITRAL_VERIFY_DIR=$home/python "$definitions/../python-environment" "$definitions/mail.txt")
}

prepare() {
  echo "$port" >"$home/port"
  make_certificates "$tls"
  mkdir -p "$home/data"
  command=("$environment_folder/bin/python" -m aiosmtpd --nosetuid --listen "$address"
    --tlscert "$tls/server.crt" --tlskey "$tls/server.key" --no-requiretls
    --class aiosmtpd.handlers.Mailbox "$kept")
}

answers() {
  python3 -c 'import smtplib, sys; smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=2).noop()' "$port" 2>/dev/null
}

environment() {
  echo "VITRAL_TEST_SMTP=$address"
  echo "VITRAL_TEST_SMTP_MAIL=$kept/new"
  echo "VITRAL_TEST_SMTP_CA=$tls/ca.pem"
}
