# SPDX-License-Identifier: BSD-2-Clause
# passthrough_ll: libfuse's own example of the low-level interface, built from the installed source.
. "$(dirname "$0")/lib.sh"
need passthrough_ll

make_source
reads source passthrough_ll -o "source=$T/source,xattr" {}
mkdir back
make_incoming

# Whether it takes part in write-back, and what it says of its files: keep nothing, keep as usual, keep all.
for how in cache=auto cache=never cache=always writeback,cache=auto writeback,cache=never writeback,cache=always; do
	server=(passthrough_ll -o "source=$T/back,xattr,$how" {})
	echo "# $how"
	copy_in "${server[@]}"
	check "the directory behind holds the copy" same incoming back/copy
	case $how in
	cache=never | *always)
		below=/copy
		check "cp -r out" copy_out incoming "${server[@]}"
		below=
		;;
	esac
	wipe back/copy
	exercise_server --backing="$T/back" -- "${server[@]}"
done

# ---- the server takes part in write-back, and refuses data late -------------------------------

# A limit on the size of a file needs no privilege.
limited=(sh -c 'trap "" XFSZ; ulimit -f 2048; exec "$0" "$@"' passthrough_ll -o "source=$T/back,writeback" {})
head -c 3000000 /dev/urandom >large
mkdir some && cp large some/ && echo small >some/small
# loses WORD PATTERN OPTION...: what a server refuses reaches the user, by name, and so does how much it was.
loses() {
	local what=$1 named=$2 status
	shift 2
	portfire cp "$@" [ "${limited[@]}" ] "$what" {}/lost 2>message
	status=$?
	cat message
	wipe back/lost
	[ $status = 1 ] || { echo "exit status $status"; return 1; }
	grep -q "^portfire: cp: {}/$named: File too large$" message || { echo "the file is not named"; return 1; }
}
how_much() {
	cat message
	grep -q '^portfire: cp: sh: [0-9]* KiB of data were not written: File too large$' message
}
check "a file that is refused late" loses large lost
check "how much was lost is told" how_much
check "with its attributes" loses large lost -p
check "one of a tree" loses some lost/large -r
check "of a tree with attributes" loses some lost/large -a
check "a file that is refused at once" loses large lost --no-writeback

full_disk() {
	mkdir full && mount -t tmpfs -o size=2M tmpfs full || return 1
	portfire cp [ passthrough_ll -o "source=$T/full,writeback" {} ] large {}/lost 2>message
	local status=$?
	umount full
	cat message
	[ $status = 1 ] && grep -q '^portfire: cp: {}/lost: No space left on device$' message
}
if [ "$(id -u)" = 0 ]; then
	check "a full disk" full_disk
else
	skip "a full disk" "only root can mount one"
fi
finish
