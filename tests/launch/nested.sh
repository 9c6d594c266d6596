#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Where nothing can be supervised, here below another portfire's filter, a libfuse 3 server that stands in
# brackets with {} is given its socket as /dev/fd/N; one with a mountpoint is refused with a reason.
# usage: nested.sh PORTFIRE SERVER
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/mnt"
cat >"$dir/server" <<EOF
#!/bin/sh
"$1" ls [ "$2" -f -s {} ] -1 {} >"$dir/inner" 2>"$dir/inner.err"
echo \$? >>"$dir/inner.err"
"$1" ls [ "$2" -f -s "$dir/mnt" ] "$dir/mnt" 2>"$dir/refused"
exec "$2" -f -s "\$1"
EOF
chmod +x "$dir/server"
"$1" ls [ "$dir/server" {} ] -1 {} >"$dir/outer"
[ -s "$dir/outer" ]
cmp "$dir/outer" "$dir/inner" || { cat "$dir/inner.err" >&2; exit 1; }
grep -q 'another supervisor' "$dir/refused"
