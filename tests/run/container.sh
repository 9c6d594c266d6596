#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# container.sh PORTFIRE CONFINE HOSTILE [PASSTHROUGH_LL]: "portfire run" where container engines put programs (confine.c): as root
# without capabilities and as nobody, with single system calls missing, as on older kernels, and where it
# can do less, or nothing: what it says then.
confine=$(realpath "${2:?which confine?}")
hostile=$(realpath "${3:?which program?}")
second=$(realpath "${4:-none}") # each of its threads has a channel; it need not be there
[ -x "$second" ] || second=
. "$(dirname "$0")/../tools/lib.sh"
set_flags=0x40082104 # SECCOMP_IOCTL_NOTIF_SET_FLAGS

if [ "$(id -u)" = 0 ]; then
	users='root nobody'
else
	users=$(id -un)
fi

# The nobody of the tests cannot reach where we are.
chmod 755 "$work"
cp "$portfire" "$confine" "$hostile" ${second:+"$second"} "$work/"
cp "$(ldd "$portfire" | awk '/libportfire/ { print $3 }')" "$work/" &&
	export LD_LIBRARY_PATH=$work${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# What a program does with files; it ends with the words "all is well".
cat >"$work/deeds" <<'END'
set -e
fail() { echo "failed: $*"; exit 1; }
[ "$(cat mnt/hello)" = hi ] || fail cat
[ "$(ls mnt | head -n 1)" = hello ] || fail ls
cp mnt/hello mnt/copy
cmp mnt/hello mnt/copy
mkdir -p mnt/d/e
cp -r mnt/many mnt/d/e/
[ "$(ls mnt/d/e/many | wc -l)" = 700 ] || fail many
[ "$(find mnt -type f | wc -l)" = 1402 ] || fail find
cd mnt/d/e
case $(pwd -P) in */mnt/d/e) ;; *) fail pwd ;; esac
[ "$(cd .. && /bin/pwd)" = "$(cd .. && pwd)" ] || fail getcwd
echo 'echo "$0 was executed"' >script
cp /bin/true binary
chmod +x script binary
./binary
[ "$(./script)" = './script was executed' ] || fail script
printf '#!/bin/sh\necho "$1"' >script2
chmod +x script2
[ "$(./script2 word)" = word ] || fail script2
for i in 1 2 3 4 5 6 7 8; do
	( for k in 1 2 3 4 5; do echo "$i" >"p$i.$k"; done; cat "p$i".* >"q$i"; ls >"l$i" ) &
done
wait
[ "$(cat q? | wc -l)" = 40 ] || fail processes
mv q1 ../moved
ln -s ../moved link
[ "$(head -n 1 link)" = 1 ] || fail link
chmod 600 ../moved
[ "$(stat -c %a ../moved)" = 600 ] || fail chmod
touch -d 2001-02-03 ../moved
[ "$(stat -c %Y ../moved)" = 981158400 ] || fail touch
if command -v git >/dev/null; then
	mkdir repo && cd repo
	git init -q .
	echo text >file
	git add file
	git -c user.name=n -c user.email=e@x commit -qm message
	[ "$(git log --format=%s)" = message ] || fail git
	cd ..
fi
cd ../../..
rm -r mnt/d mnt/copy
[ "$(ls mnt | wc -l)" = 2 ] || fail rm
echo "all is well"
END

make_source() {
	rm -rf "$work/src"
	mkdir -p "$work/src/many" "$work/mnt"
	echo hi >"$work/src/hello"
	(cd "$work/src/many" && seq -f 'a file with a rather long name %g' 700 | xargs -d '\n' touch)
	[ "$user" = root ] || [ "$(id -u)" != 0 ] || chown -R "$user" "$work/src" "$work/mnt"
	chmod 755 "$work/src" "$work/mnt"
}

# confined OPTION... -- COMMAND...: as $user
confined() {
	local who=()
	[ "$user" = "$(id -un)" ] || who=(--user="$user")
	timeout 200 "$work/confine" "${who[@]}" "$@"
}

