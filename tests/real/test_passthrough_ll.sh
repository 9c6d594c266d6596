# SPDX-License-Identifier: BSD-2-Clause
# passthrough_ll: libfuse's own example of the low-level interface, built from the installed source.
. "$(dirname "$0")/lib.sh"
need passthrough_ll

make_source
reads source passthrough_ll -o "source=$T/source,xattr" {}
mkdir back
server=(passthrough_ll -o "source=$T/back,xattr" {})
make_incoming
copy_in "${server[@]}"
check "the directory behind holds the copy" same incoming back/copy
wipe back/copy
exercise_server --backing="$T/back" -- "${server[@]}"
exercise_server --backing="$T/back" -- passthrough_ll -o "source=$T/back,xattr,writeback,cache=always" {}
finish
