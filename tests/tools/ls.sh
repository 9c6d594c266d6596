#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# ls prints what coreutils' ls prints for the same tree, byte for byte.
. "$(dirname "$0")/lib.sh"
ls --version 2>/dev/null | grep -q coreutils || skip "ls is not coreutils'"

make_tree src
setfacl -m u:1:r src/old 2>/dev/null && acl=1 || acl=
s=("[" "$server" src {} "]")

# The same words for both, "{}" read as src.
compare() {
	local words=("$@") here
	here=("${words[@]//\{\}/src}")
	ls "${here[@]}" >want 2>&1
	pf ls "${s[@]}" "${words[@]}" >got 2>got.err
	cat got.err >>got
	sed -i 's/\bsrc\b/{}/' want
	same want got
}

for o in -1 -a -A -R -r -t -S -l -la -lA -lR -n -lh -lt -ltr -lS -lSr -lRr -nR -R1 -aR -d -ld -laRt -C -RC; do
	case $o in
	*a*) path={}/d ;; # the root's own ".." is nobody's
	*) path={} ;;
	esac
	[[ $o == *C* ]] && extra=-T0 || extra=
	if [ -n "$extra" ]; then
		ls -T0 $o src | sed 's/^src\b/{}/' >want
		pf ls "${s[@]}" $o {} >got
		check "$o" same want got
	else
		check "$o" compare $o "$path"
	fi
done
for f in a old l broken dirlink pipe zero 'sp ace' $'new\nline'; do
	check "-l of the file ${f@Q}" compare -l "{}/$f"
done
check "files come before directories" compare {}/d {}/zero {}/a {}/empty
check "-l of these" compare -l {}/d {}/zero {}/a {}/empty
check "a link to a directory is followed" compare {}/dirlink
check "not with -l" compare -l {}/dirlink
check "with -l and a slash it is" compare -l {}/dirlink/
check "--color=always" compare --color=always -l {}
check "--color=always -R" compare --color=always -R {}
export LS_COLORS='di=31:*.x=35:ex=32:or=41:mi=42:ow=0'
touch src/file.x
check "LS_COLORS" compare --color=always -l {}
unset LS_COLORS
check "--color=never" compare --color=never {}
check "--color=auto in a pipe" compare --color=auto {}
if [ "$(id -u)" = 0 ]; then
	check "devices" compare -l {}/null {}/disk {}/a
fi
[ -z "$acl" ] || check "the sign for an ACL" compare -l {}/old {}/a

check "a missing name: status 1" status 1 pf ls "${s[@]}" {}/none
check "it is told" prints "portfire: ls: {}/none: No such file or directory" pf ls "${s[@]}" {}/none
check "the others are listed all the same" prints "{}/a" pf ls "${s[@]}" {}/none {}/a
done_testing
