# SPDX-License-Identifier: BSD-2-Clause
# A tree that can only be read: everything that reads, compared with what it was made of.
app_readonly() {
	[ -n "${SOURCE:-}" ] || skip "for read-only servers"
	export LACKS="${LACKS:-},hardlinks"
	same_tree "$SOURCE" . "the tree"
	diff -r --no-dereference --exclude=pipe "$SOURCE" . || fail "diff -r finds differences"
	is "$(grep -r needle src | sort | sha256sum)" "$(cd "$SOURCE" && grep -r needle src | sort | sha256sum)" "grep -r"
	cp -a . "$SCRATCH/copy"
	same_tree "$SOURCE" "$SCRATCH/copy" "a copy out"
	tar -cf "$SCRATCH/tar" . && tar -df "$SCRATCH/tar"
	is "$(bin/sh -c 'echo executed')" executed "a program from there"
	is "$(bin/script)" "script from $PWD" "a script from there"
	! (echo x >new) 2>"$SCRATCH/error" || fail "a file can be made"
	grep -qi 'read-only\|not implemented\|not permitted\|denied' "$SCRATCH/error" || fail "$(cat "$SCRATCH/error")"
	! rm zero 2>/dev/null || fail "a file can be removed"
	python3 -c 'import mmap,sys; f = open("big", "rb"); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); assert m[:] == f.read()' || fail "mmap"
	chmod -R u+rwX "$SCRATCH/copy" && rm -rf "$SCRATCH/copy"
}
