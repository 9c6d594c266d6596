#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# SIGINT and SIGTERM end the command in order, with 128 + the signal; a server leaves with it.
. "$(dirname "$0")/lib.sh"

mkdir src
head -c 5000000 /dev/zero >src/file
s=("[" "$server" "$work/src" {} "]")

# The command writes to a pipe that nobody empties: once there is something in it, it is at work.
ends_with() {
	local sig=$1 want=$2 pid got pipe=pipe-$1
	# Not one pipe for all: what still leaves of the command before keeps its bytes in it.
	mkfifo "$pipe"
	# A shell without job control starts background jobs with SIGINT ignored, nohup ignores SIGHUP.
	env --default-signal=INT,TERM,HUP "$portfire" cat "${s[@]}" {}/file >"$pipe" 2>err &
	pid=$!
	exec 3<"$pipe"
	head -c 1 <&3 >/dev/null
	kill -"$sig" $pid
	wait $pid && got=0 || got=$?
	exec 3<&-
	[ $got = "$want" ] || { echo "status $got"; cat err; return 1; }
	[ ! -s err ] || { cat err; return 1; }
}
check "SIGINT: 130, in silence" ends_with INT 130
check "SIGTERM: 143" ends_with TERM 143
check "SIGHUP: 129" ends_with HUP 129

# Nothing runs any more whose command line contains the text; what is on its way out may take a moment.
gone() {
	timeout 100 bash -c 'while ps -eo args | grep -v "grep\|bash -c" | grep -qF "$1"; do sleep 0.02; done' x "$1"
}
check "no server is left" gone "$server $work/src"

mkfifo up
mkdir private
never=98765$$
# A server that is at work but never mounts.
start_ends_with() {
	local sig=$1 want=$2 pid got
	TMPDIR=$work/private "$portfire" ls [ sh -c "echo up >'$work/up'; exec sleep $never" x {} ] {} 2>err &
	pid=$!
	read -r <up
	kill -"$sig" $pid
	wait $pid && got=0 || got=$?
	[ $got = "$want" ] || { echo "status $got"; cat err; return 1; }
	gone "sleep $never"
}
empty() {
	timeout 100 bash -c 'while [ -n "$(ls -A private)" ]; do sleep 0.02; done'
}
check "SIGTERM while a server starts: 143, and it is gone" start_ends_with TERM 143
check "SIGKILL of the command: it is gone too" start_ends_with KILL 137
check "no private mountpoint is left" empty
done_testing
