#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The options of the data cache at work, as --stats tells of them; and --stats itself.
. "$(dirname "$0")/lib.sh"

mkdir src
head -c 3000000 /dev/urandom >src/file
s=("[" "$server" src {} "]")

# count KEY: its value in the file "stats".
count() {
	sed -n "s/^$1: //p" stats
}
# counts KEY OP N...: each is so.
counts() {
	while [ $# -gt 0 ]; do
		test "$(count "$1")" "$2" "$3" || { echo "$1 is $(count "$1"), not $2 $3"; cat stats; return 1; }
		shift 3
	done
}

cat_file() {
	pf cat --stats=stats "$@" "${s[@]}" {}/file >got && same src/file got
}
check "cat" cat_file
check "reads go through the cache" counts io.reads_cached -gt 0 io.reads_direct -eq 0 io.bytes_read -eq 3000000
check "pages are read ahead" counts io.readahead_hits -gt 0
check "--cache none: cat" cat_file --cache=none
check "reads go past it" counts io.reads_cached -eq 0 io.reads_direct -gt 0 io.bytes_read -eq 3000000 \
	io.cache_peak -eq 0

twice() {
	pf cat --stats=stats "$@" "${s[@]}" {}/file {}/file >got && cmp got <(cat src/file src/file)
}
check "a file twice" twice
check "is read twice" counts io.pages_dropped -eq 733
check "--cache always: a file twice" twice --cache=always
check "is read once" counts io.pages_dropped -eq 0 io.page_misses -le 733

cp_in() {
	rm -f src/new
	pf cp --stats=stats "$@" "${s[@]}" src/file {}/new && same src/file src/new
}
check "cp" cp_in
check "writes go through the cache" counts io.writes_through -gt 0 io.writes_direct -eq 0 io.bytes_written -eq 3000000
check "--cache none: cp" cp_in --cache none
check "writes go past it" counts io.writes_through -eq 0 io.writes_direct -gt 0 io.bytes_written -eq 3000000

limited() {
	head -c 50000000 /dev/zero >src/large
	pf cat --stats=stats --cache-size=4M "${s[@]}" {}/large | cmp - src/large
}
check "a file larger than --cache-size" limited
check "the limit holds" counts io.cache_limit -eq 4194304 io.cache_peak -le 4194304 io.cache_peak -gt 0 \
	io.pages_evicted -gt 0

pf cat --stats=stats "${s[@]}" {}/file >got
check "cat has a small cache of its own accord" counts io.cache_limit -eq 67108864
cp_in
check "so has cp" counts io.cache_limit -eq 67108864
cp_in --cache-size=1G
check "not when it is told another" counts io.cache_limit -eq 1073741824

check "--stats goes to stderr" prints "io.cache_limit: " pf ls --stats "${s[@]}" {}
check "after what failed too" prints "io.cache_limit: " pf cat --stats "${s[@]}" {}/missing
pf cp --stats=stats "${s[@]}" "${s[@]}" {1}/file {2}/copy
check "two servers have a number each" test "$(grep '^server: ' stats | sort | tr '\n' ' ')" = "server: 1 server: 2 "
check "--stats to a file that cannot be" status 1 pf ls --stats=no/where "${s[@]}" {}
done_testing
