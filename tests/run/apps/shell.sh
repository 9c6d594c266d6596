# SPDX-License-Identifier: BSD-2-Clause
# A script as people write them: pipelines, redirections, here-documents, jobs in the background.
app_shell() {
	cat >script <<-'END'
		#!/bin/sh
		set -eu
		mkdir -p work && cd work
		for i in 1 2 3 4 5; do echo "line $i" >>log; done
		sort -r log | tee sorted | head -2 >top
		cat <<-EOF >here
			PWD is ${PWD##*/}
			$(wc -l <log) lines
		EOF
		{ echo out; echo err >&2; } >both 2>&1
		exec 4>fd4; echo a >&4; echo b >&4; exec 4>&-
		exec 5<log; read first <&5; read second <&5; exec 5<&-
		for i in 1 2 3 4; do (sleep 0.1; echo "job $i" >"job.$i"; echo "$i" >>jobs) & done
		wait
		while read -r line; do case $line in *3) echo "$line" ;; esac; done <log >three
		(cd / && cat) <log | cmp - log
		[ "$(cat jobs | sort | tr -d '\n')" = 1234 ]
		set -- job.*; [ $# = 4 ]
		[ -s here ] && [ ! -s /dev/null ] && [ here -nt /etc/passwd ]
		echo x >"$0.out"
		yes | head -100000 | gzip -c | gunzip -c | wc -l >count
		mkfifo pipe 2>/dev/null && { cat pipe >frompipe & echo through >pipe; wait; } || echo through >frompipe
		trap 'echo ended >trapped' EXIT
		echo "$first $second"
	END
	chmod 755 script
	is "$(./script)" "line 1 line 2" "what it says"
	is "$(cat work/top)" $'line 5\nline 4' "a pipeline"
	is "$(cat work/here)" $'PWD is work\n5 lines' "a here-document"
	is "$(cat work/both)" $'out\nerr' "both streams"
	is "$(cat work/fd4)" $'a\nb' "a descriptor of its own"
	is "$(cat work/three)" "line 3" "read and case"
	is "$(tr -d ' ' <work/count)" 100000 "lines through gzip"
	is "$(cat work/frompipe work/trapped)" $'through\nended' "a fifo and a trap"
	[ -f work/script.out ] || fail "no file beside the script"
	is "$(PATH=$PWD:$PATH && cd work && script 2>&1 | tail -1)" "line 1 line 2" "by PATH"
	bash -c 'set -o noclobber; ! echo x >work/log' 2>/dev/null || fail "noclobber"
	diff <(sort work/log) <(sort -r work/log | sort) || fail "process substitution"
	mapfile -t lines <work/log
	is "${#lines[@]}" 5 "mapfile"
}
