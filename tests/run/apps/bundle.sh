# SPDX-License-Identifier: BSD-2-Clause
# A bundle as AppImages are: a runtime that mounts an image, appended to itself, on a directory of its own,
# executes AppRun from there and unmounts. The bundle stands in the tree, and so does what it works on.
app_bundle() {
	need squashfuse mksquashfs fusermount
	[ "${PF_ON:-}" = run ] || [ -r /dev/fuse ] || skip "/dev/fuse cannot be opened here"
	mkdir -p app/usr/bin app/usr/share
	cp /bin/cat app/usr/bin/cat
	seq 1 1000 >app/usr/share/data
	cat >app/AppRun <<-'END'
		#!/bin/sh
		here=$(dirname "$(readlink -f "$0")")
		echo "data: $("$here/usr/bin/cat" "$here/usr/share/data" | wc -l), arguments: $*"
		"$here/usr/bin/cat" "$here/usr/share/data" >result
		if (echo x >"$here/new") 2>/dev/null; then echo writable; fi
		exit 3
	END
	chmod 755 app/AppRun
	mksquashfs app image.sqfs -quiet -no-progress -processors 1 >/dev/null
	cat >runtime <<-'END'
		#!/bin/sh
		self=$(readlink -f "$0")
		mnt=$(mktemp -d "${TMPDIR:-/tmp}/.mount_XXXXXX")
		squashfuse -o ro,offset=4096 "$self" "$mnt" || exit 127
		n=0
		while [ ! -e "$mnt/AppRun" ] && [ $n -lt 100 ]; do sleep 0.05; n=$((n + 1)); done
		"$mnt/AppRun" "$@"
		status=$?
		fusermount -u "$mnt" || fusermount -uz "$mnt"
		rmdir "$mnt"
		exit $status
	END
	truncate -s 4096 runtime
	cat runtime image.sqfs >bundle
	chmod 755 bundle
	rm -rf app
	local status=0
	TMPDIR=$SCRATCH ./bundle one two >said || status=$?
	is "$status" 3 "its exit status"
	is "$(cat said)" "data: 1000, arguments: one two" "what it says"
	is "$(wc -l <result)" 1000 "what it wrote"
	[ -z "$(ls -d "$SCRATCH"/.mount_* 2>/dev/null)" ] || fail "its mount was left"
	(TMPDIR=$SCRATCH ./bundle a >said.a || true) & # two at once
	(TMPDIR=$SCRATCH ./bundle b >said.b || true) &
	wait
	is "$(cat said.a said.b)" $'data: 1000, arguments: a\ndata: 1000, arguments: b' "two at once"
	# Its servers end after the unmounting, and until then a file that is removed may only be hidden.
	timeout 10 sh -c 'while pgrep -f "^squashfuse .*$1/bundle" >/dev/null; do sleep 0.05; done' x "$PWD" || fail "a server was left"
}
