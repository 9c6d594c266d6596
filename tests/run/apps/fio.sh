# SPDX-License-Identifier: BSD-2-Clause
# fio writes and verifies, by each of the ways to do it.
app_fio() {
	need fio
	local engine size
	size=$(amount 32m 4m)
	for engine in psync pvsync mmap sync libaio posixaio; do
		if [ $engine = mmap ] && lacks mmap; then continue; fi
		fio --name=$engine --ioengine=$engine --rw=randwrite --bs=4k-64k --size="$size" --verify=crc32c --verify_fatal=1 \
			--filename=fio.$engine --end_fsync=1 --randseed=7 --minimal --fallocate=none >out.$engine 2>&1 ||
			fail "$engine: $(grep -v ';' out.$engine | head -2 | tr '\n' ' ')"
		rm fio.$engine
	done
	fio --name=jobs --numjobs=2 --ioengine=psync --rw=randrw --bs=8k --size="$size" --directory=. --verify=md5 --verify_fatal=1 \
		--minimal --thread >out.jobs 2>&1 || fail "two jobs: $(grep -v ';' out.jobs | head -2)"
	say "  fio: $(fio --name=rate --rw=write --bs=128k --size="$size" --filename=rate --minimal | cut -d\; -f48 | awk '{ printf "%d MiB/s written", $1 / 1024 }')"
}
