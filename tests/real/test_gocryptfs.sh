# SPDX-License-Identifier: BSD-2-Clause
# gocryptfs: encrypted files below a directory; a Go server with its own FUSE library.
. "$(dirname "$0")/lib.sh"
need gocryptfs

echo "a password" >password
mkdir cipher
gocryptfs -q -init -scryptn 10 -passfile password cipher >/dev/null || exit 1
server=(gocryptfs -q -nosyslog -passfile password cipher {})
make_source
make_incoming
copy_in "${server[@]}"
hidden() {
	! find cipher -name '128KiB*' | grep . && ! grep -rqs 'at-the-end' cipher
}
check "the directory behind holds no plain name" hidden
below=/copy
reads incoming "${server[@]}"
exercise_server -- "${server[@]}"
finish
