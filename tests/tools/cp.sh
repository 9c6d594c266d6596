#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cp: what is copied where, as with coreutils' cp.
. "$(dirname "$0")/lib.sh"

make_tree src
mkdir dst
s=("[" "$server" src {} "]")
d=("[" "$server" dst {} "]")
both=("[" "$server" src {} "]" "[" "$server" dst {} "]")

# Names, types, link targets and bytes are those of src.
same_tree() {
	(cd src && find . -printf '%P %y %l\n' | sort) >want
	(cd "$1" && find . -printf '%P %y %l\n' | sort) >got
	same want got && (cd src && find . -type f -print0) |
		(cd src && xargs -0 -I{} cmp {} "../$1/{}")
}

check "out of a server: a file" pf cp "${s[@]}" {}/big out
check "its bytes" same src/big out
check "into one" pf cp "${d[@]}" src/big {}/big
check "its bytes there" same src/big dst/big
check "between two" pf cp "${both[@]}" {1}/zero {1}/big {2}
check "their bytes" bash -c 'cmp src/big dst/big && cmp src/zero dst/zero'
check "within one" pf cp "${d[@]}" {}/big {}/again
check "its bytes within" same src/big dst/again

check "-r out" pf cp "${s[@]}" -r {} out-r
check "all of it" same_tree out-r
check "-r in" pf cp "${d[@]}" -r src {}
check "all of it, under its name" same_tree dst/src
check "-r between two" pf cp "${both[@]}" -r {1} {2}/new
check "all of it there" same_tree dst/new
check "-r within one" pf cp "${d[@]}" -r {}/new {}/newer
check "all of it within" same_tree dst/newer
mkdir into
check "{} into a directory that exists: what is in it" pf cp "${s[@]}" -r {} into
check "all of that" same_tree into
mkdir mnt into2
check "a named mountpoint keeps its name" pf cp [ "$server" src "$work/mnt" ] -r mnt into2
check "all of it under that" same_tree into2/mnt
check "again over what is there" pf cp "${s[@]}" -r {} out-r
check "the same still" same_tree out-r
check "-T onto a directory" pf cp "${s[@]}" -rT {}/d into
check "not into it" test -f into/e/f/file -a ! -e into/d/d

check "a directory without -r: status 1" status 1 pf cp "${s[@]}" {}/d nodir
check "it is told" prints "-r not specified; omitting directory '{}/d'" pf cp "${s[@]}" {}/d nodir
check "the others are copied" bash -c '"$@" 2>/dev/null; [ $? = 1 ] && cmp src/a into/a' x "$portfire" cp "${s[@]}" {}/d {}/none {}/a into
check "several onto a file: status 1" status 1 pf cp "${s[@]}" {}/a {}/big out
check "several with -T: status 2" status 2 pf cp "${s[@]}" -T {}/a {}/big into
check "a directory into itself: status 1" status 1 pf cp "${d[@]}" -r {}/new {}/new/sub
check "it is told so" prints "into itself" pf cp "${d[@]}" -r {}/new {}/new
check "and makes nothing" test ! -e dst/new/sub -a ! -e dst/new/new
check "here too" prints "into itself" pf cp -r src src/d/e
check "a file onto itself is refused" prints "are the same file" pf cp "${d[@]}" {}/big {}/big
check "and stays whole" same src/big dst/big
ln -s big dst/biglink
check "also by a link" prints "are the same file" pf cp "${d[@]}" {}/biglink {}/big
check "a directory over a file is refused" prints "cannot overwrite non-directory" pf cp "${d[@]}" -rT src/d {}/big
check "a file over a directory is refused" status 1 pf cp "${d[@]}" -T src/big {}/new
check "a target in a directory that is missing: status 1" status 1 pf cp "${s[@]}" {}/a no/such
check "a target name with a slash: status 1" status 1 pf cp "${s[@]}" {}/a nodir/

check "without -r links are followed" pf cp "${s[@]}" {}/l followed
check "to a file" bash -c 'test ! -L followed && cmp src/a followed'
check "with -P not" pf cp "${s[@]}" -P {}/l kept
check "but copied" test "$(readlink kept)" = a
rm src/broken
check "with -rL below too" pf cp "${s[@]}" -rL {}/d {}/l {}/dirlink into2
check "to what they lead to" test ! -L into2/l -a ! -L into2/dirlink -a -d into2/dirlink/e
ln -s nowhere src/broken

printf old >keep
pf cp "${s[@]}" -n {}/big keep
check "-n leaves what is there" test "$(cat keep)" = old
check "-v tells" prints "'{}/a' -> 'told'" pf cp "${s[@]}" -v {}/a told
mkdir trap
echo precious >precious
ln -s "$work/precious" trap/a
pf cp "${s[@]}" -r {} trap
check "below a directory a link in the target is replaced" same src/a trap/a
check "not written through" test "$(cat precious)" = precious
if [ "$(id -u)" != 0 ]; then
	echo x >readonly
	chmod 444 readonly
	check "a read-only target: status 1" status 1 pf cp "${s[@]}" {}/a readonly
	check "-f replaces it" pf cp "${s[@]}" -f {}/a readonly
	check "with the file" same src/a readonly
fi
check "onto a special file" bash -c '"$@" {}/big /dev/stdout | cmp - src/big' x "$portfire" cp "${s[@]}"
check "no progress bar in a pipe" test -z "$(pf cp "${s[@]}" {}/big out 2>&1)"
done_testing
