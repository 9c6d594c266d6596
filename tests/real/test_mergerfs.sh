# SPDX-License-Identifier: BSD-2-Clause
# mergerfs: two branches shown as one; it brings its own libfuse.
. "$(dirname "$0")/lib.sh"
need mergerfs

make_source
mkdir one two
cp -a source one/copy
mkdir two/copy
mv one/copy/{sizes,modes,deep} two/copy/
touch -r source one/copy two/copy
server=(mergerfs -o category.create=mfs "$T/one:$T/two" {})
below=/copy
reads source "${server[@]}"
wipe one two
mkdir one two
make_incoming
copy_in "${server[@]}"
behind() {
	cp -a one/. all && cp -a two/. all && same incoming all/copy
}
mkdir all
check "the branches hold the copy" behind
wipe one two all
mkdir one two
exercise_server -- "${server[@]}"
finish
