#!/usr/bin/env bash
# apt-install.sh PACKAGE...: installs Debian packages as root or through `sudo -n`. Always exits 0: whoever needs a
# package looks for it afterwards and says what is missing.
set -u

if ! command -v apt-get >/dev/null 2>&1; then
	echo "not installed (no apt-get here): $*" >&2
	exit 0
fi
if [ "$(id -u)" = 0 ]; then
	as_root=(env)
elif sudo -n true 2>/dev/null; then
	as_root=(sudo -n env)
else
	echo "not installed (neither root nor sudo -n): $*" >&2
	exit 0
fi
log=$(mktemp)
# Only the programs are wanted: a server package must not start its service here (invoke-rc.d asks this file).
policy=/usr/sbin/policy-rc.d
if ! [ -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" sh -c "cat >$policy && chmod 755 $policy"
	trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
apt() { "${as_root[@]}" DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -o Acquire::Retries=2 -y "$@" </dev/null >>"$log" 2>&1; }
echo "installing: $*" >&2
apt update
# A package may end with an error (no init here, a configuration that it wants to ask for) although its programs are there.
apt install --no-install-recommends "$@" || { echo "apt-get was not content with: $*" >&2; tail -n 5 "$log" >&2; }
rm -f "$log"
exit 0
