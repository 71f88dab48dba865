#!/usr/bin/env bash
# Installs the independent programs that the tests use, where that is possible without asking: as root, or with
# `sudo -n`. Otherwise it goes on; the tests skip what is missing and say so at the end.
set -u

# command:package. gcc is for the race detector, which needs cgo.
peers="swaks:swaks curl:curl python3:python3 dig:bind9-dnsutils telnet:telnet gsasl:gsasl fetchmail:fetchmail getmail:getmail6 mpop:mpop gcc:gcc"

missing=""
for peer in $peers; do
	command -v "${peer%%:*}" >/dev/null 2>&1 || missing="$missing ${peer##*:}"
done
# swaks speaks TLS through a Perl module that it only recommends.
perl -MNet::SSLeay -e 1 2>/dev/null || missing="$missing libnet-ssleay-perl"
# gcc without the C library's headers cannot link the race detector's programs.
if ! [ -e /usr/include/stdlib.h ]; then missing="$missing libc6-dev"; fi
# Debian keeps the server's programs out of the path. Its service is not started.
if ! command -v postgres >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then missing="$missing postgresql"; fi
if [ -n "$missing" ]; then "$(dirname "$0")/apt-install.sh" $missing; fi

# The S3 server of the tests is built from its own module, which takes two minutes; afterwards Go has it in its cache. It is
# built here, so that no test waits for it, with the settings that package s3test builds it with.
server="$(dirname "$0")/../internal/store/objects/s3test/versitygw"
if command -v go >/dev/null 2>&1 && ! GOFLAGS= GOWORK=off CGO_ENABLED=0 go -C "$server" tool -n versitygw >/dev/null; then
	echo "versitygw, the S3 server of the tests, cannot be built; the tests that need it are skipped"
fi
