#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Servers that lose messages, hang or die: every command ends, with status 1 and a sentence.
. "$(dirname "$0")/lib.sh"

mkdir src
head -c 3000000 /dev/urandom >src/file
echo small >src/small
s=("[" "$server" src {} "]")

# fails COMMAND...: status 1, and something is said with the command's name.
fails() {
	status 1 "$@" 2>err >out || return 1
	grep -q '^portfire: [a-z]*: ' err || { cat err; return 1; }
}
for n in 1 2 4 6; do
	check "cat, reply $n lost" fails pf cat "${s[@]}" --timeout=0.5 --request-timeout=0.3 --faults=drop=$n {}/file
	check "cp -r, reply $n lost" fails pf cp "${s[@]}" --timeout=0.5 --request-timeout=0.3 --faults=drop=$n -r {} out$n
	check "ls -l, disconnected at reply $n" fails pf ls "${s[@]}" --faults=disconnect=$n -lR {} {}/file {}/small
done
check "info, disconnected at once" fails pf info "${s[@]}" --faults=disconnect=1

# Waiting costs nothing, also for the reads of a large file, several of which are under way.
TIMEFORMAT='%U %S'
# Whoever spins uses all of the time, every time; a noisy machine makes a start costly now and then.
idles() {
	local n
	for n in 1 2 3 4 5; do
		{ time pf cat "${s[@]}" --request-timeout=1.5 --faults=drop=6 {}/file >out 2>err; } 2>used
		awk '{ exit $1 + $2 > 0.5 }' used && return
	done
	cat used
	return 1
}
check "a server that hangs costs no processor time" idles

# The server hangs at the sixth reply; SIGINT gets us out.
env --default-signal=INT "$portfire" cat "${s[@]}" --faults=drop=6 --trace=trace {}/file >out 2>err &
pid=$!
timeout 100 bash -c 'until grep -q READ trace 2>/dev/null; do sleep 0.02; done'
kill -INT $pid
wait $pid
check "SIGINT while the server hangs: 130" test $? = 130
check "in silence" test ! -s err
done_testing
