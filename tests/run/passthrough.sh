#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# passthrough.sh PORTFIRE PASSTHROUGH_SERVER [nobody|trapped]: programs on files that their server passes through (FUSE_PASSTHROUGH): they
# have the backing file itself, and everything but its data is the server's.
through=$(realpath "${2:?which server?}")
. "$(dirname "$0")/../tools/lib.sh"
as=() flags=(--trace)
if [ "${3:-}" = nobody ]; then
	[ "$(id -u)" = 0 ] || skip "only root can become nobody"
	as=(setpriv --reuid=nobody --regid="$(id -gn nobody)" --clear-groups)
fi
[ "${3:-}" != trapped ] || flags+=(--no-preload)
chmod 755 "$work"
cp "$portfire" "$through" "$(dirname "$portfire")"/{libportfire.so.0,src/preload/libportfire-preload.so} "$work"/ # nobody may not reach the build directory
export LD_LIBRARY_PATH=$work
mkdir back mnt private
export TMPDIR=$work/private MNT=$work/mnt BACK=$work/back TRACE=$work/trace
[ "${#as[@]}" = 0 ] || chown -R nobody back mnt private
"${as[@]}" "$work/portfire" run true 2>why || skip "nothing can be supervised here: $(tail -1 why)"

# run [-o WORDS] PROGRAM: portfire run with "file" in an otherwise empty directory; the requests are in trace.
run() {
	local options=timeout=60
	if [ "$1" = -o ]; then
		options=$2
		shift 2
	fi
	rm -rf back/* trace
	printf 0123456789 >back/file
	printf '#!/bin/sh\necho ran "$@"\n' >back/script
	chmod 755 back/script
	[ "${#as[@]}" = 0 ] || chown -R nobody back
	timeout -k 5 100 "${as[@]}" "$work/portfire" run "${flags[@]}" 2>err [ "$work/passthrough_server" -o "$options" "$BACK" "$MNT" ] -- "$@"
}
# python CODE: with what the checks need.
python() {
	run "${options[@]}" python3 -c '
import errno, fcntl, mmap, os, socket, subprocess, sys, time
MNT, BACK = os.environ["MNT"], os.environ["BACK"]
file, back = MNT + "/file", BACK + "/file"
def text(path): return open(path, "rb").read()
def fails(err, fn, *args):
    try: fn(*args)
    except OSError as e:
        if e.errno == err: return
        raise
    raise Exception("no error")
'"$1"
}
options=()
sent() {
	grep -cE "^$1\(" err
}
no_data() {
	[ "$(sent 'READ|WRITE')" = 0 ] || { grep -E '^(READ|WRITE)\(' err | head -3; return 1; }
}

# ---- data
native() {
	python '
f = os.open(file, os.O_RDWR)
assert os.pread(f, 4, 3) == b"3456"
os.pwrite(f, b"ABC", 2)
assert text(back) == b"01ABC56789"
with open(back, "r+b") as b: b.write(b"x")
assert os.pread(f, 3, 0) == b"x1A"
m = mmap.mmap(f, 10)
m[9:10] = b"!"
assert text(back) == b"x1ABC5678!" == text(file)
os.sendfile(os.open(MNT + "/new", os.O_WRONLY | os.O_CREAT, 0o644), f, 0, 10)
assert text(BACK + "/new") == text(file)' && no_data
}
check "reads, writes and mappings are the backing file's" native

appending() {
	python '
pids = []
for i in range(4):
    pid = os.fork()
    if not pid:
        f = os.open(file, os.O_WRONLY | os.O_APPEND)
        for n in range(200): os.write(f, b"%d%03d\n" % (i, n))
        os._exit(0)
    pids.append(pid)
for p in pids: assert os.waitpid(p, 0)[1] == 0
lines = text(file)[10:].split(b"\n")[:-1]
assert len(lines) == 800 and sorted(lines) == sorted(b"%d%03d" % (i, n) for i in range(4) for n in range(200))' && no_data
}
check "four processes append" appending

executing() {
	cp /bin/true true
	python '
subprocess.check_call(["cp", "/bin/echo", MNT + "/echo"])
assert subprocess.check_output([MNT + "/echo", "just copied"]) == b"just copied\n"
assert subprocess.check_output([MNT + "/script", "a", "b"]) == b"ran a b\n"
f = os.open(MNT + "/echo", os.O_RDONLY)
subprocess.check_call(["/proc/self/fd/%d" % f], pass_fds=[f])
w = os.open(MNT + "/echo", os.O_WRONLY)
fails(errno.ETXTBSY, subprocess.check_output, [MNT + "/echo"])
os.close(w)
subprocess.check_call([MNT + "/echo"])
subprocess.check_call(["cp", "/bin/sleep", MNT + "/sleep"])
p = subprocess.Popen([MNT + "/sleep", "99"])
fails(errno.ETXTBSY, os.open, MNT + "/sleep", os.O_WRONLY)
p.kill()'
}
check "programs and scripts" executing

# ---- what else is asked of a descriptor
attributes() {
	python '
f = os.open(file, os.O_RDWR)
by_path, by_fd, below = os.stat(file), os.fstat(f), os.stat(back)
assert by_path.st_dev == by_fd.st_dev != below.st_dev
d = os.open(back, os.O_RDWR)    # the same file, opened elsewhere: the kernel answers
assert os.fstat(d).st_dev == below.st_dev and os.fstat(f).st_dev == by_path.st_dev
child = subprocess.check_output(["stat", "-L", "-c", "%d", "/proc/self/fd/%d" % f], pass_fds=[f])
assert int(child) == by_path.st_dev
assert os.readlink("/proc/self/fd/%d" % f) == file
assert os.readlink("/proc/self/fd/%d" % d) == back
g = os.dup(f)
fcntl.fcntl(g, fcntl.F_SETFL, os.O_APPEND)    # the mark stays
assert os.fstat(g).st_dev == by_path.st_dev
a, b = socket.socketpair()
socket.send_fds(a, [b"x"], [f])
got = socket.recv_fds(b, 1, 1)[1][0]
assert os.fstat(got).st_dev == by_path.st_dev
os.fchmod(f, 0o640); os.ftruncate(f, 4); os.utime(f, (1, 2)); os.fsync(f); os.posix_fallocate(f, 0, 8)
st = os.stat(file)
assert st.st_mode & 0o777 == 0o640 and st.st_size == 8 and text(back) == b"0123\0\0\0\0"
r = os.open(file, os.O_RDONLY)
fails(errno.EINVAL, os.ftruncate, r, 0)
fails(errno.EBADF, os.posix_fallocate, r, 0, 100)
fails(errno.EBADF, os.write, r, b"x")
fails(errno.EBADF, os.read, os.open(file, os.O_WRONLY), 1)
' && [ "$(sent SETATTR)" = 3 ] && [ "$(sent FSYNC)" = 1 ] && [ "$(sent FALLOCATE)" = 1 ] && no_data
}
check "attributes, truncation, syncing are the server's" attributes

sizes() {
	python '
f = os.open(file, os.O_RDWR)
assert os.stat(file).st_size == 10
for n in range(11, 20):
    os.pwrite(f, b"x", n - 1)
    assert os.stat(file).st_size == n == os.fstat(f).st_size
before = os.stat(file).st_mtime_ns
m = mmap.mmap(f, 19); m[0:1] = b"m"; m.flush(); time.sleep(0.05)
os.pwrite(f, b"y", 0)
assert os.stat(file).st_mtime_ns > before
os.close(f); m.close()
with open(file, "ab") as g: g.write(b"more")
assert os.stat(file).st_size == 23 == os.path.getsize(file)
assert subprocess.check_output(["stat", "-c", "%s", file]) == b"23\n"'
}
check "stat shows at once what was written" sizes

names() {
	python '
f = os.open(file, os.O_RDWR)
os.rename(file, MNT + "/other")
assert os.readlink("/proc/self/fd/%d" % f) == MNT + "/other"
os.write(f, b"renamed")
assert text(MNT + "/other") == b"renamed789"
again = os.open("/proc/self/fd/%d" % f, os.O_RDONLY)
os.unlink(MNT + "/other")
assert os.readlink("/proc/self/fd/%d" % f).endswith("(deleted)")
os.write(f, b"gone")
assert os.pread(again, 20, 0) == b"renamedgone" and os.fstat(f).st_nlink == 0
assert open("/proc/self/fd/%d" % f, "rb").read() == b"renamedgone"
assert not os.listdir(BACK) == [] and "other" not in os.listdir(BACK)
with open(file, "wb") as g: g.write(b"another")
assert os.pread(f, 20, 0) == b"renamedgone" and text(file) == b"another"
with open(file, "wb") as g: pass
assert text(back) == b""' && no_data
}
check "renamed, removed and truncated while open" names

locks() {
	python '
f = os.open(file, os.O_RDWR)
fcntl.flock(f, fcntl.LOCK_EX)
pid = os.fork()
if not pid:
    g = os.open(file, os.O_RDWR)
    try: fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError: os._exit(0)
    os._exit(1)
assert os.waitpid(pid, 0)[1] == 0'
}
check "locks" locks

# ---- the end of it
released() {
	python '
import re
def released(mode):
    return len(re.findall("^RELEASE.*" + mode, open("/proc/self/fd/2").read(), re.M))
def wait(mode):
    end = time.time() + 60
    while not released(mode):
        assert time.time() < end, "no RELEASE of " + mode
        time.sleep(0.02)
f = os.open(file, os.O_RDWR); g = os.open(file, os.O_RDONLY); h = os.dup(g)
reader = "O_RDONLY[|]0x8000"
os.close(f); os.close(g); wait("O_RDWR")
time.sleep(0.5)
assert not released(reader)
d = os.open(back, os.O_RDWR)    # does not count
os.close(h); wait(reader)
assert (released("O_RDWR"), released(reader)) == (1, 1)'
}
check "RELEASE comes when the last one has closed it" released

many() {
	python '
for i in range(300):
    with open(MNT + "/f%d" % i, "w") as f: f.write("x" * i)
    assert os.path.getsize(MNT + "/f%d" % i) == i
held = [open(MNT + "/f%d" % i) for i in range(300)]
assert [len(f.read()) for f in held] == list(range(300))' && [ "$(sent OPEN)" -ge 300 ] &&
		[ "$(sent RELEASE)" = "$(($(sent OPEN) + $(sent CREATE)))" ] && no_data
}
check "many files, each opened and closed at the server" many

inside() {
	timeout -k 5 100 "${as[@]}" "$work/portfire" run -- sh -c '
		unmount() { # where umount is refused by a container, by fusermount
			said=$(umount "$MNT" 2>&1) && return
			case $said in *superuser*) fusermount3 -u "$MNT" ;; *) echo "$said"; return 1 ;; esac
		}
		"$0" "$BACK" "$MNT" & until [ -e "$MNT/file" ]; do sleep 0.05; done
		exec 3<"$MNT/file"
		read -r line <&3; echo "$line"
		unmount 2>&1 && exit 1
		exec 3<&-
		until unmount >/dev/null 2>&1; do sleep 0.05; done
		wait' "$work/passthrough_server" >out 2>&1 || { cat out; return 1; }
	grep -qx 0123456789 out && grep -qi busy out
}
run true
check "mounted inside: busy while a file is open" inside

# ---- what is not as it should be
two_mounts() {
	run true
	mkdir -p mnt2
	[ "${#as[@]}" = 0 ] || chown nobody mnt2
	timeout -k 5 100 "${as[@]}" "$work/portfire" run [ "$work/passthrough_server" "$BACK" "$MNT" ] [ "$work/passthrough_server" "$BACK" "$work/mnt2" ] -- \
		sh -c 'exec 3>>"$MNT/file" 4>>"$0/file"; echo a >&3; echo b >&4; cat "$MNT/file" "$0/file"' "$work/mnt2" >out 2>&1
	[ "$(cat out)" = "$(printf '0123456789a\nb\n0123456789a\nb')" ]
}
check "two servers, one backing file" two_mounts

dies() {
	python '
f = os.open(file, os.O_RDWR)
m = mmap.mmap(f, 10)
subprocess.call(["pkill", "-KILL", "-f", "^" + os.path.dirname(MNT) + "/passthrough_server"])
end = time.time() + 60
while True:
    try: os.stat(file)
    except OSError as e: assert e.errno == errno.ENOTCONN; break
    assert time.time() < end; time.sleep(0.02)
os.pwrite(f, b"still", 0)
assert m[0:5] == b"still" and text(back) == b"still56789"
fails(errno.ENOTCONN, os.stat, file)
fails(errno.ENOTCONN, os.ftruncate, f, 0)
os.close(f)'
	[ "$(cat back/file)" = still56789 ]
}
check "the server dies: what is open goes on" dies

cut() {
	python '
f = os.open(file, os.O_RDWR)
m = mmap.mmap(f, 10)
os.truncate(back, 0)
assert os.read(f, 10) == b"" and os.fstat(f).st_size == 0
pid = os.fork()
if not pid: m[0]; os._exit(0)
assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 7'
}
check "the backing file is cut: as with any file" cut

options=(-o direct)
direct() {
	python '
f = os.open(file, os.O_RDWR)
assert os.pread(f, 10, 0) == b"0123456789"
os.pwrite(f, b"xyz", 0)
assert text(back) == b"xyz3456789"' && [ "$(sent READ)" -gt 0 ] && [ "$(sent WRITE)" -gt 0 ]
}
check "with FOPEN_DIRECT_IO reads and writes are the server's" direct

# A writer closes what is held for a mapping of his; a reader has it still when it is written to by another.
readers() {
	python '
for n in range(3):
    w = os.open(file, os.O_RDWR); m = mmap.mmap(w, 10)
    r = os.open(file, os.O_RDONLY)
    m.close(); os.close(w); time.sleep(n / 10)
    w = os.open(file, os.O_RDWR)
    os.pwrite(w, b"new%d" % n, 0)
    assert os.pread(r, 4, 0) == b"new%d" % n
    os.close(w); os.close(r)'
}
check "with FOPEN_DIRECT_IO: read, mapped and written" readers

options=(-o descriptor)
check "the server's own descriptor is registered" native

# The file may not be opened anew by us, but by its descriptor it may be read and written. Where we get no copy of that (in
# Docker) it is not passed through.
no_rights() {
	python '
f = os.open(MNT + "/closed", os.O_RDWR | os.O_CREAT, 0)
assert os.write(f, b"text") == 4 and os.pread(f, 4, 0) == b"text"
assert os.fstat(f).st_size == 4 and os.stat(MNT + "/closed").st_size == 4' && { ! grep -q 'PASSTHROUGH, backing' err || no_data; }
}
check "a file that nobody may open anew" no_rights
done_testing
