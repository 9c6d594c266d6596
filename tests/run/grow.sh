#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# grow.sh PORTFIRE PASSTHROUGH_LL [nobody]: files that programs write may become larger than any memory: what is held of them lies on
# disk, and what is in memory is bounded where there is none.
through=$(realpath "${2:-none}")
. "$(dirname "$0")/../tools/lib.sh"
[ -x "$through" ] || skip "no passthrough_ll (libfuse's example)"
as=()
if [ "${3:-}" = nobody ]; then
	[ "$(id -u)" = 0 ] || skip "only root can become nobody"
	as=(setpriv --reuid=nobody --regid="$(id -gn nobody)" --clear-groups)
fi
chmod 755 "$work"
cp "$portfire" "$through" "$(dirname "$portfire")"/libportfire.so.0 "$work"/ # nobody may not reach the build directory
through=$work/$(basename "$through")
export LD_LIBRARY_PATH=$work
mkdir back mnt held other
[ "${#as[@]}" = 0 ] || chown -R nobody .
export TMPDIR=$work/held MNT=$work/mnt BACK=$work/back W=$work
case $(stat -f -c %T held) in tmpfs | ramfs) skip "TMPDIR is memory here" ;; esac
"${as[@]}" "$work/portfire" run true 2>why || skip "nothing can be supervised here: $(tail -1 why)"

# What the supervisor holds in memory in KiB: its memfds of files, and what else is not its cache.
cat >held-memory <<'END'
import glob, os
most = 0
for fd in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        if os.path.dirname(os.readlink(os.path.dirname(os.path.dirname(fd)) + "/exe")) != os.environ["W"]: continue
        link = os.readlink(fd)
        if link.startswith(("/memfd:portfire:", "/memfd:portfire base")): most += os.stat(fd).st_blocks // 2
    except OSError: pass
print(most)
END
# run [OPTION...] -- CODE: portfire run of a piece of Python, which has MNT, BACK, W, and memory(): what is held in memory, in KiB.
cat >common.py <<'END'
import errno, fcntl, mmap, os, random, subprocess, sys, time
MNT, BACK, W = os.environ["MNT"], os.environ["BACK"], os.environ["W"]
file, back = MNT + "/file", BACK + "/file"
MIB = 1 << 20
def memory():
    return int(subprocess.run([sys.executable, W + "/held-memory"], capture_output=True, text=True).stdout)
def little():
    m = memory()
    assert m < 4096, "%d KiB are held in memory" % m
def text(path):
    if path.startswith(BACK): os.sync() # what was closed is there
    with open(path, "rb") as f: return f.read()
