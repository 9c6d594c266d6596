#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# evil.sh PORTFIRE EVIL_SERVER BADSERVER [nobody]: servers that hang, die, are full or lie under programs that do not expect it.
# Nothing hangs, the message says what happened, the status says that something did, and what was written is not lost.
evil=$(realpath "${2:?which server?}") bad=$(realpath "${3:?which bad server?}")
. "$(dirname "$0")/../tools/lib.sh"
as=()
if [ "${4:-}" = nobody ]; then
	[ "$(id -u)" = 0 ] || skip "only root can become nobody"
	as=(setpriv --reuid=nobody --regid="$(id -gn nobody)" --clear-groups)
fi
chmod 755 "$work"
cp "$portfire" "$evil" "$bad" "$(dirname "$portfire")"/libportfire.so.0 "$work"/ # nobody may not reach the build directory
export LD_LIBRARY_PATH=$work
mkdir src mnt src2 mnt2 private
[ "${#as[@]}" = 0 ] || chown -R nobody . # with them, where they are
export TMPDIR=$work/private
"${as[@]}" "$work/portfire" run true 2>why || skip "nothing can be supervised here: $(tail -1 why)"
e=("[" "$work/evil-server" "$work/src" "$work/mnt")
f=("[" "$work/evil-server" "$work/src2" "$work/mnt2" "]")