# does_all OPTION...: the deeds, and what the directory behind the server has afterwards
does_all() {
	make_source
	confined "$@" -- ./portfire run [ "$server" src mnt ] -- sh deeds >out 2>&1
	[ "$(tail -n 1 out)" = "all is well" ] && [ "$(wc -l <out)" = 1 ] &&
		[ "$(find src -type f | wc -l)" = 701 ] && return
	head -n 20 out
	return 1
}

# without CALL...: one option each
without() {
	local call
	options=()
	for call; do
		options+=(--without="$call")
	done
}

for user in $users; do
	for profile in docker docker-20 podman none; do
		check "$user, $profile" does_all --profile=$profile
	done
	check "$user, no engine" does_all --here
	# What reaches into other processes asks who one is; the rest is the same for all.
	calls='pidfd_getfd pidfd_open process_vm_readv process_vm_writev'
	[ "$user" != "${users%% *}" ] || calls="$calls close_range openat2 faccessat2 statx clone3"
	for call in $calls; do
		check "$user, without $call" does_all --without=$call/ENOSYS
	done
	calls='pidfd_open process_vm_readv process_vm_writev'
	[ "$user" != "${users%% *}" ] || calls="$calls close_range"
	for call in $calls; do
		check "$user, $call is refused" does_all --profile=docker --without=$call
	done
	without process_vm_readv process_vm_writev pidfd_getfd pidfd_open
	check "$user, podman, memory by /proc only" does_all --profile=podman "${options[@]}"

	# Linux 5.9, as far as a filter can tell: no WAIT_KILLABLE_RECV (5.19), no SYNC_WAKE_UP (6.6)
	without "ioctl:1=$set_flags/EINVAL" 'seccomp:1&0x20=0x20/EINVAL' fchmodat2/ENOSYS \
		epoll_pwait2/ENOSYS futex_waitv/ENOSYS mount_setattr/ENOSYS landlock_create_ruleset/ENOSYS
	check "$user, docker, an old kernel" does_all --profile=docker "${options[@]}"
done

# Memory is read and written by /proc/PID/mem there, which knows of no protection. By maps, how they are told of before 6.11, and since.
wrong_arguments() {
	local case=bad-arguments
	rm -rf plain src mnt && mkdir plain src mnt
	[ "$user" = root ] || chown "$user" plain src
	confined "$@" -- sh -c 'cd plain && HOSTILE_DIR=$PWD ../hostile bad-arguments' >plain.out 2>&1 &&
		confined "$@" -- ./portfire run [ "$server" src mnt ] -- \
			sh -c 'mkdir mnt/dir && cd mnt/dir && HOSTILE_DIR=$PWD ../../hostile bad-arguments' >run.out 2>&1 &&
		same plain.out run.out && [ "$(wc -l <run.out)" -gt 1000 ]
}
query_maps=0xc0686611 # PROCMAP_QUERY
for user in $users; do
	check "$user, docker-20: wrong arguments" wrong_arguments --profile=docker-20
	check "$user, docker-20, an old kernel: wrong arguments" wrong_arguments --profile=docker-20 \
		--without="ioctl:1=$query_maps/ENOTTY"
done

# ---- mounting ---------------------------------------------------------------------------------

mounts_inside() {
	make_source
	confined "$@" -- ./portfire run sh -c "$server src mnt && cat mnt/hello || exit 1
		(cd mnt && fusermount3 -u ../mnt 2>&1 && echo unmounted while busy)
		fusermount3 -u mnt && ls mnt
		$server src mnt && cat mnt/hello && fusermount3 -uz mnt && ls mnt; echo done" >out 2>&1
	printf 'hi\nfusermount: failed to unmount ../mnt: Device or resource busy\nhi\ndone\n' >want
	same want out
}

