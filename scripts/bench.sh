#!/usr/bin/env bash
# Measures waybill beside Postfix + Dovecot (docs/bench.md). Installs them from Debian's packages where that is possible
# without asking; Postfix can only be started by root, so the generator runs through `sudo -n` for another user.
# Without either, waybill is measured alone. Arguments go to the generator: scripts/bench.sh -rounds 1
set -euo pipefail
cd "$(dirname "$0")/.."

missing=""
[ -x /usr/sbin/postfix ] || missing="$missing postfix"
[ -x /usr/lib/dovecot/lmtp ] || missing="$missing dovecot-lmtpd"
[ -x /usr/lib/dovecot/pop3 ] || missing="$missing dovecot-pop3d"
if ! command -v postgres >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then missing="$missing postgresql"; fi
command -v strace >/dev/null || missing="$missing strace"
[ -z "$missing" ] || scripts/apt-install.sh $missing

mkdir -p bin bench
go build -o bin/bench ./scripts/bench
waybill=()
if [ -d cmd/waybill ]; then
	go build -o bin/waybill ./cmd/waybill
	go test -c -o bin/postgres.test ./internal/store/postgres # its benchmark has the bare writer
	waybill=(-waybill "$PWD/bin/waybill" -engine-tests "$PWD/bin/postgres.test")
fi
as_root=()
if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then as_root=(sudo -n env "PATH=$PATH"); fi
"${as_root[@]}" bin/bench "${waybill[@]}" -out bench "$@"