def block(i): return (b"%08d" % i) * (MIB // 8)
def grow(f, first, n):
    for i in range(first, first + n):
        assert os.write(f, block(i)) == MIB
def blocks(n): return b"".join(block(i) for i in range(n))
def wait_for(path, size):
    for i in range(300):
        if os.path.exists(path) and os.stat(path).st_size >= size: return
        time.sleep(0.1)
    raise Exception("%s has %d bytes, not %d" % (path, os.stat(path).st_size, size))
END
server=()
run() {
	local options=(--hold-size=1M)
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	rm -rf back/* held/* # nothing of the last one
	timeout -k 5 60 "${as[@]}" env PYTHONPATH="$W" "${limited[@]}" "$work/portfire" run "${options[@]}" 2>err [ "$through" -o "source=$BACK,xattr" "$MNT" ] -- \
		python3 -c "from common import *
$2" && return
	cat err
	return 1
}
limited=()
nothing_left() { [ -z "$(ls -A held)" ] || { ls -A held; return 1; }; }

# ---- who writes, and how
sequential() {
	run -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
grow(f, 0, 40)
little()
os.close(f)
assert text(back) == blocks(40)' && nothing_left
}
check "one that writes from beginning to end" sequential
small_pieces() {
	run -- '
subprocess.run(["dd", "if=/dev/zero", "of=" + file, "bs=4k", "count=8000", "status=none"], check=True)
assert text(back) == bytes(8000 * 4096)
f = os.open(file, os.O_WRONLY | os.O_APPEND)
for i in range(20000): os.write(f, b"0123456789" * 40)
little()
os.close(f)
assert text(back) == bytes(8000 * 4096) + b"0123456789" * 800000'
}
check "in pieces of 4 KiB, and appending to what is there" small_pieces
copies() {
	run -- '
open(W + "/other/one", "wb").write(blocks(30))
p = subprocess.Popen(["cp", W + "/other/one", file])
while p.poll() is None: little(); time.sleep(0.01)
assert p.returncode == 0
subprocess.run(["cp", file, W + "/other/two"], check=True)
subprocess.run("cat <\"$MNT/file\" | cmp - \"$W/other/two\" && dd if=\"$MNT/file\" bs=3M status=none | cmp - \"$BACK/file\"", shell=True, check=True)
f = os.open(file, os.O_RDONLY)
m = mmap.mmap(f, 0, prot=mmap.PROT_READ)
assert m[29 * MIB:] == block(29)
little()
assert text(W + "/other/two") == blocks(30)'
}
check "cp in and out, a shell's input, a mapping of what is there" copies
read_and_write() {
	run -- '
f = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
grow(f, 0, 30)
assert os.pread(f, 16, 29 * MIB) == block(29)[:16]
os.pwrite(f, b"in between", 15 * MIB - 5)
little()
os.fsync(f)
want = bytearray(blocks(30)); want[15 * MIB - 5:15 * MIB + 5] = b"in between"
assert text(back) == want
os.pwrite(f, b"x", 7)
os.close(f)
want[7:8] = b"x"
assert text(back) == want == text(file)'
}
check "one that reads and writes; fsync in the middle" read_and_write
mapped() {
	run -- '
f = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(f, 30 * MIB)
m = mmap.mmap(f, 30 * MIB)
os.close(f)
for i in range(30): m[i * MIB:(i + 1) * MIB] = block(i)
little()
m[3:5] = b"!!"
del m
want = bytearray(blocks(30)); want[3:5] = b"!!"
assert text(file) == want == text(back)'
}
check "one that writes by a mapping, and has closed the file" mapped
appending() {
	run -- '
pids = []
for who in b"ab":
    pid = os.fork()
    if not pid:
        f = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for i in range(2000): os.write(f, bytes([who]) * 5000)
        os._exit(0)
    pids.append(pid)
little()
for pid in pids: assert os.waitpid(pid, 0)[1] == 0
got = text(file)
assert got == text(back) and len(got) == 2 * 2000 * 5000
assert all(got[i:i + 5000] in (b"a" * 5000, b"b" * 5000) for i in range(0, len(got), 5000))
assert got.count(b"a") == 2000 * 5000'
}
check "two that append" appending
head_last() {
	run -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
os.write(f, bytes(100))
os.lseek(f, 0, 0)
grow(f, 0, 30)
wait_for(back, 30 * MIB) # the timer has sent it
os.pwrite(f, b"head" + bytes(20), 0)
os.pwrite(f, bytes(100), 15 * MIB + 70)
os.close(f)
want = bytearray(blocks(30)); want[:24] = b"head" + bytes(20); want[15 * MIB + 70:15 * MIB + 170] = bytes(100)
assert text(back) == want == text(file)'
}
check "one that writes its head at last, and zeros over what the server has" head_last
truncating() {
	run -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
grow(f, 0, 20)
wait_for(back, 20 * MIB)
os.ftruncate(f, 3 * MIB + 1)
os.ftruncate(f, 20 * MIB)
os.pwrite(f, b"end", 20 * MIB)
want = blocks(20)[:3 * MIB + 1] + bytes(17 * MIB - 1) + b"end"
assert text(file) == want
os.close(f)
assert text(back) == want
f = os.open(file, os.O_WRONLY | os.O_TRUNC)
assert os.stat(file).st_size == 0 == os.stat(back).st_size
grow(f, 5, 1)
os.close(f)
assert text(back) == block(5)'
}
check "truncated, enlarged, truncated by an open" truncating
names() {
	run -- '
f = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
grow(f, 0, 10)
os.rename(file, MNT + "/new")
grow(f, 10, 10)
open(file, "w").write("another")
os.unlink(file)
os.close(f)
assert text(BACK + "/new") == blocks(20) == text(MNT + "/new")
f = os.open(MNT + "/new", os.O_RDWR)
os.unlink(MNT + "/new")
grow(f, 20, 10)
assert os.pread(f, MIB, 0) == block(20) and os.pread(f, MIB, 15 * MIB) == block(15)
assert not os.path.exists(BACK + "/new")'
}
check "renamed and removed while they grow" names
readers() {
	run -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
r = os.open(file, os.O_RDONLY)
for i in range(0, 20):
    grow(f, i, 1)
    assert os.pread(r, MIB + 1, i * MIB) == block(i)
    out = subprocess.run(["tail", "-c", "8", file], capture_output=True).stdout
    assert out == b"%08d" % i, out
os.pwrite(f, b"now", 0)
assert os.pread(r, 3, 0) == b"now"
little()'
}
check "others see what is written, at once" readers
closed_before() { # it was read, in memory; nobody has it any more when it is written
	run -- '
open(file, "w").write("a little")
assert text(file) == b"a little"
f = os.open(file, os.O_WRONLY | os.O_APPEND)
grow(f, 0, 20)
little()
os.close(f)
assert text(back) == b"a little" + blocks(20)'
}
check "a file that was read before" closed_before
many() {
	run --hold-total=4M -- '
for i in range(20): open(BACK + "/f%d" % i, "wb").write(block(i)[:900000])
fs = [os.open(MNT + "/f%d" % i, os.O_RDONLY) for i in range(20)]
little()
for i, f in enumerate(fs): assert os.read(f, MIB) == block(i)[:900000]
for f in fs: os.close(f)
fs = [os.open(MNT + "/f%d" % i, os.O_RDONLY) for i in range(20)]
little()'
}
check "many that are read" many
programs() {
	run -- '
with open(file, "wb") as f: f.write(text("/bin/sh") + bytes(3 * MIB))
os.chmod(file, 0o755)
assert subprocess.run([file, "-c", "exit 7"]).returncode == 7
with open(MNT + "/script", "w") as f: f.write("#!" + file + "\nexit 8\n")
os.chmod(MNT + "/script", 0o755)
assert subprocess.run([MNT + "/script"]).returncode == 8
f = os.open(file, os.O_WRONLY)
try: subprocess.run([file, "-c", "exit 7"])
except OSError as e: assert e.errno == errno.ETXTBSY, e
else: raise Exception("it runs")'
}
check "programs run that were just written" programs
again() { # files on disk are used again: nothing of one is in another
	run -- '
for round in range(3):
    for i in range(100):
        n = random.Random(i).randrange(1, 20000)
        with open(MNT + "/s%d" % i, "wb") as f: f.write(b"%04d" % (i + round) * n)
    for i in range(100):
        n = random.Random(i).randrange(1, 20000)
        assert text(MNT + "/s%d" % i) == b"%04d" % (i + round) * n == text(BACK + "/s%d" % i)
with open(file, "wb") as f: f.seek(100000); f.write(b"x")
assert text(back) == bytes(100000) + b"x"
f = os.open(MNT + "/hole", os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(f, 50000)
assert os.read(f, 50000) == bytes(50000)'
}
check "what is used again is empty" again

# ---- what goes wrong
umount_all() {
	local m
	for m in upper.d small server other; do
		! mountpoint -q "$work/$m" || umount "$work/$m" 2>/dev/null || umount -l "$work/$m"
	done
}
trap 'umount_all; chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
no_disk() { # EPERM, told of; what was written until then is there
	run --hold-dir=none --hold-total=8M -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
try:
    for i in range(400): os.write(f, block(i)); time.sleep(0.003)
except OSError as e: assert e.errno == errno.EPERM, e
else: raise Exception("it took all")
size = os.fstat(f).st_size
assert memory() < 200 * 1024
os.close(f)
assert text(back) == blocks(size // MIB)
with open(file, "wb") as f: f.write(b"again")
assert text(back) == b"again" == text(file)' && grep -q 'writing to it fails from now on.*--hold-total' err
}
check "no disk: it takes no more beyond --hold-total" no_disk
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=64m none other 2>/dev/null; then
	on_memory() { # TMPDIR is memory: another directory is taken
		TMPDIR=$work/other run -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
grow(f, 0, 100)
little()
assert os.statvfs(W + "/other").f_bfree * 4096 > 60 * MIB'
	}
	case $(stat -f -c %T /var/tmp) in
	tmpfs) ;;
	*) check "TMPDIR is memory" on_memory ;;
	esac
	truncate -s 60M other/disk && mkfs.ext4 -q other/disk && mkdir small && mount -o loop other/disk small
fi
if mountpoint -q small; then
	[ "${#as[@]}" = 0 ] || chown nobody small
	full_disk() { # ENOSPC; what was written until then is there
		run --hold-dir="$work/small" -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
try: grow(f, 0, 100)
except OSError as e: assert e.errno == errno.ENOSPC, e
else: raise Exception("it took all")
size = os.fstat(f).st_size
assert size > 10 * MIB, size
os.close(f)
assert text(back) == blocks(100)[:size]
little()
grow(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 0, 5)
open(BACK + "/large", "wb").write(blocks(100))
f = os.open(MNT + "/large", os.O_RDONLY)
try: mmap.mmap(f, 0, prot=mmap.PROT_READ)
except OSError as e: assert e.errno == errno.ENOSPC, e
else: raise Exception("it has room for it")
assert os.pread(f, 8, 99 * MIB) == b"00000099"' && grep -q "large: there is no room for a copy of it ($work/small)" err
	}
	check "the disk is full" full_disk
	if [ "${#as[@]}" = 0 ]; then
		full_server() { # its data keeps its place on the disk, and gets a name there
			rm -rf small/portfire*
			mkdir -p server
			mount -t tmpfs -o size=4m none server
			TMPDIR=$work/small BACK=$work/server status 1 run --hold-dir="$work/small" -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
grow(f, 0, 35)
os.close(f)
f = os.open(file, os.O_WRONLY | os.O_TRUNC) # the next one gets another
os.write(f, b"new")
os.close(f)' || return
			local name
			name=$(sed -n 's/.*what it held is kept in //p' err | head -1)
			python3 -c 'from common import *
assert text(sys.argv[1]) == blocks(35)' "$name" && [ "$(stat -c %a "$name")" = 600 ] && [ "$(cat server/file)" = new ]
		}
		check "the server is full, and the disk has no room for a copy: the file itself is kept" full_server
		rm -f small/portfire*
	fi
	mount -o remount,noexec small
	noexec() {
		run --hold-dir="$work/small" -- '
with open(file, "wb") as f: f.write(text("/bin/sh") + bytes(3 * MIB))
os.chmod(file, 0o755)
assert subprocess.run([file, "-c", "exit 7"]).returncode == 7
r = os.open(file, os.O_RDONLY)
assert subprocess.run([file, "-c", "exit 7"]).returncode == 7
f = os.open(MNT + "/new", os.O_RDWR | os.O_CREAT, 0o755)
os.write(f, text("/bin/sh"))
mmap.mmap(f, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)
os.close(f)
assert subprocess.run([MNT + "/new", "-c", "exit 9"]).returncode == 9
f = os.open(MNT + "/data", os.O_RDWR | os.O_CREAT, 0o644)
grow(f, 0, 20)
little()'
	}
	check "what is held on a disk mounted noexec runs" noexec
	mount -o remount,exec small
	umount small
	mkdir lower upper.d
	if mount -o loop other/disk small && mkdir -p small/u small/w && mount -t overlay overlay -o lowerdir=lower,upperdir=small/u,workdir=small/w upper.d; then
		[ "${#as[@]}" = 0 ] || chown nobody upper.d
		overlay_maps() { # leases do not tell of them there
			run --hold-dir="$work/upper.d" -- '
f = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(f, 3 * MIB)
m = mmap.mmap(f, 3 * MIB)
os.close(f)
time.sleep(1.5)
for i in range(3): m[i * MIB:(i + 1) * MIB] = block(i)
assert text(file) == blocks(3)
for i in range(50):
    with open(MNT + "/s%d" % i, "wb") as f: f.write(b"%04d" % i * 100)
assert m[:MIB] == block(0)
m.close()
assert text(file) == blocks(3)
for i in range(50): assert text(MNT + "/s%d" % i) == b"%04d" % i * 100' && python3 -c 'from common import *
assert text(back) == blocks(3)'
		}
		check "on an overlay, where leases do not tell of mappings" overlay_maps
		umount upper.d
	fi
fi

# ---- a limit of memory
group=/sys/fs/cgroup/memory/portfire-test.$$
if [ "$(id -u)" = 0 ] && [ "${#as[@]}" = 0 ] && mkdir "$group" 2>/dev/null; then
	trap 'umount_all; rmdir "$group" 2>/dev/null; chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
	limit=memory.limit_in_bytes
elif group=/sys/fs/cgroup/portfire-test.$$ && [ "$(id -u)" = 0 ] && [ "${#as[@]}" = 0 ] && [ -e /sys/fs/cgroup/cgroup.controllers ] && mkdir "$group" 2>/dev/null; then
	trap 'umount_all; rmdir "$group" 2>/dev/null; chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
	limit=memory.max
else
	group=
fi
if [ -n "$group" ] && echo 120M >"$group/$limit" 2>/dev/null; then
	in_group() {
		limited=(sh -c 'echo $$ >"$0"/cgroup.procs && exec "$@"' "$group")
		run -- '
f = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
grow(f, 0, 300)
os.close(f)
os.sync()
assert os.stat(back).st_size == 300 * MIB
with open(back, "rb") as f:
    for i in range(300): assert f.read(MIB) == block(i)'
	}
	check "300 MiB where there are 120 MiB of memory" in_group
fi
done_testing