# run LIMIT WORD...: portfire run, with an empty tree; what it says in err, what is not in time is killed.
run() {
	local limit=$1
	shift
	rm -rf src/* src2/* private/*
	mkdir src/h src/h/hang-dir
	echo old >src/file
	echo hang >src/h/hang1
	echo two >src2/file
	[ "${#as[@]}" = 0 ] || chown -R nobody src src2
	timeout -k 5 "$limit" "${as[@]}" "$work/portfire" run "${options[@]}" "$@" 2>err
}
options=()
# says STATUS PATTERN COMMAND...
says() {
	local status=$1 pattern=$2 got
	shift 2
	"$@" && got=0 || got=$?
	[ "$got" = "$status" ] && grep -qE -- "$pattern" err && nobody_left && return
	echo "status $got, not $status, or it does not say $pattern:"
	cat err
	return 1
}
nobody_left() {
	local i
	for ((i = 0; i < 100; i++)); do
		ps -eo args | grep -F "$work/" | grep -qv "grep\|evil.sh\|bash " || return 0
		sleep 0.1
	done
	ps -eo args | grep -F "$work/" | grep -v "grep\|evil.sh"
	return 1
}
kept() { # TEXT: that is what one of the files named has
	local name
	name=$(sed -n 's/.*what it held is kept in //p' err | head -1)
	[ "$(cat "$name")" = "$1" ] || { cat err; return 1; }
}

# ---- full
write_full() {
	says 1 "mnt/new: could not be written back \($2\); what it held is kept in" \
		run 90 "${e[@]}" "$1" ] -- sh -c 'echo data >mnt/new' && kept data
}
check "ENOSPC at write" write_full full=write "No space left on device"
check "EDQUOT at write" write_full quota=write "Disk quota exceeded"
check "ENOSPC at close" write_full full=flush "No space left on device"
close_full() {
	says 1 'mnt/new: closing it failed \(No space left on device\)' run 90 "${e[@]}" full=flush ] -- \
		python3 -c 'import os; f = os.open("mnt/new", os.O_CREAT | os.O_WRONLY | os.O_SYNC); os.write(f, b"data"); os.close(f)'
}
check "ENOSPC at the close of a placeholder" close_full
fsync_full() {
	says 3 . run 90 "${e[@]}" "$1" ] -- sh -c 'dd if=/dev/zero of=mnt/new bs=10 count=1 conv=fsync 2>mnt2/said || exit 3'
	grep -q 'No space left' mnt2/said
}
check "fsync tells of ENOSPC at write" fsync_full full=write
check "and of its own" fsync_full full=fsync
renamed_full() {
	says 1 'could not be written back' run 90 "${e[@]}" full=write ] -- sh -c 'echo new >mnt/new; mv mnt/new mnt/file'
	grep -q 'mv: .*No space left' err && [ "$(cat src/file)" = old ] && kept new
}
check "what could not be written back does not replace a good file" renamed_full
own_status() { says 7 'could not be written back' run 90 "${e[@]}" full=write ] -- sh -c 'echo new >mnt/new; exit 7'; }
check "a program that failed keeps its status" own_status

# ---- dying
cat >work.sh <<'END'
mkdir -p d && cd d || exit 0
echo one >one; cat one; cp one two; mv two three; ln -s one l; ls -l; echo more >>one; rm three; cat l; cd ..; rm -rf d; exit 0
END
chmod 644 work.sh
# At every sixth request of the work (for nobody at others than for us), and at last at none of them.
dying() {
	local n first=1
	[ "${#as[@]}" = 0 ] || first=4
	for ((n = first; n < 200; n += ${STEP:-6})); do
		run 90 "${e[@]}" die-at=$n ] -- sh -c "cd mnt && . $work/work.sh; exit 0" >out && break
		[ $? = 1 ] && grep -q '^portfire: run: .*evil-server.* was killed by signal 9' err || { echo "request $n"; cat err; return 1; }
		if grep 'could not be written back' err | grep -qv 'is kept in\|as was told above'; then cat err; return 1; fi
	done
	[ $n -gt 30 ] && [ $n -lt 200 ]
}
check "killed at any request: 1, and it says so" dying
dying_inside() {
	says 1 'the server of .*mnt was lost' run 90 sh -c "$work/evil-server $work/src $work/mnt die-at=40 &
		until [ -e $work/mnt/file ]; do sleep 0.05; done; cd $work/mnt; . $work/work.sh; . $work/work.sh"
}
check "one that was started inside, too" dying_inside
unmounts() {
	says 1 'mnt/new: could not be written back .* kept in' \
		run 90 "${e[@]}" stop ] -- sh -c 'exec 6>mnt/new; echo data >&6; ls mnt/unmount
			while ls mnt/file; do sleep 0.05; done >/dev/null 2>&1; echo more >&6; exec 6>&-' &&
		kept $'data\nmore'
}
check "one that unmounts itself while files are open" unmounts

# ---- hanging
others_go_on() {
	says 0 . run 90 "${e[@]}" "hang=$1" ] "${f[@]}" -- bash -c "{ $2; } & sleep 0.3 # who had to wait for it would do so for ever
		for i in 1 2 3 4 5 6 7 8 9 10; do echo \$i >mnt/other; cat mnt/other >out; echo \$i >mnt2/other; cat mnt2/other >out; done
		kill -\$3 \$!; wait \$!; [ \$? -gt 128 ] && exit 0" x "" "" "$3"
}
check "getattr hangs: others go on, SIGTERM ends the caller, and the run ends" others_go_on getattr 'exec stat mnt/h/hang1' TERM
check "read hangs" others_go_on read 'exec cat mnt/h/hang1' KILL
check "open hangs" others_go_on open 'exec cat mnt/h/hang1' INT
check "readdir hangs" others_go_on readdir 'exec ls mnt/h/hang-dir' TERM
# Who makes the next call may find himself sending what another has closed: so nobody makes one until the run has begun to.
mkfifo -m 666 go
write_hangs() { # the data of the other server is there, that of this one is kept when the user has enough
	run 60 "${e[@]}" hang=write ] "${f[@]}" -- bash -c 'exec 9<>go
		(read -t 2 -u 9; echo mine >mnt2/other) & other=$!
		(sleep 0.5; echo new >mnt/h/hang1) &
		wait $other' &
	local pid=$! i
	for ((i = 0; i < 300; i++)); do
		grep -q 'does not answer; what was written waits for it' err && break
		sleep 0.1
	done
	[ "$(cat src2/other)" = mine ] || { echo "the other server has not got its data"; return 1; }
	pkill -TERM -P "$pid" timeout
	wait "$pid"
	kept new && nobody_left
}
check "a write that hangs: it says so, and SIGTERM keeps what was written" write_hangs
# Nobody waits for a write whose program was killed; what it wrote may be lost, and the status is not that of a success.
given_up() {
	says "$1" 'closing it failed .*; what was written last may be lost' run 30 "${e[@]}" hang=write ] -- bash -c '
		python3 -c "import os; f = os.open(\"mnt/h/hang1\", os.O_RDWR | os.O_SYNC); print(flush=True); os.write(f, b\"data\")" >begun &
		until [ -s begun ]; do sleep 0.1; done; sleep 0.5; kill -KILL $!; rm begun; exit '"$2"
}
check "a write that hangs, of a program that was killed: 1 at the end" given_up 1 0
check "a program that failed itself keeps its status then" given_up 7 7

# ---- lying
lies() {
	says 0 . run 90 "${e[@]}" ] -- bash -c '
		set -e; cd mnt
		same() { [ "$1" = "$2" ] || { echo "$1, not $2" >&2; exit 9; }; }
		same "$(cat size0)" "a text of forty letters, and no more now"
		same "$(cat larger)" "a text of forty letters, and no more now"
		# Direct I/O: read until the server says that it is the end. As standard input it is held.
		same "$(cat shorter)" "a text of forty letters, and no more now"
		same "$(cat <shorter)" "a tex"
		same "$(cat <nolinks)" "a tex"
		same "$(head -c 100000 endless | wc -c)" 100000
		same "$(head -c 3 huge)" abc
		same "$(tail -c 4 huge)" abcd
		same "$(python3 -c "import os; print(os.pread(os.open(\"huge\", 0), 2, 1 << 40).decode())")" qr
		cat growing >/dev/null; cat flipping >/dev/null || true; ls flipping >/dev/null || true
		! cat <endless || exit 8
		! cat loop 2>/dev/null; ! cat long 2>/dev/null; ! ls names >/dev/null
		same "$(ls many | wc -l)" 100000
		same "$(ls cookies | sort -u | wc -l)" 1000
		same "$(ls same | wc -l)" 10
		same "$(timeout 30 ls -f endless-dir | head -1000 | wc -l)" 1000
		python3 - <<E
import os
a = sorted(e.name for e in os.scandir("cookies"))
assert len(a) == 1000
E
		echo fine >&2'
}
options=(--hold-size=8M)
check "sizes, cookies, names, links, directories that lie" lies
options=()

# ---- mounts
own_files() {
	says 0 . run 90 bash -c "cd $work; ./evil-server src mnt own $1 & until [ -e mnt/file ]; do sleep 0.05; done
		touch src/own1; timeout 2 cat mnt/own1; timeout 2 cat mnt/file; ls src >/dev/null; echo on >src/went; echo fine >&2; kill -9 %1; wait; exit 0"
	[ -e src/went ]
}
self_use() { own_files "$1"; grep -q fine err; }
check "a server that uses its own files" self_use ""
check "with a single thread, which hangs: others go on" self_use single
no_init() {
	says 0 'the mount failed: INIT' run 90 bash -c "./badserver $work/mnt mount open target=$work/mnt stop & until grep -qF ' $work/mnt ' /proc/mounts; do sleep 0.05; done
		timeout 1 ls mnt; ls src >/dev/null; kill -9 %1; wait; exit 0"
}
# That server mounts by itself. Where a container's filter does not let it, there is nothing to see.
may_mount() {
	run 30 "$work/badserver" "$work/mnt" open target="$work/mnt" try-mount
	! grep -q '^mount: Operation not permitted' err
}
may_mount && check "a mount whose INIT never comes" no_init
twice() {
	says 0 '^' run 90 "${e[@]}" ] [ "$work/evil-server" "$work/src2" "$work/mnt" ] -- sh -c '[ "$(cat mnt/file)" = two ]'
}
check "two at the same place: the later one covers the other" twice
# libfuse unmounts once more when it ends: that is not meant for what is mounted there by then.
late_end() {
	says 0 fine run 90 bash -c './evil-server src mnt 2>/dev/null & one=$!; until [ "$(cat mnt/file 2>/dev/null)" = old ]; do sleep 0.05; done
		./evil-server src2 mnt 2>/dev/null & two=$!; until [ "$(cat mnt/file)" = two ]; do sleep 0.05; done
		fusermount3 -u mnt && wait $two; [ "$(cat mnt/file)" = old ] && fusermount3 -u mnt; ok=$?; wait $one; echo fine >&2; exit $ok'
}
check "and the first is there when the later one has ended" late_end
done_testing
