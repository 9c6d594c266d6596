# SPDX-License-Identifier: BSD-2-Clause
# find over a tree, with what it can ask of files.
app_find() {
	make_tree tree
	is "$(find tree -name '*.c' | wc -l)" "$(amount 400 60)" "files found"
	lacks symlink-times || is "$(find tree -type l | wc -l)" 3 "links found"
	lacks symlink-times || is "$(find -L tree -type l | wc -l)" 1 "broken links found"
	is "$(find tree -size +9M)" tree/sparse "by size"
	is "$(find tree -newermt 2001-01-01 ! -newermt 2002-01-01)" tree/old "by time"
	is "$(find tree -perm -4000)" tree/zero "by mode"
	is "$(find tree -maxdepth 1 -empty -type d)" tree/empty "empty directories"
	lacks hardlinks || is "$(find tree -samefile tree/big | sort | tr '\n' ' ')" "tree/big tree/d/hard " "by inode"
	find tree -name '*.c' -exec grep -l 'needle 3' {} + | sort >found
	is "$(wc -l <found)" "$(grep -rl 'needle 3' tree/src | wc -l)" "found by grep"
	find tree/src -name '*.c' -print0 | xargs -0 -P 2 -n 10 touch -d '2020-02-02'
	is "$(find tree/src -name '*.c' ! -newermt 2020-02-03 | wc -l)" "$(amount 400 60)" "touched"
	find tree -depth -name 'file 1*' -delete
	is "$(find tree -name 'file 1*' | wc -l)" 0 "deleted"
	find tree -delete
	[ ! -e tree ] || fail "find -delete left something"
}
