#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# run.sh self|nobody NAME: run test_NAME.sh with the programs of the build directory $PF_BUILD, as the
# user who calls or as nobody without access to /dev/fuse, and look afterwards whether anything was
# left: a process, a mount, a temporary directory. Exit status: 0, 1, or 77 for "cannot be tried here".
#
# PF_REFERENCE=1 puts the kernel's own client in portfire's place, to see what it does.
set -u
who=$1 name=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
limit=${PF_TEST_LIMIT:-1800}

if [ "$who" = nobody ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "skipped: only root can become nobody"
		exit 77
	fi
	become=(setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs)
	if "${become[@]}" test -r /dev/fuse; then
		echo "skipped: nobody can open /dev/fuse on this machine"
		exit 77
	fi
else
	become=()
fi

# Everything that nobody needs stands below one directory that he can reach; the checkout may be out
# of his reach.
top=$(mktemp -d "${TMPDIR:-/tmp}/portfire-real.XXXXXX")
mark="PF_TEST_MARK=$top"
mkdir "$top/bin" "$top/tmp" "$top/work"
cp "$PF_BUILD"/tests/real/{mktree,treecmp} "$here"/{lib.sh,servers.tab,"test_$name.sh"} "$top/bin/"
[ -x "$PF_BUILD/bench/passthrough_ll" ] && cp "$PF_BUILD/bench/passthrough_ll" "$top/bin/"
if [ -n "${PF_REFERENCE:-}" ]; then
	cp "$here/kernel_portfire.sh" "$top/bin/portfire" && chmod 755 "$top/bin/portfire"
	cp "$PF_BUILD/tests/real/exercise_kernel" "$top/bin/exercise"
else
	cp "$PF_BUILD"/{portfire,tests/real/exercise,tests/real/bigfile,libportfire.so.0} "$top/bin/"
fi
chmod -R a+rX "$top"
[ "$who" = nobody ] && chown 65534:65534 "$top/tmp" "$top/work"

processes_left() {
	grep -l --null -a -F -z -x "$mark" /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | cut -d/ -f3
}

setsid env -i PATH="$top/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
	LD_LIBRARY_PATH="$top/bin" HOME="$top/work" TMPDIR="$top/tmp" LC_ALL=C.UTF-8 "$mark" \
	${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} ${UBSAN_OPTIONS:+UBSAN_OPTIONS="$UBSAN_OPTIONS"} \
	${TSAN_OPTIONS:+TSAN_OPTIONS="$TSAN_OPTIONS"} ${PF_BIG_MIB:+PF_BIG_MIB="$PF_BIG_MIB"} SERVER="$name" WHO="$who" T="$top/work" \
	"${become[@]}" timeout -k 5 "$limit" bash "$top/bin/test_$name.sh" </dev/null
status=$?
[ $status = 124 ] && echo "not ok - it did not end within $limit seconds"

left=$(processes_left)
for ((i = 0; i < 300; i++)); do # an end may be on its way
	[ -n "$left" ] || break
	sleep 0.1
	left=$(processes_left)
done
if [ -n "$left" ]; then
	echo "not ok - processes left behind:"
	for pid in $left; do
		echo "  $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
		kill -KILL "$pid"
	done
	status=1
fi
if grep -F " $top/" /proc/self/mountinfo; then
	echo "not ok - a mount was left behind"
	grep -F " $top/" /proc/self/mountinfo | cut -d' ' -f5 | tac | while read -r m; do umount -l "$m"; done
	status=1
fi
if [ -n "$(ls -A "$top/tmp")" ]; then
	echo "not ok - files left in TMPDIR: $(ls -A "$top/tmp")"
	status=1
fi
chmod -R u+rwX "$top/work" 2>/dev/null
rm -rf "$top"
exit $status
