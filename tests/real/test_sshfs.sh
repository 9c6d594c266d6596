# SPDX-License-Identifier: BSD-2-Clause
# sshfs over a local sftp-server: a script stands where ssh would, no network is used.
. "$(dirname "$0")/lib.sh"
need sshfs /usr/lib/openssh/sftp-server

printf '#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n' >ssh-here
chmod +x ssh-here
# Newer versions hide symlinks that leave the mount unless they are told not to.
options=ssh_command=$T/ssh-here
sshfs --help 2>&1 | grep -q no_contain_symlinks && options+=,no_contain_symlinks
sshfs_of() {
	server=(sshfs -o "$options" "here:$T/$1" {})
}

make_source
sshfs_of source
reads source "${server[@]}"
mkdir back
sshfs_of back
make_incoming
copy_in "${server[@]}"
check "the directory behind holds the copy" same incoming back/copy
exercise_server --backing="$T/back" -- "${server[@]}"
finish
