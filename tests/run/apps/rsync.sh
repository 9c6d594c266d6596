# SPDX-License-Identifier: BSD-2-Clause
# rsync -a: in, again with nothing to do, after changes, back.
app_rsync() {
	need rsync
	local hard=-H
	lacks hardlinks && hard=
	make_tree "$SCRATCH/from"
	rsync -a $hard "$SCRATCH/from/" to/
	same_tree "$SCRATCH/from" to "the copy"
	rsync -a $hard --itemize-changes "$SCRATCH/from/" to/ >second
	[ ! -s second ] || fail "the second run transfers: $(head -2 second)"
	echo changed >>"$SCRATCH/from/src/1/file 1.c"
	rm "$SCRATCH/from/big" && mkdir "$SCRATCH/from/newdir" && echo new >"$SCRATCH/from/newdir/new"
	rsync -a $hard --delete "$SCRATCH/from/" to/
	same_tree "$SCRATCH/from" to "the second copy"
	rsync -a $hard --checksum --itemize-changes "$SCRATCH/from/" to/ >third
	[ ! -s third ] || fail "with --checksum it transfers: $(head -2 third)"
	rsync -a $hard to/ "$SCRATCH/back/"
	same_tree to "$SCRATCH/back" "the copy back"
	rsync -a $hard --inplace --no-whole-file "$SCRATCH/back/" again/
	dd if=/dev/urandom of="$SCRATCH/back/sparse" bs=1000 count=5 seek=100 conv=notrunc status=none
	rsync -a $hard --ignore-times --inplace --no-whole-file "$SCRATCH/back/" again/
	same_tree "$SCRATCH/back" again "the copy in place"
	rm -rf "$SCRATCH"/{from,back}
}
