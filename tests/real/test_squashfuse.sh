# SPDX-License-Identifier: BSD-2-Clause
# squashfuse: a read-only image, served by libfuse 3's high-level and by its low-level interface.
. "$(dirname "$0")/lib.sh"
need squashfuse squashfuse_ll mksquashfs

make_source
mksquashfs source image.sqfs -quiet -no-progress -processors 2 -comp zstd -Xcompression-level 1 >/dev/null || exit 1
reads source squashfuse image.sqfs {}
SERVER=squashfuse_ll
check "cp -r out of squashfuse_ll" copy_out source squashfuse_ll image.sqfs {}
SERVER=squashfuse
nothing_can_be_written() {
	! portfire cp [ squashfuse image.sqfs {} ] image.sqfs {}/new 2>message &&
		grep -i 'read-only\|not implemented\|not permitted\|not supported\|permission denied' message
}
check "nothing can be written" nothing_can_be_written
finish
