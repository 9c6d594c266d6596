#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Servers that attack the one who starts them: portfire ends with a clear sentence and status 1, or goes on where the server is
# fine, in time, and leaves no process and no directory. PORTFIRE and BADSERVER name the programs.
set -u
top=$(mktemp -d "${TMPDIR:-/tmp}/portfire-hostile-XXXXXX") || exit 1
mkdir "$top/tmp" "$top/mnt"
export TMPDIR=$top/tmp PORTFIRE_HOSTILE_MARK=$top
failures=0
trap 'end_left; rm -rf "$top"' EXIT

# The processes that carry our mark, this shell and its like apart.
left() {
	grep -lzxF "PORTFIRE_HOSTILE_MARK=$top" /proc/[0-9]*/environ 2>/dev/null | while IFS=/ read -r _ _ pid _; do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in
		badserver | sleep | portfire | pf-guardian) echo "$pid" ;;
		esac
	done
}

end_left() {
	local pid
	for pid in $(left); do kill -9 "$pid" 2>/dev/null; done
}

fail() {
	echo "FAILED: $name: $*"
	sed 's/^/    /' "$top/err" | cut -c1-300 | tail -5
	failures=$((failures + 1))
}

# attack STATUS PATTERN WORD...: the last line of stderr matches PATTERN (extended), and holds nothing but printable text.
# Our patience ends after a second only where any sentence will do, or just this is expected: a busy machine is no server's fault.
attack() {
	local status=$1 pattern=$2 began got last pids i patience=30
	shift 2
	case $pattern in '^portfire: ' | *'within 1 s'*) patience=1 ;; esac
	name=$*
	began=$(date +%s)
	timeout -k 5 90 "$PORTFIRE" "${command[0]}" --timeout $patience --request-timeout $patience [ "$BADSERVER" "$mountpoint" "$@" ] \
		"${command[@]:1}" "$mountpoint" "${after[@]}" >"$top/out" 2>"$top/err" </dev/null
	got=$?
	last=$(tail -n 1 "$top/err" | cut -c1-2000)
	case $last in *portfire:*) last=portfire:${last#*portfire:} ;; esac # what the server said stands before it
	[ "$got" = "$status" ] || fail "status $got, not $status, after $(($(date +%s) - began)) s"
	printf '%s\n' "$last" | grep -Eq -- "$pattern" || fail "it says '$last', not $pattern"
	if [ "$status" = 1 ] && printf '%s' "$last" | LC_ALL=C grep -q '[[:cntrl:]]'; then fail "control characters"; fi
	pids=$(left)
	for ((i = 0; i < 300; i++)); do # what was killed leaves the kernel in its own time
		[ -z "$pids" ] && break
		sleep 0.1
		pids=$(left)
	done
	[ -z "$pids" ] || fail "processes are left: $(for p in $pids; do cat "/proc/$p/comm"; done | sort | uniq -c | tr '\n' ' ')"
	end_left
	[ -z "$(ls -A "$top/tmp")" ] || fail "left in the temporary directory: $(ls -A "$top/tmp")"
	rm -rf "$top/tmp" && mkdir "$top/tmp"
}

mountpoint={}
command=(ls -d)
after=()

# What is harmless is let pass.
attack 0 '^$' mount serve
attack 0 '^$' bad-pointers mount serve
attack 0 '^$' open-close=1000 mount serve
attack 0 '^$' open garbage mount serve
attack 0 '^$' open mount garbage serve
attack 0 '^$' mount give-away serve
attack 0 '^$' bomb=200 mount serve
attack 0 '^$' ignore-term bomb=5 mount serve
attack 0 'mount: (Invalid argument|Bad file descriptor)' open data=fd=-1 try-mount data=fd=DEV mount serve
attack 0 'mount: (Invalid argument|Bad file descriptor)' open data=fd=99999 try-mount data=fd=DEV mount serve
attack 0 'mount: Invalid argument' open data=fd=1 try-mount data=fd=DEV mount serve
attack 0 'mount: Invalid argument' open data= try-mount data=fd=DEV mount serve
attack 0 'mount: Invalid argument' open data=,,,=,rootmode try-mount data=fd=DEV mount serve
attack 0 'mount: (Invalid argument|File name too long)' open data-long try-mount data=fd=DEV mount serve
attack 1 "^portfire: ls: mount option rootmode: bad number '999'" open data=fd=DEV,rootmode=999,user_id=x,max_read=-1,,,=,\\,blksize=99999999999 mount serve

