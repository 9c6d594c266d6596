# SPDX-License-Identifier: BSD-2-Clause
# What the tests with real servers share. run.sh sets: SERVER the test's name, WHO self or nobody, T an
# empty directory of our own.
set -u
passed=0 failed=0 skipped=0
below= # where in the file system the tree stands: empty, or "/copy"
cd "$T" || exit 1

# words USE: the words of servers.tab for this server and user, joined with commas.
words() {
	awk -F'\t+' -v server="$SERVER" -v use="$1" -v uid="$(id -u)" '
		/^#/ || NF < 5 { next }
		("," $1 "," ~ "," server "," || $1 == "*") && $3 == use &&
			($2 == "all" || ($2 == "user" && uid != 0) || ($2 == "root" && uid == 0)) {
			printf "%s%s", sep, $4; sep = "," }' "$(dirname "${BASH_SOURCE[0]}")/servers.tab"
}

# check NAME COMMAND...: one case; its output is shown when it fails.
check() {
	local name=$1 start=$SECONDS
	shift
	if "$@" >check.log 2>&1; then
		passed=$((passed + 1))
		echo "ok - $name ($((SECONDS - start)) s)"
	else
		failed=$((failed + 1))
		echo "not ok - $name: $*"
		head -c 4000 check.log | sed 's/^/    /'
	fi
}

skip() {
	skipped=$((skipped + 1))
	echo "ok - $1 # SKIP $2"
}

# A program that must be there, else the whole test is skipped, said aloud.
need() {
	local program
	for program; do
		command -v "$program" >/dev/null || { echo "skipped: no $program here"; exit 77; }
	done
}

# The tree that the server shows, and the one that is copied into it. The file 100MiB is as large as its name says once for each
# server, where the user who calls reads it. nobody, and who writes, has a shorter one (the test "big" writes large files).
make_source() {
	local big=${BIG:-100}
	[ "$WHO" = self ] || big=20
	mktree --big=$big --without="$(words tree)" "${1:-source}"
}
make_incoming() {
	mktree --big=20 --without="$(words tree),$(words in)" incoming
}

# same A B: compared as far as this server can keep it.
same() {
	local granularity
	granularity=$(words granularity)
	treecmp --granularity="${granularity:-1}" --ignore="$(words compare)" "$@"
}

# "ls -lR" names every file with its mode and size. Names with a newline are left to treecmp.
list_all() {
	local source=$1
	shift
	portfire ls [ "$@" ] -lR "{}$below" >list.out || return 1
	local listed entries
	listed=$(grep -c '^[-dlp][-rwxsStT]\{9\}' list.out)
	entries=$(find "$source" -mindepth 1 ! -name '.*' -printf x | wc -c)
	[ "$listed" = "$entries" ] || { echo "$listed entries are listed, of $entries"; return 1; }
	grep -q '^-.* 131073 .*128KiB+1$' list.out || { echo "128KiB+1 is not listed"; return 1; }
}

# Remove directories, also those that forbid it.
wipe() {
	chmod -R u+rwX "$@" 2>/dev/null
	rm -rf "$@"
}

copy_out() {
	local source=$1
	shift
	portfire cp [ "$@" ] -a "{}$below" out || return 1
	same "$source" out
	local status=$?
	wipe out
	return $status
}

cat_all() {
	local source=$1 file
	shift
	for file in sizes/empty sizes/128KiB+1 sizes/3MiB+17 sizes/100MiB; do
		[ -e "$source/$file" ] || continue
		[ "$(portfire cat [ "$@" ] "{}$below/$file" | sha256sum)" = "$(sha256sum <"$source/$file")" ] || {
			echo "$file differs"
			return 1
		}
	done
}

# reads SOURCE SERVER ARG...: everything that only reads; SOURCE is what the server should show.
reads() {
	check "ls -lR" list_all "$@"
	check "cp -r out" copy_out "$@"
	check "cat" cat_all "$@"
}

# copy_in SERVER ARG...: put the incoming tree in as "copy".
copy_in() {
	check "cp -r in" portfire cp [ "$@" ] -a incoming {}/copy
}

# exercise_server [OPTION...] -- SERVER ARG...: all that a program does with files.
exercise_server() {
	local counts
	exercise --without="$(words do)" --granularity="$(words granularity | grep . || echo 1)" "$@" >exercise.out 2>&1
	local status=$?
	cat exercise.out
	counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' exercise.out)
	if [ -z "$counts" ]; then
		failed=$((failed + 1))
		echo "not ok - exercise ended with status $status"
		return
	fi
	read -r p _ f _ s _ <<<"$counts"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# The last line of every test.
finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
	exit
}
