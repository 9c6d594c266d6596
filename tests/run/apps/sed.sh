# SPDX-License-Identifier: BSD-2-Clause
# sed -i, awk, patch-like edits in place.
app_sed() {
	make_tree tree
	find tree/src -name '*.c' -print0 | xargs -0 sed -i 's/needle/thread/; s/int x/long x/'
	is "$(grep -rl needle tree/src | wc -l)" 0 "lines unchanged"
	is "$(grep -r 'thread' tree/src | wc -l)" "$(amount 400 60)" "lines changed"
	sed -i.orig '1i\/* first */' 'tree/src/1/file 1.c'
	is "$(head -1 'tree/src/1/file 1.c')" '/* first */' "a line inserted"
	[ -f 'tree/src/1/file 1.c.orig' ] || fail "no backup"
	chmod 751 'tree/src/2/file 2.c'
	sed -i '$d' 'tree/src/2/file 2.c'
	settle
	is "$(stat -c %a 'tree/src/2/file 2.c')" 751 "the mode"
	is "$(find tree -name 'sed*' | wc -l)" 0 "temporary files left"
	awk '{ print NR ": " $0 > "out." NR % 3 }' tree/src/*/*.c
	is "$(cat out.* | wc -l)" "$(cat tree/src/*/*.c | wc -l)" "lines that awk wrote"
}
