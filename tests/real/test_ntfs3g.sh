# SPDX-License-Identifier: BSD-2-Clause
# ntfs-3g: an NTFS image, served by its own copy of libfuse's old core.
. "$(dirname "$0")/lib.sh"
need ntfs-3g mkntfs

make_source
truncate -s 600M image.ntfs
mkntfs -F -q -Q image.ntfs >/dev/null 2>&1 || exit 1
server=(ntfs-3g -o permissions,streams_interface=xattr image.ntfs {})
make_incoming
copy_in "${server[@]}"
below=/copy
reads incoming "${server[@]}"
exercise_server -- "${server[@]}"
finish
