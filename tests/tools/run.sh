#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# run: what the program finds, exit statuses, signals, what is left behind. On terminals: run-terminal.sh.
. "$(dirname "$0")/lib.sh"
pf run true || skip "nothing can be supervised here"
mkdir src private
export TMPDIR=$work/private
s=("[" "$server" "$work/src" {} "]") # by this its processes are found
id=7654$$ # in the command lines of what must not be left

run() {
	pf run "$@"
}
# until COMMAND...: it succeeds at last.
until_ok() {
	timeout 60 bash -c 'until "$@" >/dev/null 2>&1; do sleep 0.02; done' x "$@"
}
program_gone() {
	until_ok bash -c '! ps -eo args | grep -v "grep\|bash -c" | grep -qF "$1"' x "$1"
}
# The supervisor is the front's only child, the guardian that of the supervisor which is no server's.
child() {
	ps -o pid= --ppid "$1" | head -1 | tr -d ' '
}

# ---- exit statuses
check "the program's status" status 7 run sh -c 'exit 7'
check "128 + the signal that killed it" status 137 run sh -c 'kill -9 $$'
check "no such program: 127" status 127 run no-such-program
check "and it says so" prints "no-such-program: command not found" run no-such-program
check "not executable: 126" status 126 run /etc/passwd
check "a directory: 126" status 126 run "$work"
check "a usage error: 2" status 2 run --no-such-option
check "a size that is none: 2" status 2 run --hold-size=x true
check "a server that does not start: 1" status 1 run [ no-such-server {} ] true
started() { run [ false {} ] touch started; [ ! -e started ]; }
check "then the program is not started" started
check "a script without an interpreter" status 5 run sh -c 'echo exit 5 >script; chmod +x script; exec '"$portfire"' run ./script'

# ---- words
check "the program's options are its own" prints "-a --wait" run echo -a --wait
check "behind --, brackets are words" prints "[ a ]" run -- echo [ a ]
check "{} of no server stays" prints "x{}y {1}" run echo 'x{}y' '{1}'
words() {
	run "${s[@]}" -- sh -c '[ "$1" = "a$PORTFIRE_MOUNT/b$PORTFIRE_MOUNT_1" ] && [ "$2" = "{2}" ]' x 'a{}/b{1}' '{2}'
}
check "{} and {1} within words, PORTFIRE_MOUNT" words
shell() { echo 'exit 6' | SHELL=/bin/sh run; }
check "without a program, a shell" status 6 shell

# ---- the program's world
check "the working directory" prints "$work" run pwd
files() { ls /proc/self/fd >plain && run ls /proc/self/fd >got && same plain got; }
check "no descriptors of ours" files
inherited() { echo hi >in; run cat /dev/fd/7 7<in; }
check "those of the caller" prints hi inherited
closed_in() { run python3 -c 'import os; os.fstat(0)' <&-; }
closed_out() { run sh -c 'echo x' >&- ; }
check "a closed standard input stays closed" prints "Bad file descriptor" closed_in
check "a closed standard output too" status 1 closed_out
pipes() { [ "$(seq 100000 | run cat | tail -1)" = 100000 ]; }
check "in a pipe" pipes
sigpipe() { run yes | head -1; [ "${PIPESTATUS[0]}" = 141 ]; }
check "SIGPIPE ends it" sigpipe
output_closed() { # the reader's end comes with the program's close, not with its exit
	mkfifo go
	"$portfire" run sh -c 'exec >&-; read x <go' | { cat; echo >go; }
}
check "we hold its pipes not open" output_closed
signals() { grep -E '^Sig(Blk|Ign)' /proc/self/status; }
export -f signals
as_plain() { diff <("$@" grep -E '^Sig(Blk|Ign)' /proc/self/status) <("$@" "$portfire" run grep -E '^Sig(Blk|Ign)' /proc/self/status); }
check "no signal is ignored or blocked" as_plain env --default-signal
check "ignored signals stay so" as_plain env --default-signal --ignore-signal=HUP,INT,USR1,CHLD,TSTP
check "blocked ones too" as_plain env --default-signal --block-signal=USR2,TERM
limits() { (ulimit -n 99; ulimit -c 0; diff <(cat /proc/self/limits) <(run cat /proc/self/limits)); }
check "limits" limits
group() { run python3 -c 'import os; print(os.getpgrp(), os.getsid(0))' >got; [ "$(awk '{print $2}' got)" = "$(ps -o sid= $$ | tr -d ' ')" ]; }
check "in our session" group

