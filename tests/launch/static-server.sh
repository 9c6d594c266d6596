#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A server that was linked statically: no loader, no preloaded library could have helped it to its device.
# usage: static-server.sh PORTFIRE SERVER
set -euo pipefail
portfire=$1 server=$2
if LC_ALL=C readelf -l "$server" | grep -q INTERP; then
	echo "$server is not static" >&2
	exit 1
fi
out=$("$portfire" ls [ "$server" -f -s {} ] -1 {})
[ -n "$out" ]
"$portfire" info [ "$server" {} ] | grep -q '^protocol: 7\.' # and as a daemon
