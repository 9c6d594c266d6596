# SPDX-License-Identifier: BSD-2-Clause
# Files much larger than the cache, files of holes, and many small ones: the data comes back, and memory
# stays below the limit. $PF_BIG_MIB: how large; scripts/test-big makes it 1 GiB.
. "$(dirname "$0")/lib.sh"
[ "$WHO" = self ] || PF_BIG_MIB=${PF_BIG_MIB:-64} # the same, but for who calls
size=${PF_BIG_MIB:-128} limit=$((${PF_BIG_MIB:-128} / 16))
mkdir back

# large NAME SERVER ARG...: in by the library; it and cp see the same; and in again by cp.
large() {
	local name=$1
	shift
	check "$name: $size MiB in and out with $limit MiB of cache" bigfile write /big "$size" "$limit" -- "$@"
	check "$name: cp out" portfire cp --cache-size="${limit}M" [ "$@" ] {}/big big
	check "$name: it is the same" cmp big made
	check "$name: cp in" portfire cp --cache-size="${limit}M" [ "$@" ] big {}/big
	rm -f big
	check "$name: and out again" bigfile read /big "$size" "$limit" -- "$@"
	rm -f back/big
}
has() {
	command -v "$1" >/dev/null || { skip "$1" "it is not here"; return 1; }
}

bigfile make made "$size"
through=(passthrough_ll -o "source=$T/back" {})
back=(passthrough_ll -o "source=$T/back,writeback" {})
if has passthrough_ll; then
	large "passthrough_ll" "${through[@]}"
	large "passthrough_ll, write-back" "${back[@]}"
	check "holes" bigfile holes /holes "$((size * 16))" "$limit" -- "${through[@]}"
	check "holes, write-back" bigfile holes /holes "$((size * 16))" "$limit" -- "${back[@]}"
	rm -f back/*
	check "3000 small files" bigfile small 3000 0 256 -- "${through[@]}"
	check "3000 small files, write-back" bigfile small 3000 0 256 -- "${back[@]}"
	wipe back && mkdir back
fi
has bindfs && large "bindfs" bindfs back {}
if has sshfs && [ -x /usr/lib/openssh/sftp-server ]; then
	printf '#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n' >ssh-here
	chmod +x ssh-here
	large "sshfs" sshfs -o "ssh_command=$T/ssh-here" "here:$T/back" {}
fi
if has fuse2fs && has mke2fs; then
	truncate -s $((size * 5 / 4 + 64))M image.ext4
	mke2fs -q -t ext4 -m 0 -E "root_owner=$(id -u):$(id -g)" image.ext4
	large "fuse2fs" fuse2fs image.ext4 {}
	rm -f image.ext4
fi
if has squashfuse && has mksquashfs; then
	mkdir image && ln made image/big
	mksquashfs image image.sqfs -quiet -no-progress -processors 2 -comp gzip -Xcompression-level 1 >/dev/null
	check "squashfuse: out" bigfile read /big "$size" "$limit" -- squashfuse image.sqfs {}
fi
finish
