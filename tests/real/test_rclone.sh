# SPDX-License-Identifier: BSD-2-Clause
# rclone mount of a local directory: a Go server with another FUSE library.
. "$(dirname "$0")/lib.sh"
need rclone

export RCLONE_CONFIG="$T/rclone.conf" RCLONE_CACHE_DIR="$T/cache"
: >"$RCLONE_CONFIG"
make_source
mkdir all && mv source all/copy
below=/copy
reads all/copy rclone mount --read-only ":local:$T/all" {}

make_incoming
mkdir back
check "cp -r in" portfire cp [ rclone mount --vfs-cache-mode=writes --vfs-write-back=0 ":local:$T/back" {} ] -r incoming {}/copy
check "the directory behind holds the copy" treecmp --ignore="$(words compare),mode,mtime" incoming back/copy
wipe back/copy
exercise_server -- rclone mount --vfs-cache-mode=full ":local:$T/back" {}
finish