# ---- signals
# start WORDS...: in the background, until the program has written ./up.
start() {
	rm -f up
	env --default-signal=INT,TERM,HUP,QUIT "$portfire" run "$@" &
	front=$!
	until_ok test -s up
}
ends() {
	local want=$1 got
	wait "$front" && got=0 || got=$?
	[ "$got" = "$want" ] || { echo "status $got, not $want"; return 1; }
}
forwards() {
	start bash -c "trap 'echo $1; exit 3' $1; echo up >up; while :; do sleep 0.05; done" >out
	kill -"$1" "$front"
	ends 3 && grep -q "$1" out
}
for sig in TERM INT HUP QUIT USR1 USR2 ALRM WINCH; do
	check "SIG$sig goes to the program" forwards $sig
done
dies() {
	start sh -c "echo up >up; exec sleep $id"
	kill -"$1" "$front"
	ends "$2" && program_gone "sleep $id"
}
check "SIGTERM kills it: 143" dies TERM 143
ignoring() {
	start bash -c "trap '' TERM; echo up >up; read x <go2; exit 4"
	kill -TERM "$front"
	echo >go2
	ends 4
}
mkfifo go2
check "if it ignores that, it goes on" ignoring
front_killed() {
	start "${s[@]}" -- sh -c "trap '' HUP; echo up >up; sleep $id & exec sleep $id" 2>err
	kill -KILL "$front"
	ends 137
	program_gone "sleep $id" && program_gone "$server $work/src"
}
check "kill -9 of the front ends all" front_killed
supervisor_killed() {
	# What the run itself has there stays, for now.
	TMPDIR=$work start "${s[@]}" -- sh -c "echo up >up; setsid sleep $id & exec sleep $id" 2>err
	kill -KILL "$(child "$front")"
	ends 1 && grep -q 'portfire: run: the supervisor was killed by signal 9' err || { cat err; return 1; }
	program_gone "sleep $id" && program_gone "$server $work/src"
}
check "kill -9 of the supervisor: 1, it says so, and nothing is left" supervisor_killed
# While a call of the program's is under way, at a server that does not answer.
supervisor_killed_waiting() {
	local stopped
	echo hi >src/file
	TMPDIR=$work start "${s[@]}" -- sh -c "echo up >up; cat {}/file; setsid sleep $id & read x <go6; cat {}/other; sleep $id" 2>err >out
	until_ok grep -q hi out
	stopped=$(pgrep -f "^$server $work/src ") || return
	kill -STOP $stopped
	echo >go6
	until_ok bash -c 'grep -q "^cat" <(ps -o args= --ppid "$(pgrep -f "^sh -c echo up .*'$id'")")' || return
	sleep 0.1
	kill -KILL "$(child "$front")"
	ends 1 && grep -q 'portfire: run: the supervisor was killed by signal 9' err || { cat err; return 1; }
	program_gone "sleep $id" && program_gone "cat $work/" && program_gone "$server $work/src"
}
mkfifo go6
check "while the program waits for a server, too" supervisor_killed_waiting
guardian_killed() {
	start sh -c "echo up >up; setsid sleep $id & exec sleep $id" 2>err
	kill -KILL "$(child "$(child "$front")")"
	ends 1 && grep -q 'portfire: run: the process that watches over' err || { cat err; return 1; }
	program_gone "sleep $id"
}
check "kill -9 of the guardian too" guardian_killed
supervisor_asked() {
	start sh -c "echo up >up; setsid sleep $id & exec sleep $id" 2>err
	kill -TERM "$(child "$front")"
	ends 143 && program_gone "sleep $id"
}
check "SIGTERM of the supervisor ends the run: 143" supervisor_asked
program_stopped() {
	start sh -c "echo \$\$ >up; read x <go3; exit 8"
	kill -STOP "$(cat up)"
	until_ok grep -q '^State:.T' "/proc/$front/status"
	kill -CONT "$front"
	until_ok grep -q '^State:.S' "/proc/$(cat up)/status"
	echo >go3
	ends 8
}
mkfifo go3 go4 go5
check "the front stops with the program, and continues it" program_stopped
started_ignoring() {
	env --ignore-signal=HUP "$portfire" run sh -c 'kill -HUP $PPID; kill -HUP $$; exit 3'
}
check "under nohup, SIGHUP ends nothing" status 3 started_ignoring