# Where it does not mount.
attack 1 '^portfire: ls: badserver exited with status 102 before it mounted' target= mount
attack 1 '^portfire: ls: badserver exited with status 102 before it mounted' target=/does/not/exist mount
attack 1 '^portfire: ls: badserver exited with status 136 before it mounted' target-long mount
attack 1 '^portfire: ls: badserver exited with status 102 before it mounted' target=relative mount
attack 1 '^portfire: ls: badserver did not mount within 1 s' open-many=1000 sleep
attack 1 '^portfire: ls: badserver did not mount within 1 s' close-all sleep
attack 1 '^portfire: ls: badserver did not mount within 1 s' stop
attack 1 '^portfire: ls: badserver did not mount within 1 s' exec
attack 1 '^portfire: ls: badserver did not mount within 1 s' say-forever sleep
attack 1 '^portfire: ls: badserver did not mount within 1 s' ignore-term bomb=200 sleep
attack 1 '^portfire: ls: badserver did not mount within 1 s' kill-parent=19 sleep
attack 1 '^portfire: ls: badserver exited with status 3 before it mounted: .*red.* end$' say-control
attack 1 'exited with status 122 before it mounted' say-much=100 data=x mount
attack 1 '^portfire: ls: the process that watches over badserver was killed before it mounted' kill-parent=9 sleep
attack 1 '^portfire: ls: the process that watches over badserver was killed before it mounted' ignore-term bomb=20 kill-parent=9 sleep
attack 1 '^portfire: ' chain=20 data=x mount
attack 0 '^$' ignore-term chain=20 mount serve

# Where it ends, or falls silent, on the way.
attack 1 '^portfire: .*(killed by signal 9|ended|did not answer)' mount die-at=1 serve
attack 1 '^portfire: ' mount die-at=2 serve
attack 1 '^portfire: ' mount stop-at=1 serve
attack 1 '^portfire: ' mount stop-at=2 serve
attack 1 '^portfire: ' mount close-at=1 serve
attack 1 '^portfire: ' mount close-at=2 serve
attack 1 '^portfire: ' mount exec
attack 1 '^portfire: ' mount close-all sleep
attack 1 '^portfire: ' mount
attack 1 '^portfire: ' mount stop
# The guardian holds nothing that we wait for when its program begins, and could be stopped at any time.
for _ in 1 2 3 4 5 6 7 8; do attack 0 '^$' kill-parent=19 mount serve; done
attack 1 '^portfire: ' mount kill-parent=9 serve
attack 1 '^portfire: ' bomb=20 mount kill-parent=9 sleep

# Trees without an end, and names that are none.
command=(ls -R)
attack 1 '^portfire: ls: .*Too many levels of symbolic links' entry=N mount serve
attack 0 '^$' entry=..N mount serve
command=(cp -r)
after=("$top/copy")
attack 1 '^portfire: cp: the directory .*/a/a/a' entry=a mount serve
rm -rf "$top/copy"
attack 1 '^portfire: cp: .*No such file' entry=N mount serve
rm -rf "$top/copy"
attack 0 '^$' entry=..N mount serve
[ -z "$(ls -A "$top/copy")" ] || fail "it copied $(ls -A "$top/copy")"

[ "$failures" = 0 ] || echo "$failures failures"
[ "$failures" = 0 ]
