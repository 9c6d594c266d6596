# SPDX-License-Identifier: BSD-2-Clause
# cp, mv, ln, ls, du, touch, stat, chmod, rm and others: the same done here and on a local disk.
app_coreutils() {
	local top d
	for top in "$SCRATCH/local" "$1/here"; do
		mkdir "$top"
		cd "$top"
		make_tree a
	done
	rm -rf "$SCRATCH/local/a" # both with the same random bytes, and a copy from elsewhere
	cp -a "$1/here/a" "$SCRATCH/local/a"
	same_tree "$SCRATCH/local/a" "$1/here/a" "a copy out"
	for top in "$SCRATCH/local" "$1/here"; do
		cd "$top"
		coreutils_steps
		ls -lR --time-style=+%s a-copy | grep -v '^total' | sed 's/^\(d[^ ]* *\)[0-9]* \([^ ]* *[^ ]* *\)[0-9]*/\1 \2/' >"$SCRATCH/ls.$(basename "$top")"
	done
	lacks hardlinks || diff "$SCRATCH/ls.local" "$SCRATCH/ls.here" || fail "ls -lR says something else"
	same_tree "$SCRATCH/local" "$1/here" "what the commands left"
	cp -a "$SCRATCH/local" "$1/in"
	same_tree "$SCRATCH/local" "$1/in" "a copy in"
	rm -rf "$1/here" "$1/in"
	[ -z "$(ls -A "$1")" ] || fail "rm -rf left something"
	rm -rf "$SCRATCH/local"
}

coreutils_steps() {
	cp -a a a-copy
	cp -r a/src a/src2
	mv a/src2/3 a/moved
	mv a/moved/* a/
	mv -T a/src2/4 a/moved
	mkdir -p new/deep/er
	cp -u a/big new/
	dd if=a/big of=new/dd bs=7777 conv=notrunc status=none
	dd if=/dev/zero of=new/dd bs=1 count=10 seek=100 conv=notrunc status=none
	split -b 50000 a/big new/part.
	cat new/part.* | cmp - a/big
	shuf -i 1-2000 --random-source=a/big >new/numbers
	sort -n new/numbers -o new/numbers
	[ "$(tail -1 new/numbers)" = 2000 ]
	head -c 10 a/big | tee new/tee1 new/tee2 >/dev/null
	ln -sf other new/link
	ln -sfn deep new/link
	lacks hardlinks || ln -f a/big new/hard
	install -m 600 a/zero new/installed
	truncate -s 1234 new/numbers
	touch -d '1999-09-09 09:09:09' new/numbers new/deep/er a/src a a/src2
	touch -r new/numbers new/tee1
	chmod -R go-w new
	chmod u=rw,g=r,o= new/tee2
	du -s --apparent-size new >/dev/null
	df . >/dev/null
	[ "$(stat -c %s new/numbers)" = 1234 ]
	[ "$(realpath new/link)" = "$PWD/new/deep" ]
	! lacks symlink-times || rm new/link # its owner and times would be those of what it leads to
	md5sum new/part.aa >sum && md5sum -c --quiet sum && rm sum
	rm new/part.a[b-c]
	rmdir new/deep/er
	settle
	find . -depth -newermt 2015-01-01 ! -type l -exec touch -d 2005-05-05 {} + # made now, in another second than there
}
