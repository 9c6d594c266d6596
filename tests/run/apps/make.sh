# SPDX-License-Identifier: BSD-2-Clause
# configure and make -j2 of a real project (GNU hello, else ed or bc) from Debian's sources.
app_make() {
	need gcc make tar
	local archive
	archive=$(make_source) || skip "no source package can be had here"
	mkdir src
	tar -xf "$archive" -C src --strip-components=1
	cd src
	# A server that loses the times that tar sets (the mtime alone) would have all made again that is made already.
	lacks utime-omit && find . -type f -exec touch -d 2020-02-02 {} +
	make_project "$archive"
}

# The archive of a source package, downloaded once; in the cache, which is no part of what is measured.
make_source() {
	local cache=${PF_APPS_CACHE:-${TMPDIR:-/tmp}/portfire-apps-cache}
	mkdir -p "$cache" || return 1
	ls "$cache"/hello_*.orig.tar.* 2>/dev/null | head -1 | grep . && return
	command -v apt-get >/dev/null && [ -n "${PREPARE:-}" ] || return 1
	sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list.d/* /etc/apt/sources.list 2>/dev/null |
		grep debian | grep -v security | head -1 | sed "s|.*|deb-src & $(. /etc/os-release && echo "$VERSION_CODENAME") main|" >"$SCRATCH/sources.list"
	mkdir -p "$SCRATCH/lists/partial"
	local options=(-qq -o Dir::Etc::SourceList="$SCRATCH/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::State::Lists="$SCRATCH/lists" -o APT::Sandbox::User=root -o Acquire::Retries=0 -o Acquire::http::Timeout=10)
	(cd "$cache" && timeout 120 apt-get "${options[@]}" update >&2 &&
		timeout 60 apt-get "${options[@]}" source --download-only hello >&2) || return 1
	ls "$cache"/hello_*.orig.tar.* 2>/dev/null | head -1 | grep .
}

make_project() {
	local build=.
	./configure --disable-nls --disable-dependency-tracking >configure.out
	make -j2 >make.out
	is "$($build/hello)" "Hello, world!" "what it says"
	make -s install DESTDIR="$PWD/installed" >install.out
	is "$(installed/usr/local/bin/hello --greeting=again)" again "what the installed one says"
	! lacks times || sleep 1.1 # a server with whole seconds alone: later than what was made of it
	touch src/hello.c
	make -j2 >again.out
	grep -q hello.o again.out || fail "a changed source is not compiled again"
	make -j2 >third.out
	! grep -q 'hello\.o' third.out || fail "an unchanged source is compiled again"
	make -s clean >/dev/null
	[ ! -e hello ] || fail "make clean left the program"
}
