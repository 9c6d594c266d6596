#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cp -p and -a: modes, times, owners, links, extended attributes, ACLs, holes.
. "$(dirname "$0")/lib.sh"

make_tree src
mkdir dst
setfattr -n user.color -v blue src/big 2>/dev/null && xattr=1 || xattr=
setfattr -n user.dir -v yes src/d 2>/dev/null
setfacl -m u:1:r src/old 2>/dev/null && acl=1 || acl=
s=("[" "$server" src {} "]")
d=("[" "$server" dst {} "]")
attributes src >want

check "-a out of a server" pf cp "${s[@]}" -a {} out
attributes out >got
check "all attributes" same want got
check "-a into one" pf cp "${d[@]}" -a src {}/in
attributes dst/in >got
check "all attributes there" same want got
check "-a over it again" pf cp "${d[@]}" -a -T src {}/in
attributes dst/in >got
check "the same still" same want got
check "links are links" test src/a -ef src/hard -a out/a -ef out/hard -a dst/in/a -ef dst/in/hard
if [ -n "$xattr" ]; then
	check "extended attributes" prints blue getfattr -n user.color out/big
	check "of directories" prints yes getfattr -n user.dir dst/in/d
fi
if [ -n "$acl" ]; then
	check "ACLs" test "$(getfacl -cp src/old)" = "$(getfacl -cp out/old)"
fi
check "-p of one file" pf cp "${s[@]}" -p {}/old old
check "its time" test "$(stat -c %y.%a old)" = "$(stat -c %y.%a src/old)"

umask 027
mkdir plain
check "without -p" pf cp "${s[@]}" -r {}/d {}/a plain
check "new modes obey the umask: a file's" test "$(stat -c %a plain/a)" = 750
check "a directory's" test "$(stat -c %a plain/d)" = 750
mkdir src/locked
echo x >src/locked/file
chmod 555 src/locked
pf cp "${s[@]}" -r {}/locked plain
check "a directory that its owner may not write is filled" test -f plain/locked/file
check "and closed" test "$(stat -c %a plain/locked)" = 550
umask 022

blocks() {
	stat -c %b "$1"
}
check "holes stay holes" test "$(blocks out/sparse)" -lt 1000
check "in a server too" test "$(blocks dst/in/sparse)" -lt 1000
check "the bytes are right" bash -c 'cmp src/sparse out/sparse && cmp src/sparse dst/in/sparse'
head -c 4000000 /dev/zero >src/zeros
pf cp "${s[@]}" {}/zeros zeros
check "zeros without holes stay so" test "$(blocks zeros)" -gt 7000
pf cp "${s[@]}" --sparse=always {}/zeros holes
check "--sparse=always makes holes of them" test "$(blocks holes)" -lt 100
check "with the same bytes" same src/zeros holes
pf cp "${s[@]}" --sparse=never {}/sparse full
check "--sparse=never fills them" test "$(blocks full)" -gt 20000
check "with the same bytes again" same src/sparse full
truncate -s 3000000 src/hole
pf cp "${s[@]}" {}/hole hole
check "nothing but a hole" same src/hole hole
done_testing
