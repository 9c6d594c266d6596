#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# bench: the table, JSON, the chart, what it refuses, and that nothing is left behind. Not how fast anything is.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

mkdir src src/many empty private
head -c 3000000 /dev/urandom >src/big
for i in {1..200}; do : >src/many/$i; done
s=("[" "$server" src {} "]")
state() {
	find src -mindepth 1 -printf '%P %s %m %T@\n' | sort
}
state >before
export TMPDIR=$work/private

# bench ARG...: measured shortly, for the rows are what is looked at.
bench() {
	timeout 200 "$portfire" bench --quick --seconds 0.2 "$@"
}
# Nothing runs any more whose command line contains the text; what is on its way out may take a moment.
gone() {
	timeout 100 bash -c 'while ps -eo args | grep -v "grep\|bash -c" | grep -qF "$1"; do sleep 0.02; done' x "$1"
}
tidy() {
	timeout 100 bash -c 'while [ -n "$(ls -A private)" ]; do sleep 0.02; done' || { ls -A private; return 1; }
	state | diff before - && ! grep -F "$work" /proc/mounts && gone "$server src $work"
}
# json PYTHON: an expression on d, the table, is true.
json() {
	python3 -c 'import json, sys; d = json.load(open("json")); r = {x["name"]: x for x in d["rows"]}
assert eval(sys.argv[1]), d' "$1"
}

bench "${s[@]}" --svg chart.svg >table
check "it succeeds" test $? = 0
check "the table has its rows" bash -c 'for w in "stat of one file" "asks the server" "names with stat" \
	"within 2.9 MiB" "random in" "4 KiB reads in sequence" "1 MiB reads in sequence" "random 4 KiB read, cold"; do
	grep -F "$w" table | grep -E "[0-9] (us|MB/s)" || { echo "no $w"; exit 1; }; done'
check "none that writes" bash -c "! grep -E 'write|create' table"
check "it names the server" grep -qF "with the server: $server src {}" table
check "it reads the largest file" grep -q "^File: big, 2.9M" table
check "nothing is left, nothing is changed" tidy
is_chart() {
	python3 -c '
import sys, xml.etree.ElementTree as tree
root = tree.parse("chart.svg").getroot()
assert root.tag == "{http://www.w3.org/2000/svg}svg", root.tag
text = "".join(root.itertext())
for word in sys.argv[1:]:
	assert word in text, (word, text)
assert not [e for e in root.iter() if any("href" in k or "://" in v for k, v in e.attrib.items())]
' "$@"
}
check "the chart is XML, with rows, and needs nothing else" is_chart "Time: shorter is better" "Throughput" \
	"stat of one file" "1 MiB reads in sequence" "$server src {}" "µs" "MB/s"

bench "${s[@]}" --json --write --size 1M >json
check "--json is JSON" python3 -m json.tool json
check "it names the server too" json 'd["server"][1:] == ["src", "{}"]'
check "--write has all rows" json 'list(r) == "stat getattr list hot random seq4k seq1m rand4k write create".split()'
check "each has our figure" json 'all(x["portfire"]["median"] > 0 for x in d["rows"] if not "not_measured" in x)'
check "few are not measured" json 'sum("not_measured" in x for x in d["rows"]) < 3'
check "the listing is of the fullest directory" json '"202 names" in r["list"]["title"]'
if [ "$(id -u)" = 0 ] && [ -w /dev/fuse ]; then
	check "the kernel's figures are there" json 'd["kernel"] == "available" and r["stat"]["kernel"]["median"] > 0'
	check "and the ratios" json 'r["seq1m"]["ratio"]["median"] > 0 and r["seq1m"]["better"] == "higher"'
fi
check "what was written is gone" tidy

bench "${s[@]}" --row seq --json >json
check "--row takes rows by how they begin" json 'list(r) == ["seq4k", "seq1m"]'
bench "${s[@]}" --row stat --file {}/many/../big --json >json
check "--file names the file" json 'd["file_size"] == 3000000'
mkdir mnt
bench [ "$server" src mnt ] --row getattr --json >json
check "a mountpoint of the user's own" json 'r["getattr"]["portfire"]["median"] > 0'
check "it is there afterwards, and empty" rmdir mnt
bench [ "$server" empty {} ] --write --size 1M --row hot --json >json
check "an empty server that can be written: a scratch file" json 'd["scratch"] and d["file_size"] == 1 << 20'
check "it is gone" test -z "$(ls -A empty)"
odd=$'src/<a & "b">\xff'
mkdir "$odd"
cp src/big "$odd/big"
bench [ "$server" "$odd" {} ] --row stat --svg chart.svg --json >json
check "an odd command line: JSON" json 'd["server"][1] == "src/<a & \"b\">\ufffd"'
check "the chart too" is_chart "<a & \"b\">"
rm -r "$odd"

