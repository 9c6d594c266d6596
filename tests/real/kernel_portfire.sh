#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What "portfire ls|cat|cp [ SERVER ... ] ARG..." does, done with the kernel's mount and coreutils: the
# reference that the tests can be held against (run.sh with PF_REFERENCE=1). Needs root.
set -u
command=$1
shift
[ "$1" = "[" ] || { echo "usage: portfire COMMAND [ SERVER ARG... ] ARG..." >&2; exit 2; }
shift
mountpoint=$(mktemp -d)
server=()
while [ "$1" != "]" ]; do
	server+=("${1//\{\}/$mountpoint}")
	shift
done
shift
"${server[@]}" &
for _ in $(seq 200); do
	mountpoint -q "$mountpoint" && break
	sleep 0.05
done
[ "$command" = cp ] && command="cp -a --sparse=always"
$command "${@//\{\}/$mountpoint}"
status=$?
umount "$mountpoint"
while pgrep -f "$mountpoint" | grep -qvx $$; do sleep 0.1; done # a server may still be writing
wait
rmdir "$mountpoint"
exit $status
