# SPDX-License-Identifier: BSD-2-Clause
# What the tests of the command share. Prints TAP; skips with status 77. A test script sources it,
# calls check for each case and done_testing last. $1 is the command under test.
set -u
export LC_ALL=C TZ=UTC TERM=xterm # coreutils' ls has colours only for a terminal that it knows
unset LS_COLORS COLUMNS
portfire=$(realpath "${1:?which command?}")
server=${PF_TEST_SERVER:-bindfs}
cases=0 failures=0

skip() {
	echo "1..0 # SKIP $*"
	exit 77
}

command -v "$server" >/dev/null || [ -n "${PF_TEST_SERVER:-}" ] || skip "$server is not installed"
work=$(mktemp -d) || exit 1
trap 'chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1

# pf ARG...: the command, given up after a while.
pf() {
	timeout 100 "$portfire" "$@"
}

# check NAME COMMAND...: one case, passed when the command succeeds.
check() {
	local name=$1
	shift
	cases=$((cases + 1))
	if "$@" >check.out 2>&1; then
		echo "ok $cases - $name"
	else
		failures=$((failures + 1))
		echo "not ok $cases - $name"
		sed 's/^/# /' check.out
	fi
}

# status N COMMAND...: the command ends with that status.
status() {
	local want=$1 got
	shift
	"$@" && got=0 || got=$?
	[ "$got" = "$want" ] || { echo "status $got, not $want: $*"; return 1; }
}

# same A B: two files with the same bytes.
same() {
	cmp "$1" "$2" || { diff "$1" "$2" | head -20; return 1; }
}

# prints TEXT COMMAND...: what the command writes to both its outputs contains the text.
prints() {
	local want=$1 got
	shift
	got=$("$@" 2>&1)
	[[ $got == *"$want"* ]] || { echo "not in the output: $want"; echo "$got"; return 1; }
}

# on_terminal COMMAND...: run it on a terminal of 30 columns; its output without carriage returns.
on_terminal() {
	local words
	printf -v words '%q ' "$@"
	timeout 100 script -qec "stty cols 30 rows 24; $words" /dev/null </dev/null
}

# make_tree DIR: a small tree with one of each kind.
make_tree() {
	mkdir -p "$1/d/e/f" "$1/empty"
	echo hi >"$1/a"
	head -c 300000 /dev/urandom >"$1/big"
	: >"$1/zero"
	printf 'deep\n' >"$1/d/e/f/file"
	ln -s a "$1/l"
	ln -s nowhere "$1/broken"
	ln -s d "$1/dirlink"
	mkfifo "$1/pipe"
	ln "$1/a" "$1/hard"
	touch -d '2001-02-03 04:05:06.789' "$1/old"
	touch -d '2040-01-01' "$1/future"
	touch "$1/sp ace" "$1/"$'new\nline' "$1/ü" "$1/.hidden" "$1/back\\slash"
	truncate -s 10M "$1/sparse"
	printf x | dd of="$1/sparse" bs=1 seek=5000000 conv=notrunc 2>/dev/null
	chmod 4755 "$1/a"
	chmod 640 "$1/zero"
	chmod 1777 "$1/empty"
	chmod 2750 "$1/d/e"
	touch -d '2010-10-10 10:10:10' "$1/d/e/f" "$1/d" "$1/l"
	touch -h -d '2011-11-11' "$1/broken"
	if [ "$(id -u)" = 0 ]; then
		mknod "$1/null" c 1 3
		mknod "$1/disk" b 259 65537
		chown 12345:23456 "$1/old"
		chown 1:2 "$1/zero"
	fi
}

done_testing() {
	echo "1..$cases"
	[ "$failures" = 0 ]
}

# Attributes of a tree, a line a file, to compare copies by.
attributes() {
	(cd "$1" && find . -printf '%P %M %n %U %G %s %T@ %l\n' | sort)
}
