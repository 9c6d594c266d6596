# SPDX-License-Identifier: BSD-2-Clause
# archivemount: a compressed tar archive, which it writes anew when it ends.
. "$(dirname "$0")/lib.sh"
need archivemount

BIG=20 # it unpacks what lies before a file again and again: 100 MiB take minutes
make_source
mkdir all && mv source all/copy
tar --format=gnu -C all -c copy | gzip -1 >image.tar.gz
below=/copy
reads all/copy archivemount image.tar.gz {}
nothing_can_be_written() {
	! portfire cp [ archivemount -o readonly image.tar.gz {} ] lib.log {}/new
}
echo text >lib.log
check "with readonly nothing can be written" nothing_can_be_written

make_incoming
tar --format=gnu -czf work.tar.gz lib.log
copy_in archivemount -o nobackup work.tar.gz {}
unpacked() {
	mkdir new && tar -C new -xzf work.tar.gz &&
		treecmp --ignore="$(words compare),mode,mtime" incoming new/copy
}
check "the archive holds the copy" unpacked
exercise_server -- archivemount -o nobackup work.tar.gz {}
finish
