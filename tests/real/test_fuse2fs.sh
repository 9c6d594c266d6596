# SPDX-License-Identifier: BSD-2-Clause
# fuse2fs: an ext4 image, served by libfuse 2's high-level interface.
. "$(dirname "$0")/lib.sh"
need fuse2fs mke2fs e2fsck debugfs

make_source
mkdir -m 700 source/lost+found # mke2fs makes one
new_image() {
	truncate -s 600M "$1"
	mke2fs -q -t ext4 -b 4096 -I 256 -m 0 -E "root_owner=$(id -u):$(id -g)" ${2:+-d "$2"} "$1" || exit 1
}
new_image image.ext4 source
# The root has the time of mke2fs, which may be the next second.
debugfs -w -R "set_inode_field <2> mtime @$(stat -c %Y source)" image.ext4 2>/dev/null || exit 1
reads source fuse2fs -o ro image.ext4 {}

rmdir source/lost+found
rm image.ext4
new_image work.ext4
make_incoming
copy_in fuse2fs work.ext4 {}
below=/copy
reads incoming fuse2fs -o ro work.ext4 {}
# With several threads libfuse 2 can lose a race between a last close and an unlink, under the kernel
# too: the file keeps its hidden name for good.
exercise_server -- fuse2fs -s work.ext4 {}
check "e2fsck finds the image clean" e2fsck -fn work.ext4
finish
