#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cp: many files, many directories, a large file, and one thread or several.
. "$(dirname "$0")/lib.sh"

mkdir src dst
for i in $(seq 40); do
	mkdir -p "src/dir$i/sub"
	for j in $(seq 10); do
		echo "$i $j" >"src/dir$i/sub/$j"
	done
done
head -c 20000003 /dev/urandom >src/large
s=("[" "$server" src {} "]")
d=("[" "$server" dst {} "]")

for j in 1 4 16; do
	check "-j $j" pf cp "${s[@]}" -r -j $j {} "out$j"
	check "all of it" diff -r src "out$j"
done
check "into a server" pf cp "${d[@]}" -r src {}
check "all of it there" diff -r src dst/src
deep=src/deep
for i in $(seq 100); do
	deep=$deep/directory
done
mkdir -p $deep
echo down >$deep/file
check "a hundred directories deep" pf cp "${s[@]}" -r {}/deep deep
check "down to the last" diff -r src/deep deep
done_testing
