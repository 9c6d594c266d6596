#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# driver.sh NAME DIR: run the application NAME.sh in DIR, which is made and removed, wherever that may be, and
# say "NAME: ok 12.3 s". Exit status 0, 1, or 77 for "cannot be tried here".
#
# From the environment: PF_BUILD the build directory, SCRATCH an empty directory on a local file system,
# LACKS what the file system cannot do (words with commas), QUICK=1 for less work, PF_APPS_CACHE a directory
# for what was downloaded, BACK what the server shows, READ_ONLY=1 when DIR is a tree that can only be read (SOURCE is its
# original).
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$1 dir=$2
export LC_ALL=C.UTF-8 TZ=UTC TERM=xterm PAGER=cat
unset LS_COLORS COLUMNS

say() {
	echo "$*" >&3
}

# The application ends here: it failed, or it cannot be tried.
fail() {
	echo "$*" >"$SCRATCH/word"
	exit 1
}
skip() {
	echo "$*" >"$SCRATCH/word"
	exit 77
}

need() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip "no $program here"
	done
}

lacks() {
	[[ ,${LACKS:-}, == *,$1,* ]]
}

# same A B: one line of text is as it should be.
is() {
	[ "$1" = "$2" ] || fail "${3:-wrong}: $1, not $2"
}

# amount FULL QUICK: how much is done.
amount() {
	[ -n "${QUICK:-}" ] && echo "$2" || echo "$1"
}

# As a user who is not root, in a directory that is his.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$SCRATCH" "$@"
	else
		"$@"
	fi
}

# A tree with one of each kind and some hundred files as programmers have them.
make_tree() {
	mkdir -p "$1/d/e/f" "$1/empty" "$1/src"
	local i
	for ((i = 0; i < $(amount 400 60); i++)); do
		mkdir -p "$1/src/$((i % 20))"
		printf 'int f%d(int x)\n{\n\treturn x + %d; /* needle %d */\n}\n' $i $i $((i % 7)) >"$1/src/$((i % 20))/file $i.c"
	done
	head -c 300000 /dev/urandom >"$1/big"
	: >"$1/zero"
	echo deep >"$1/d/e/f/file"
	lacks symlink-times || ln -s big "$1/link"
	lacks symlink-times || ln -s nowhere "$1/broken"
	lacks symlink-times || ln -s d/e "$1/dirlink"
	lacks fifo || mkfifo "$1/pipe"
	lacks hardlinks || ln "$1/big" "$1/d/hard"
	touch -d '2001-02-03 04:05:06' "$1/old"
	touch "$1/sp ace" "$1/"$'new\nline' "$1/ü" "$1/.hidden" "$1/back\\slash" "$1/-dash"
	truncate -s 10M "$1/sparse"
	chmod 4755 "$1/zero" && chmod 604 "$1/old" && chmod 1777 "$1/empty" && chmod 2755 "$1/d/e"
	touch -d '2010-10-10 10:10:10' "$1/d/e/f" "$1/d"
}

# What was cached of a file's attributes is looked at anew: a server that knows nothing of ACLs sets modes by
# setxattr, and one that has an inode for each name of a file counts links, behind its client's back.
settle() {
	lacks attributes && sleep 1.1
	return 0
}

# A line a file: what two copies must have in common.
attributes() {
	local links='%n' time='%Ts'
	lacks hardlinks && links=
	lacks utime-omit && [ "$name" = tar ] && time= # tar sets the mtime alone
	(cd "$1" && find . \( -type d -printf "%P %M %U %G $time\n" \) -o \( -type l -printf '%P -> %l\n' \) -o \
		-printf "%P %M $links %U %G %s $time\n" | sort)
}

# same_tree A B: names, attributes and contents.
same_tree() {
	settle
	diff <(attributes "$1") <(attributes "$2") >"$SCRATCH/diff" ||
		fail "${3:-the trees} differ: $(grep '^[<>]' "$SCRATCH/diff" | sort -k2 | head -4 | tr '\n' '|')"
	diff <(sums "$1") <(sums "$2") >"$SCRATCH/diff" || fail "${3:-the trees} differ in $(head -2 "$SCRATCH/diff" | tr '\n' '|')"
}
sums() {
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# All of the application in a shell that ends at the first command that fails, and says which.
run_app() {
	set -eE
	trap 'status=$?; [ -s "$SCRATCH/word" ] || echo "line $LINENO of $name.sh gave $status: $BASH_COMMAND" >"$SCRATCH/word"' ERR
	. "$here/$name.sh"
	[ -n "${READ_ONLY:-}" ] || mkdir -p "$dir"
	cd "$dir"
	"app_$name" "$dir"
	cd /
}

rm -f "$SCRATCH/word"
begin=${EPOCHREALTIME/./}
(run_app) 3>&1 >"$SCRATCH/log" 2>&1 </dev/null
status=$?
seconds=$(((${EPOCHREALTIME/./} - begin) / 100000))
seconds=$((seconds / 10)).$((seconds % 10))
if [ -z "${READ_ONLY:-}" ] && [ $status = 0 ] && ! rm -rf "$dir" 2>"$SCRATCH/word"; then
	status=1
fi
[ $status = 0 ] || [ -s "$SCRATCH/word" ] || echo "ended with $status" >"$SCRATCH/word"
case $status in
0) echo "$name: ok $seconds s" ;;
77) echo "$name: skipped: $(head -1 "$SCRATCH/word")" ;;
*)
	echo "$name: FAILED $seconds s: $(head -c 1000 "$SCRATCH/word" | tr '\n' ' ')"
	tail -"${LOG_LINES:-8}" "$SCRATCH/log" | cut -c1-300 | sed 's/^/    /'
	status=1
	;;
esac
exit $status
