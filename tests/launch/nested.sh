#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Below another portfire's filter, which answers the server's calls: with {} and with a mountpoint.
# usage: nested.sh PORTFIRE SERVER
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/mnt"
cat >"$dir/server" <<EOF
#!/bin/sh
"$1" ls [ "$2" -f -s {} ] -1 {} >"$dir/inner" 2>"$dir/inner.err"
echo \$? >>"$dir/inner.err"
"$1" ls [ "$2" -f -s "$dir/mnt" ] -1 "$dir/mnt" >"$dir/named"
exec "$2" -f -s "\$1"
EOF
chmod +x "$dir/server"
"$1" ls [ "$dir/server" {} ] -1 {} >"$dir/outer"
[ -s "$dir/outer" ]
cmp "$dir/outer" "$dir/inner" || { cat "$dir/inner.err" >&2; exit 1; }
cmp "$dir/outer" "$dir/named"
