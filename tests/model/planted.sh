#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# planted.sh MODEL CRASH: does the tester find what is wrong? The server lies in one way after the
# other; each must be found, shrunk to a few operations, and these must fail again when replayed, and
# not without the lie.
set -uo pipefail
model=$1 crash=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 most=8
# Each try is a child, and the thread sanitizer sleeps a second at each one's end.
export TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}atexit_sleep_ms=0"

fail() {
	echo "$1"
	failed=$((failed + 1))
}

# Attributes are valid for ever here: where it is a millisecond the clock decides whether a lie is seen,
# and what failed once need not fail again.
config=none-wt-4k-sync-m45-large-inproc

for plant in corrupt lose stale size copy unsynced silent; do
	log=$dir/$plant
	if "$model" --seed 1 --ops 60000 --plant "$plant" --config "$config" --shrink-seconds 30 >"$log" 2>&1; then
		fail "$plant: not found"
		continue
	fi
	sed -n '/ are enough: /,/^----$/p' "$log" | grep -v '^----' >"$log.ops"
	lines=$(($(wc -l <"$log.ops") - 1))
	if [ "$lines" -lt 1 ] || [ "$lines" -gt "$most" ]; then
		fail "$plant: the reproducer has $lines operations"
		cat "$log"
	elif "$model" --replay "$log.ops" --plant "$plant" --shrink-seconds 0 >"$log.again" 2>&1; then
		fail "$plant: the reproducer does not fail again"
	elif ! "$model" --replay "$log.ops" --shrink-seconds 0 >"$log.again" 2>&1; then
		fail "$plant: the reproducer fails with an honest server, too"
		cat "$log.again"
	else
		echo "$plant: found, $lines operations"
		passed=$((passed + 1))
	fi
done
if "$model" --seed 1 --threads 4 --ops 100000 --plant lose >"$dir/threads" 2>&1; then
	fail "threads: lose is not found"
else
	passed=$((passed + 1))
fi
if "$crash" --rounds 50 --plant lose >"$dir/crash" 2>&1; then
	fail "crash: lose is not found"
else
	passed=$((passed + 1))
fi
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
