# SPDX-License-Identifier: BSD-2-Clause
# bindfs: libfuse 2's high-level interface over a directory.
. "$(dirname "$0")/lib.sh"
need bindfs

make_source
reads source bindfs source {}
mkdir back
make_incoming
copy_in bindfs back {}
check "the directory behind holds the copy" same incoming back/copy
exercise_server --backing="$T/back" -- bindfs back {}
finish