# It need not be installed, where a server mounts by it alone.
fusermount_is_absent() {
	make_source
	mkdir -p bin
	for program in sh "$server"; do
		ln -sf "$(command -v "$program")" bin/
	done
	confined --profile=docker --without=mount -- ./portfire ls [ "$server" src mnt ] -1 mnt >out 2>&1
	printf 'hello\nmany\n' >want
	same want out
}

for user in $users; do
	check "$user mounts and unmounts inside" mounts_inside --profile=docker
	check "$user: ls, by fusermount's part" fusermount_is_absent
	check "$user: a private mountpoint" prints hello confined --profile=docker -- \
		./portfire ls [ "$server" src {} ] {}
	[ -z "$second" ] || check "$user: several channels" prints hello confined --profile=docker -- \
		./portfire ls [ ./passthrough_ll -o clone_fd -o source="$work/src" {} ] {}
done

# ---- what cannot be --------------------------------------------------------------------------

user=${users%% *}
no_ptrace='because ptrace is not permitted here (by the container'

# once FILE TEXT: exactly one line of it has that
once() {
	[ "$(grep -cF -- "$2" "$1")" = 1 ] || { cat "$1"; return 1; }
}

goes_on_without_ptrace() {
	make_source
	confined --without=ptrace "$@" -- ./portfire run [ "$server" src mnt ] -- sh -c '
		cat mnt/hello; echo "$(ls mnt/many | wc -l) there, $(ls -R mnt | wc -l) lines in all"; cp mnt/hello mnt/copy
		cd mnt && echo entered; cd mnt/many && echo entered
		cp /bin/true mnt/true; mnt/true && echo executed
		mkdir mnt/new; rm -r mnt/new mnt/copy mnt/true; echo end' >out 2>&1
	once out "portfire: run: $work/mnt cannot be entered, $no_ptrace" && once out 'end' &&
		once out 'mnt/true: Operation not permitted' && once out '700 there, 705 lines in all' &&
		! grep -E 'entered$|executed$' out
}

cannot_run() {
	local text=$1 want=$2
	shift 2
	confined "$@" -- ./portfire run [ "$server" src mnt ] -- echo program >out 2>&1
	[ $? = "$want" ] && [ "$(wc -l <out)" = 1 ] && once out "$text" || { cat out; return 1; }
}

check "without ptrace: all but entering and executing" goes_on_without_ptrace
check "without ptrace and pidfd_getfd" goes_on_without_ptrace --without=pidfd_getfd
# There descriptors are replaced while a directory is listed: it stays what it is.
listings_are_whole() {
	make_source
	confined --without=ptrace --without=pidfd_getfd -- ./portfire run [ "$server" src mnt ] -- sh -c '
		for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23; do
			ls mnt/many >/dev/null; ls -R mnt | wc -l; sleep 0.0$((i % 4))3; done | sort -u; echo end' >out 2>&1
	[ "$(tr '\n' ' ' <out)" = "705 end " ] || { cat out; return 1; }
}
check "nor is a listing cut short there" listings_are_whole
check "without ptrace and what else reads memory" goes_on_without_ptrace --profile=podman \
	--without=pidfd_getfd --without=process_vm_readv --without=process_vm_writev
check "no notification of system calls" cannot_run 'the kernel has no notification of system calls' 1 \
	--without='seccomp:1&0x8/EINVAL'
check "nor its sizes" cannot_run 'the kernel has no notification of system calls' 1 \
	--without='seccomp:0=3/EINVAL'
check "no seccomp(2)" cannot_run 'no system call filter may be installed here' 1 --without=seccomp
check "no memfd_create" cannot_run 'there is no memfd_create(2) here' 1 --without=memfd_create

neither_mount_nor_ptrace() {
	status 1 confined --profile=docker --without=ptrace -- ./portfire run [ "$server" src mnt ] -- \
		true >out 2>&1
	once out 'neither mount(2) nor ptrace(2) is permitted here'
}
check "neither mount nor ptrace" neither_mount_nor_ptrace

done_testing