# ---- what is left behind
behind() { # the caller's pipe ends although the daemon lives
	[ "$(run sh -c '(read x <go4) >/dev/null 2>&1 & echo left; exit 3')" = left ]
}
check "a daemon is left: the run has ended for the caller" behind
serves_on() {
	echo hi >src/file
	run "${s[@]}" -- sh -c "(read x <go5; cat {}/file >from-daemon) >/dev/null 2>&1 &" || return 1
	echo >go5
	until_ok grep -q hi from-daemon && program_gone "$server $work/src"
}
check "it has its files, and when it ends all is gone" serves_on
check "the daemon before, too" bash -c "echo >go4"
killed_on_exit() {
	run --kill-on-exit sh -c "sleep $id & setsid sleep $id & exit 4"
	[ $? = 4 ] && program_gone "sleep $id"
}
check "--kill-on-exit" killed_on_exit
waited() {
	run --wait sh -c '(sleep 0.5; echo >waited) & exit 4'
	[ $? = 4 ] && [ -e waited ]
}
check "--wait" waited
wait_ends() {
	start --wait sh -c "sleep $id & echo up >up"
	until_ok bash -c "! ps -eo args | grep -q '^sh -c sleep $id'"
	kill -TERM "$front"
	ends 143 && program_gone "sleep $id"
}
check "--wait is ended by SIGTERM" wait_ends
lost() {
	# By its directory, which is nobody else's. (It takes a moment to die.)
	run [ "$server" "$work/src" {} ] -- sh -c 'kill -9 $(pgrep -f "^'"$server $work/src "'"); while pgrep -f "^'"$server $work/src "'"; do sleep 0.02; done' >out
}
check "a server is lost: 1" status 1 lost
check "it says so" prints "portfire: run: ${server##*/} " lost

# ---- what is mounted does not move, and room that a server has not got is not promised
mountpoint_stays() {
	echo precious >src/file
	run "${s[@]}" -- sh -c 'mv {} elsewhere' 2>out
	grep -q 'Device or resource busy' out && [ "$(cat src/file)" = precious ] && [ ! -e elsewhere ]
}
check "mv of a mountpoint is refused" mountpoint_stays
no_room() {
	run "${s[@]}" -- sh -c 'fallocate -l 1000T {}/large' 2>out
	[ $? != 0 ] && [ ! -s src/large ] && grep -qi 'fallocate' out
}
check "fallocate asks the server" no_room
# Who looks at a program's descriptor from outside does not close it: O_SYNC has one that is no real one.
looked_at() {
	run "${s[@]}" -- python3 -c 'import os, sys, time
f = os.open(sys.argv[1] + "/looked", os.O_CREAT | os.O_RDWR | os.O_SYNC)
print(os.getpid(), f, flush=True)
open("go7").read()
os.write(f, b"looked at")' {} >out &
	until_ok grep -q . out
	read -r pid fd <out
	cat "/proc/$pid/fd/$fd" >/dev/null
	echo >go7
	wait $! && [ "$(cat src/looked)" = "looked at" ]
}
mkfifo go7
check "a placeholder that is opened from outside stays open" looked_at
large_is_told() {
	truncate -s 100G src/sparse
	run "${s[@]}" -- sh -c 'timeout 10 head -c 3 {}/sparse >/dev/null; echo $?' >out 2>told
	rm src/sparse
	[ "$(cat out)" = 0 ] || grep -q 'sparse: reading all of it' told
}
check "a large file that takes long is told of, and ends with who opens it" large_is_told

