# SPDX-License-Identifier: BSD-2-Clause
# A program's own times, set while what it wrote is on its way, stay: many files, by several processes at once,
# looked at here and behind the server (BACK).
app_times() {
	need python3
	cat >"$SCRATCH/times.py" <<-'END'
		import multiprocessing, os, sys, time
		top, behind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
		unit = 10**9 if 'times' in os.environ['LACKS'].split(',') else 1
		OWN = 1_500_000_000 * 10**9
		START = time.time_ns() - 2 * 10**9 # the server's clock is a coarse one
		# s: the file's number, by which its size and time differ
		def plain(name, fd, s): os.write(fd, b'x' * s); own(fd, s)
		def at_once(name, fd, s): own(fd, s)
		def by_path(name, fd, s): os.write(fd, b'x' * s); own(name, s)
		def seen(name, fd, s): os.write(fd, b'x' * s); os.fstat(fd); own(fd, s); os.stat(name)
		def synced(name, fd, s): os.write(fd, b'x' * s); own(fd, s); os.fsync(fd)
		def twice(name, fd, s): plain(name, fd, s + 1); os.write(fd, b'x' * s); own(fd, s)
		def cut(name, fd, s): os.write(fd, b'x' * 2 * s); os.ftruncate(fd, s); own(fd, s)
		def other(name, fd, s): # who sets the time has it open, too, and closes it first
		    os.write(fd, b'x' * s)
		    second = os.open(name, os.O_WRONLY)
		    own(second, s)
		    os.close(second)
		def written_later(name, fd, s): own(fd, s); os.write(fd, b'x' * s)
		def between(name, fd, s): os.write(fd, b'x'); own(fd, s); os.write(fd, b'x' * s)
		WAYS = [plain, at_once, by_path, seen, synced, twice, cut, other, written_later, between]
		LOSE = {written_later, between}
		def own(what, s):
		    os.utime(what, ns=(OWN - s * 1000, OWN + s * 10**9 + s))
		def one(p, n):
		    return f'{WAYS[n % len(WAYS)].__name__}-{p}-{n}', p * 7 + n * 13 + 1
		def complain(p, n, where):
		    name, s = one(p, n)
		    st = os.stat(f'{where}/{name}')
		    right = st.st_mtime_ns >= START if WAYS[n % len(WAYS)] in LOSE else \
		        st.st_mtime_ns // unit == (OWN + s * 10**9 + s) // unit and st.st_atime_ns // unit == (OWN - s * 1000) // unit
		    return [] if right else [f'{where}/{name}: atime {st.st_atime_ns}, mtime {st.st_mtime_ns}']
		def work(p):
		    wrong = []
		    for n in range(count):
		        name, s = one(p, n)
		        fd = os.open(f'{top}/{name}', os.O_CREAT | os.O_RDWR, 0o644)
		        WAYS[n % len(WAYS)](f'{top}/{name}', fd, s)
		        os.close(fd)
		        wrong += complain(p, n, top)
		    slow = f'{top}/slow-{p}', f'{top}/slower-{p}'
		    fds = [os.open(name, os.O_CREAT | os.O_RDWR, 0o644) for name in slow]
		    os.write(fds[0], b'x' * 1000); own(fds[0], 1)
		    os.write(fds[1], b'x' * 1000)
		    time.sleep(1.2) # what is written goes of its own accord
		    own(fds[1], 1)
		    for fd in fds: os.close(fd)
		    wrong += [name for name in slow if os.stat(name).st_mtime_ns // unit != (OWN + 10**9 + 1) // unit]
		    for n in range(count): wrong += complain(p, n, top) + complain(p, n, behind)
		    return wrong
		with multiprocessing.Pool(4) as pool:
		    wrong = sum(pool.map(work, range(4)), [])
		print(len(wrong), *wrong[:5], sep='\n')
	END
	mkdir files
	python3 "$SCRATCH/times.py" "$PWD/files" "$BACK/${1##*/}/files" "$(amount 400 60)" >"$SCRATCH/wrong"
	is "$(head -1 "$SCRATCH/wrong")" 0 "times that are wrong ($(sed -n 2,4p "$SCRATCH/wrong"))"
}
