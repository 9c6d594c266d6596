# SPDX-License-Identifier: BSD-2-Clause
# Servers that do not exist, end, never mount, mount twice or die, and a portfire that is told to end or
# killed: one clear sentence, the right exit status, and nothing left behind.
. "$(dirname "$0")/lib.sh"
need bindfs

# fails WORDS COMMAND...: exit status 1 in time, and one sentence with these words from portfire.
fails() {
	local words=$1 status
	shift
	timeout 100 "$@" >stdout 2>stderr </dev/null
	status=$?
	cat stderr
	[ $status = 1 ] || { echo "exit status $status"; return 1; }
	[ "$(grep -c '^portfire: ' stderr)" = 1 ] || { echo "not one sentence"; return 1; }
	grep '^portfire: ' stderr | grep -q -e "$words" || { echo "no '$words' in it"; return 1; }
}

# Everything that this test started and that still runs: the environment has the mark of run.sh, and
# what is not the test itself (its shell, its subshells, timeout) counts. Into the file "others".
others() {
	local environ pid words
	for environ in /proc/[0-9]*/environ; do
		pid=${environ#/proc/} pid=${pid%/environ}
		grep -qsazFx "PF_TEST_MARK=$PF_TEST_MARK" "$environ" || continue
		words=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")
		case $words in
		*test_badservers.sh* | "") ;;
		*) echo "$pid $words" ;;
		esac
	done >others
}

# until SECONDS COMMAND...: the command succeeds within this time.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

nobody_else() {
	others
	[ ! -s others ]
}
nothing_left() {
	until_true 60 nobody_else || { echo "still there:"; cat others; return 1; }
	[ -z "$(ls -A "$TMPDIR")" ] || { echo "left in TMPDIR: $(ls -A "$TMPDIR")"; return 1; }
}

# The process id of the bindfs that runs.
the_server() {
	others
	awk '/^[0-9]+ bindfs / { print $1 }' others | grep .
}

mkdir source other
echo text >source/file
truncate -s 1T source/endless

# ---- servers that never come to work --------------------------------------------------------

check "no such program" fails 'no-such-server' portfire ls [ no-such-server {} ] {}
check "a program that is no program" fails 'source/file' portfire ls [ ./source/file {} ] {}
check "it ends with a message" fails 'status 3.*cannot open the image' \
	portfire ls [ sh -c 'echo "cannot open the image" >&2; exit 3' server {} ] {}
check "it ends without a word" fails 'has ended before it mounted' portfire ls [ sh -c 'exit 0' server {} ] {}
check "it is killed" fails 'KILL\|signal 9\|Killed' portfire ls [ sh -c 'kill -9 $$' server {} ] {}
check "it never mounts" fails 'sh.*mount\|mount.*sh' portfire ls --timeout 1 [ sh -c 'sleep 1000' server {} ] {}
mounts_twice() {
	portfire ls [ sh -c 'bindfs source "$0" && bindfs other "$0"; sleep 1000' {} ] {} >stdout 2>stderr
	local status=$?
	cat stdout stderr
	# The first mount may be in use by the time the second is refused.
	[ $status = 0 ] && [ "$(cat stdout)" = "endless
file" ] && return
	[ $status = 1 ] && grep -q '^portfire: .*\(second\|twice\|again\)' stderr
}
check "it mounts twice" mounts_twice
check "the mountpoint is missing" fails '' portfire ls [ bindfs source nowhere ] nowhere
check "nothing of these is left" nothing_left

# ---- what stands outside and what is not there -----------------------------------------------

check "a missing file" fails 'missing.*No such file' portfire cat [ bindfs source {} ] {}/missing
check "one missing file among others" fails 'missing.*No such file' \
	portfire cat [ bindfs source {} ] {}/file {}/missing {}/file
two_texts() {
	[ "$(cat stdout)" = "text
text" ]
}
check "the others are shown" two_texts
if [ "$(id -u)" != 0 ]; then
	echo secret >source/secret
	chmod 000 source/secret
	check "a forbidden file" fails 'secret.*Permission denied' portfire cat [ bindfs source {} ] {}/secret
	chmod 600 source/secret
fi

# ---- the end comes in the middle -------------------------------------------------------------

# Begin a copy that would take hours, and wait until it is under way.
copying() {
	rm -f copied
	env --default-signal=INT,TERM portfire cp --sparse=never [ bindfs source {} ] {}/endless copied >stdout 2>stderr &
	portfire=$!
	until_true 60 test -s copied || { echo "the copy does not begin"; kill -9 $portfire; return 1; }
}
ended_with() {
	local status
	timeout 60 tail --pid=$portfire -f /dev/null || { echo "it does not end"; kill -9 $portfire; return 1; }
	wait $portfire
	status=$?
	cat stderr
	[ $status = "$1" ] || { echo "exit status $status, not $1"; return 1; }
}
signalled() {
	copying || return 1
	kill -"$1" $portfire
	ended_with "$2" && nothing_left
}
check "SIGINT" signalled INT 130
check "SIGTERM" signalled TERM 143
check "SIGKILL" signalled KILL 137

server_dies() {
	copying || return 1
	kill -9 $(the_server) || { echo "no bindfs runs"; kill -9 $portfire; return 1; }
	ended_with 1 && [ "$(grep -c '^portfire: ' stderr)" -ge 1 ] && nothing_left
}
check "the server is killed while cp runs" server_dies

cat_stalls() {
	mkfifo pipe
	portfire cat [ bindfs source {} ] {}/endless >pipe 2>stderr &
	portfire=$!
	exec 3<pipe
	head -c 1000000 <&3 >/dev/null
	kill -9 $(the_server)
	cat <&3 >/dev/null # what is in the pipe; cat then finds its server gone
	exec 3<&-
	ended_with 1 && grep '^portfire: .*endless' stderr && nothing_left
}
check "the server is killed while cat runs" cat_stalls
finish