# ---- what was executed does not keep its mount busy
unmounted() {
	mkdir -p mnt
	printf '#!/bin/sh\nread first <"$0" && echo ran\n' >src/script
	chmod +x src/script
	run sh -c "$server src mnt && mnt/script && fusermount3 -u mnt" >out 2>&1
	[ $? = 0 ] && [ "$(cat out)" = ran ] || { cat out; return 1; }
}
check "a mount is unmounted as soon as a script from it has ended" unmounted

# ---- what is closed is closed at the server before its name goes, also when sending it takes a while
nothing_hidden() { # bindfs hides what is open
	run "${s[@]}" -- sh -c 'cd {} && mkdir d && echo new >d/new && yes | head -c 100M >d/f && mv d/new d/f && ls -A d &&
		yes | head -c 100M >d/f && rm d/f && rmdir d' >out 2>&1
	[ $? = 0 ] && [ "$(cat out)" = f ] || { cat out; return 1; }
}
check "a large file is closed, replaced, removed" nothing_hidden

# ---- the preloaded library
# A command with AddressSanitizer starts behind another library only when it is told that this is meant.
behind=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
behind_others() { ASAN_OPTIONS=$behind LD_PRELOAD=libm.so.6 run sh -c 'echo "$LD_PRELOAD"' >out && grep -q '^libm.so.6:/.*/libportfire-preload.so$' out; }
check "preloaded: the library stands behind the user's" behind_others
not_wanted() { run --no-preload sh -c 'echo "x$LD_PRELOAD"; grep -c ^3070000000- /proc/self/maps' >out; [ "$(cat out)" = "x${LD_PRELOAD:-}
0" ]; }
check "with --no-preload there is none" not_wanted
preloaded() { # stat, open, a pipeline, a script; the page is there
	echo hi >src/file
	run "${s[@]}" -- sh -c 'stat -c %s {}/file && cat {}/file && find {} -name file -ls | wc -l && grep -c ^3070000000- /proc/self/maps' >out
	[ "$(tr '\n' ' ' <out)" = "3 hi 1 1 " ] || { cat out; return 1; }
}
check "preloaded: programs use the files" preloaded
library() { find "$(dirname "$portfire")" -maxdepth 4 -name libportfire-preload.so | head -1; }
odd_place() {
	mkdir -p "odd place" && cp "$portfire" "$(dirname "$portfire")/libportfire.so.0" "$(library)" "odd place/"
	LD_LIBRARY_PATH="$work/odd place" "odd place/portfire" run "${s[@]}" -- sh -c 'cat {}/file; grep -c ^3070000000- /proc/self/maps' >out 2>&1
	[ "$(tr '\n' ' ' <out)" = "hi 1 " ] || { cat out; return 1; }
}
no_library() {
	mkdir -p bare && cp "$portfire" "$(dirname "$portfire")/libportfire.so.0" bare/
	LD_LIBRARY_PATH=$work/bare bare/portfire run --preload true
}
bare_run() { LD_LIBRARY_PATH=$work/bare bare/portfire run sh -c 'echo "x$LD_PRELOAD"' >out && [ "$(cat out)" = "x${LD_PRELOAD:-}" ]; }
if [ -e "$(dirname "$portfire")/libportfire.so.0" ] && [ -n "$(library)" ]; then
	check "preloaded: from a directory with a blank in its name" odd_place
	[ -e /usr/local/lib/portfire/libportfire-preload.so ] || [ -e /usr/local/lib/x86_64-linux-gnu/portfire/libportfire-preload.so ] ||
		{ check "--preload: without the library, a clear word" prints "there is no libportfire-preload.so" no_library
		check "without the library it goes without" bare_run; }
fi
own_clock() { # of libfaketime and the like
	cat >clock.c <<'END'
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t) { int r = (int)syscall(SYS_clock_gettime, id, t); t->tv_sec -= 1000; return r; }
END
	cc -shared -fPIC -o clock.so clock.c || return 1
	run "${s[@]}" -- sh -c 'LD_PRELOAD=$PWD/clock.so:$LD_PRELOAD; export LD_PRELOAD; stat -c %s {}/file && ! grep ^3070000000- /proc/self/maps' >out
	[ "$(cat out)" = 3 ] || { cat out; return 1; }
}
check "preloaded: nothing is believed by a clock that is not the kernel's" own_clock
elsewhere() { # what led elsewhere leads inside
	mkdir -p way
	run "${s[@]}" -- sh -c 'stat way/file; rmdir way; ln -s {} way; stat -c %s way/file; cat way/file; rm way; mkdir way; stat way/file || echo none' >out 2>/dev/null
	[ "$(tr '\n' ' ' <out)" = "3 hi none " ] || { cat out; return 1; }
}
check "preloaded: a link made on the way" elsewhere

# Programs that the library does not suit go without; what they start does, too.
cat >with.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv, char **env)
{
	char *p = getenv("LD_PRELOAD");
	FILE *f = fopen("/proc/self/maps", "r");
	char line[4200];
	int mapped = 0;

	while (fgets(line, sizeof line, f))
		mapped |= !strncmp(line, "3070000000-", 11);
	printf("%s %s %d\n", argc > 1 ? argv[1] : "-", !p ? "none" : strstr(p, "libportfire-preload") ? "ours" : p, mapped);
	return 0;
}
END
cc -o with with.c && cc -fsanitize=address -o with-asan with.c && cc -fsanitize=thread -o with-tsan with.c || check "cc compiles" false
everywhere() { # PROGRAM WANT: outside, inside, by a script of either, by a descriptor
	mkdir -p mnt && cp "$1" src/ && printf '#!%s\n' "$work/$1" >script && printf '#!%s word\n' "$work/mnt/$1" >src/script && chmod 755 script src/script
	run [ "$server" src "$work/mnt" ] -- sh -c './'"$1"'; mnt/'"$1"'; ./script; mnt/script; python3 -c "
import os
os.execve(os.open(\"'"$1"'\", os.O_RDONLY | os.O_CLOEXEC), [\"x\", \"fd\"], os.environ)"; env -i ./'"$1"'; cd mnt; exec ./'"$1"' ' >out 2>&1
	[ "$(tr '\n' ' ' <out)" = "- $2 - $2 ./script $2 word $2 fd $2 - none 0 - $2 " ] || { cat out; return 1; }
}
check "preloaded: a program has it" everywhere with "ours 1"
if [ -z "${LD_PRELOAD:-}" ]; then
	check "not preloaded: with AddressSanitizer" everywhere with-asan "none 0"
	check "not preloaded: with ThreadSanitizer" everywhere with-tsan "none 0"
	idle_too() { run sh -c './with; ./with-asan; exec ./with-tsan' >out 2>&1; [ "$(tr '\n' ' ' <out)" = "- ours 1 - none 0 - none 0 " ] || { cat out; return 1; }; }
	check "not preloaded: nothing is mounted" idle_too
fi
others_kept() { ASAN_OPTIONS=$behind LD_PRELOAD=libm.so.6 run ./with-tsan >out 2>&1; [ "$(cat out)" = "- libm.so.6 0" ] || { cat out; return 1; }; }
check "not preloaded: but what the user preloads" others_kept
twice() { # an environment that names it two times, and another library
	run "${s[@]}" -- python3 -c '
import ctypes, os
own = os.environb[b"LD_PRELOAD"]
env = (ctypes.c_char_p * 4)(b"LD_PRELOAD=" + own, b"LD_PRELOAD=libm.so.6:" + own, b"A=1", None)
argv = (ctypes.c_char_p * 2)(b"with-tsan", None)
ctypes.CDLL(None).execve(b"./with-tsan", argv, env)' >out 2>&1
	[ "$(cat out)" = "- libm.so.6 0" ] || { cat out; return 1; }
}
[ -n "${LD_PRELOAD:-}" ] || check "not preloaded: whatever the environment says twice" twice
little_room() { run sh -c 'ulimit -v 1000000; ./with' >out && [ "$(cat out)" = "- ours 0" ]; }
[ -n "${LD_PRELOAD:-}" ] || check "preloaded, but of no effect: where address space is limited" little_room
under_valgrind() { # as far as the library can tell
	echo 'int valgrinds;' >vg.c && cc -shared -fPIC -o vgpreload_test.so vg.c && run sh -c 'LD_PRELOAD=$PWD/vgpreload_test.so:$LD_PRELOAD ./with' >out && [ "$(cat out)" = "- ours 0" ]
}
[ -n "${LD_PRELOAD:-}" ] || check "preloaded, but of no effect: under valgrind" under_valgrind
converted() { # libc alone converts characters
	printf 'h\0i\0\n\0' >utf16
	cat >ccs.c <<'END'
#include <locale.h>
#include <stdio.h>
#include <wchar.h>
int main(void)
{
	wchar_t b[20];
	FILE *f;

	setlocale(LC_ALL, "C.UTF-8");
	f = fopen("utf16", "r,ccs=UTF-16LE");
	return !f || !fgetws(b, 20, f) || wcscmp(b, L"hi\n") != 0;
}
END
	cc -o ccs ccs.c && ./ccs && run ./ccs
}
check "preloaded: fopen with a conversion" converted
cat >narrow.c <<'END'
/* A 32-bit program without libc: is LD_PRELOAD in its environment? */
__asm__(".globl _start\n_start: mov %esp, %eax\n push %eax\n call start\n");
static void call(int nr, int a, const void *b, int c) { __asm__ volatile("int $0x80" : : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory"); }
void start(char **p)
{
	char **env = p + 1 + *(int *)p + 1;
	int has = 0;

	for (; *env; env++)
		has |= (*env)[0] == 'L' && (*env)[1] == 'D' && (*env)[2] == '_' && (*env)[3] == 'P';
	call(4, 1, has ? "has\n" : "not\n", 4);
	call(1, 0, 0, 0);
}
END
narrow() { run "${s[@]}" -- sh -c './narrow; cp narrow {}; {}/narrow' >out 2>&1; [ "$(tr '\n' ' ' <out)" = "not not " ] || { cat out; return 1; }; }
if [ "$(uname -m)" = x86_64 ] && [ -z "${LD_PRELOAD:-}" ] && cc -m32 -fno-pic -no-pie -fno-stack-protector -nostdlib -static -o narrow narrow.c && ./narrow >out; then
	check "not preloaded: a 32-bit program" narrow
fi
hidden() { # the library is not where the program is
	mkdir -p hide && cp "$portfire" "$(dirname "$portfire")/libportfire.so.0" "$(library)" hide/
	LD_LIBRARY_PATH=$work/hide hide/portfire run sh -c './with; exec unshare -m sh -c "mount -t tmpfs none hide; exec ./with"' >out 2>&1
	[ "$(tr '\n' ' ' <out)" = "- ours 1 - none 0 " ] || { cat out; return 1; }
}
if [ -e "$(dirname "$portfire")/libportfire.so.0" ] && [ -n "$(library)" ] && [ "$(id -u)" = 0 ] && [ -z "${LD_PRELOAD:-}" ] &&
	unshare -m mount -t tmpfs none private 2>/dev/null; then
	check "not preloaded: where the library is hidden" hidden
fi

# ---- in another run
nested() {
	echo hi >src/file
	run "$portfire" run "${s[@]}" -- sh -c 'cat {}/file; exit 9' >out
	[ $? = 9 ] && [ "$(cat out)" = hi ]
}
check "a run in a run" nested
nested_preloaded() {
	ASAN_OPTIONS=$behind run "$portfire" run "${s[@]}" -- sh -c 'cat {}/file; stat -c %s {}/file; exit 9' >out
	[ $? = 9 ] && [ "$(tr '\n' ' ' <out)" = "hi 3 " ]
}
check "a run in a run, with the library" nested_preloaded
check "a failing server there" status 1 run "$portfire" run [ false {} ] true
check "no such program there" status 127 run "$portfire" run no-such-program
check "no private mountpoint is left" until_ok bash -c '[ -z "$(ls -A private)" ]'
check "no server is left" program_gone "$server $work"
done_testing