# What cannot be measured: one sentence, status 1.
refuses() {
	local want=$1
	shift
	status 1 bench "$@" >out 2>err || { cat out err; return 1; }
	[ "$(wc -l <err)" = 1 ] && grep -qF "$want" err && [ ! -s out ] || { cat out err; return 1; }
}
check "an empty server" refuses "has no file of 4 KiB or more" [ "$server" empty {} ]
check "a read-only server and --write" refuses "Read-only file system" --write [ "$server" -o ro src {} ]
check "a read-only server without it" bench [ "$server" -o ro src {} ] --row stat
check "no such file" refuses "No such file" "${s[@]}" --file {}/nothing
check "a small file" refuses "less than 4 KiB" "${s[@]}" --file {}/many/1
check "a directory" refuses "not a regular file" "${s[@]}" --file {}/many
check "a server that does not start" refuses "exited with status 1" [ false {} ]
check "a chart that cannot be written" refuses "No such file" "${s[@]}" --svg nowhere/chart.svg
check "a chart is not left by a failure" bash -c "! '$portfire' bench [ '$server' empty {} ] --svg no.svg 2>err; [ ! -e no.svg ]"
cat >dies <<'X'
#!/bin/sh
(sleep 1.5; kill -9 $$) &
exec "$@"
X
chmod +x dies
dying() {
	status 1 timeout 60 "$portfire" bench --seconds 30 [ ./dies "$server" -f src {} ] >out 2>err && [ "$(grep -c portfire: err)" = 1 ] || { cat err; return 1; }
}
check "a server that dies" dying

check "an unknown option is a usage error" status 2 pf bench "${s[@]}" --fly
check "so is a row that does not exist" status 2 pf bench "${s[@]}" --row fly
check "a writing row without --write" status 2 pf bench "${s[@]}" --row create
check "a bad --size" status 2 pf bench "${s[@]}" --size many
check "a small --size" status 2 pf bench "${s[@]}" --size 1K
check "a bad --seconds" status 2 pf bench "${s[@]}" --seconds=0
check "a local --file" status 2 pf bench "${s[@]}" --file src/big
check "no server" status 2 pf bench
check "two servers" status 2 pf bench "${s[@]}" "${s[@]}"
check "a word" status 2 pf bench "${s[@]}" src

# It is ended in the middle, in either client's turn.
ended() {
	local sig=$1 want=$2 turn=$3 pid got
	env --default-signal=INT "$portfire" bench "${s[@]}" --write --size 1M --seconds 30 >out 2>err &
	pid=$!
	while kill -0 $pid && ! ls private | grep -q "^$turn"; do
		sleep 0.05
	done
	sleep 0.5
	kill -"$sig" $pid
	wait $pid && got=0 || got=$?
	[ $got = "$want" ] && [ ! -s err ] || { echo "status $got"; cat err; return 1; }
}
turns=portfire-......$
[ "$(id -u)" = 0 ] && [ -w /dev/fuse ] && turns="$turns portfire-bench-"
# The server does not answer any more while the command waits for it inside the kernel.
stuck() {
	local pid got hung
	env --default-signal=INT "$portfire" bench "${s[@]}" --row getattr --seconds 30 >out 2>err &
	pid=$!
	until hung=$(pgrep -f "^$server src $work/private/portfire-bench-"); do sleep 0.05; done
	sleep 0.5
	kill -STOP $hung
	sleep 0.2
	kill -INT $pid
	wait $pid && got=0 || got=$?
	[ $got = 130 ] && [ ! -s err ] || { echo "status $got"; cat err; return 1; }
}
if [[ $turns == *bench* ]]; then
	check "SIGINT while the kernel waits for a server that hangs" stuck
	check "nothing is left" tidy
fi
for turn in $turns; do
	for sig in INT TERM; do
		check "SIG$sig while there is $turn" ended $sig $((128 + $(kill -l $sig))) "$turn"
		check "nothing is left" tidy
	done
	check "SIGKILL while there is $turn" ended KILL 137 "$turn"
	rm -f src/.portfire-bench-* # as the manual says
	check "no mount is left" tidy
done
done_testing
