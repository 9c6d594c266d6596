#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# hostile.sh PORTFIRE HOSTILE [nobody]: programs that do what no program should, each in a run of its own. The run goes on,
# ends in time, what the server has is as it should be, and nothing is left: no process, no directory, no descriptor.
hostile=$(realpath "${2:?which program?}") as=() options=()
. "$(dirname "$0")/../tools/lib.sh"
if [ "${3:-}" = nobody ]; then
	[ "$(id -u)" = 0 ] || skip "only root can become nobody"
	as=(setpriv --reuid=nobody --regid="$(id -gn nobody)" --clear-groups)
fi
chmod 755 "$work"
cp "$portfire" "$hostile" "$(dirname "$portfire")"/libportfire.so.0 "$work"/ # nobody may not reach the build directory
portfire=$work/portfire hostile=$work/hostile
export LD_LIBRARY_PATH=$work
mkdir src mnt private plain
[ "${#as[@]}" = 0 ] || chown nobody src mnt private plain
export TMPDIR=$work/private
"${as[@]}" "$portfire" run true 2>why || skip "nothing can be supervised here: $(tail -1 why)"

left() {
	local dir
	ps -eo pid,args | grep -F "$work" | grep -v "grep\|hostile.sh\|bash "
	dir=$(cat its-directory) && [ -n "$dir" ] && [ -e "$dir" ] && echo "$dir"
	[ -n "$keeps" ] || ls -A private
}
keeps=
# What is left takes its time to end.
nothing_left() {
	local i
	for ((i = 0; i < 100; i++)); do
		[ -z "$(left)" ] && return
		sleep 0.1
	done
	left
	return 1
}

# The program, then an ordinary one in the same run, which finds all in order; and how many descriptors and threads the
# supervisor has before and after (the first is the front).
cat >scenario <<'END'
case=$1 hostile=$2
supervisor=$PPID
while [ "$(cat /proc/$supervisor/comm)" != portfire ]; do supervisor=$(awk '{ print $4 }' /proc/$supervisor/stat); done
count() { ls /proc/$supervisor/fd | wc -l; ls /proc/$supervisor/task | wc -l; }
mkdir $case && cd $case || exit 99
ls -l /proc/$supervisor/fd | sed -n 's|.* \(/dev/shm/portfire-[^/]*\)$|\1|p' >"$3/its-directory"
echo kept >ordinary
before=$(count)
mkdir work && cd work
HOSTILE_DIR=$PWD $hostile $case >../out
status=$?
cd ..
[ "$(cat ordinary)" = kept ] && echo anew >ordinary && mv ordinary renamed && [ "$(cat renamed)" = anew ] && [ -x $(which cat) ] || exit 98
[ $status = 0 ] || exit $status
for i in 1 2 3 4 5 6 7 8 9 10; do
	after=$(count)
	set -- $before $after
	# Up to 512 directories are kept before it looks who has them; threads that nobody needs end after two seconds.
	[ $3 -le $(($1 + 600)) ] && [ $4 -le $(($2 + 6)) ] && exit 0
	sleep 0.5
done
echo "descriptors and threads before: $1 $2; after: $3 $4" >&2
exit 97
END

attack() {
	local case=$1 status
	: >its-directory
	chmod 666 its-directory
	(cd mnt && timeout -k 5 "${LIMIT:-60}" "${as[@]}" "$portfire" run "${options[@]}" [ "$server" "$work/src" "$work/mnt" ] -- \
		sh "$work/scenario" "$case" "$hostile" "$work") 2>err
	status=$?
	[ "$status" = "${2:-0}" ] || { echo "status $status"; cat err; return 1; }
	[ "$(cat "src/$case/renamed")" = anew ] || { echo "the server's files are not as they should be"; return 1; }
	# Who has a tracer of its own is told that it cannot enter; that is the answer, not a fault.
	sed -i '/cannot be \(entered\|executed\|reached\)/d' err
	if [ "${2:-0}" = 0 ] && grep -q '^portfire:' err; then cat err; return 1; fi
	nothing_left
}

# CAP_SYS_PTRACE, which root of a container has not.
may_trace() {
	local effective
	effective=$(sed -n 's/^CapEff:\t//p' /proc/self/status)
	[ $((0x$effective >> 19 & 1)) = 1 ]
}

# descriptors N CASE: as many as that can be open. The machine's own limit may be a million.
descriptors() {
	rm -rf "src/$2"
	(ulimit -n "$1" && attack "$2")
}

# The same without Portfire gives the same answers.
as_plain() {
	mkdir -p "plain/$1" && { [ "${#as[@]}" = 0 ] || chown nobody "plain/$1"; }
	(cd "plain/$1" && HOSTILE_DIR=$PWD timeout 60 "${as[@]}" "$hostile" "$1" >"$work/expected") || return 1
	diff expected "src/$1/out"
}

while read -r case need; do
	[ "$case" = endless-size ] && continue
	[[ $need == *root* ]] && { [ "$(id -u)" = 0 ] && [ "${#as[@]}" = 0 ] || continue; }
	[[ $need != *others* ]] || may_trace || continue
	if [[ $case == many* ]]; then
		check "$case" descriptors 5000 "$case"
		check "$case, with few descriptors" descriptors 1024 "$case"
	else
		check "$case" attack "$case"
	fi
	[[ $need != *plain* ]] || check "$case: as without Portfire" as_plain "$case"
done < <("$hostile" --list)

options=(--hold-dir=none) # on a disk ftruncate says EFBIG
# Who writes what no server takes hears of it: the message, a file that has it, the status.
too_large() {
	local kept
	keeps=yes # in private
	attack endless-size 1 || return
	keeps=
	grep -q 'could not be written back (File too large); what it held is kept in ' err || { cat err; return 1; }
	kept=$(sed -n 's/.*is kept in //p' err)
	[ "$(head -c 5 "$kept")" = begin ] && rm "$kept"
}
check "a file larger than any server takes is kept, and named" too_large
done_testing
