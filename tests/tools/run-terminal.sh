#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# run on a terminal: Ctrl-C, Ctrl-Z, fg and bg in a shell with job control; shells in the run.
here=$(realpath "$(dirname "$0")")
. "$here/lib.sh"
command -v python3 >/dev/null || skip "python3 is not installed"
pf run true || skip "nothing can be supervised here"
mkdir src

# on_shell <<lines: an interactive shell that has $run and the programs below in its PATH.
shell=(env PATH="$work:$PATH" run="$portfire run" HISTFILE=/dev/null PS1='ready> ' bash --norc --noprofile -i)
on_shell() {
	# bash tells of jobs at once, not with its next prompt
	{ printf '%s\n' 'type set -b; bind "set enable-bracketed-paste off" 2>/dev/null; echo be""gin\n' 'expect begin'; cat; } |
		timeout 200 python3 "$here/terminal.py" "${shell[@]}"
}
on_its_own() {
	timeout 200 python3 "$here/terminal.py" env PATH="$work:$PATH" "$@"
}
program() {
	cat >"$1"
	chmod +x "$1"
}

program asks <<'EOF'
#!/bin/sh
echo 'a word?'
read word
echo "got $word"
EOF
# These wait for their signal without a gap, as the trap of a shell that reads would not.
program saves <<'EOF'
#!/usr/bin/env python3
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTSTP])
print('a word?', flush=True)
signal.sigwait([signal.SIGTSTP])
print('saving', flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
print('restored', flush=True)
print('got', input())
EOF
program measures <<'EOF'
#!/usr/bin/env python3
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print('a word?', flush=True)
signal.sigwait([signal.SIGWINCH])
print('columns:', os.get_terminal_size(0).columns, flush=True)
print('got', input())
EOF
program ignores <<'EOF'
#!/bin/sh
trap '' TSTP
echo 'a word?'
read word
echo "got $word"
EOF
program hangs-up <<'EOF'
#!/bin/bash
trap 'echo >hup; exit' HUP
echo 'a word?'
while :; do sleep 0.1; done
EOF
program counts <<'EOF'
#!/usr/bin/env python3
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
n = 0
while True:
	print(f'on{n}.', flush=True)
	signal.sigwait([signal.SIGCONT])
	n += 1
EOF
program loops <<'EOF'
#!/bin/sh
while :; do
	echo >>rounds
	sh -c 'echo a round; exec sleep 12347'
done
EOF
program changes <<'EOF'
#!/bin/sh
cd "$1"
while :; do
	echo >busy
	cat busy >copy
	rm copy
	[ -e up ] || echo a round
	echo >up
done
EOF
program server-asks <<EOF
#!/bin/bash
stty -echo </dev/tty # as ssh does: it is stopped here, and given the terminal
read -p 'Secret? ' word </dev/tty 2>/dev/tty
stty echo </dev/tty
echo "\$word" >secret
exec $server "\$@"
EOF

ctrl_c() {
	on_shell <<-'EOF'
		type $run asks\n
		expect a word?
		type \x03
		expect ready> 
		type echo is=$?\n
		expect is=130
		type exit 3\n
		status 3
	EOF
}
check "Ctrl-C: 130, and the shell goes on" ctrl_c

# The child that the loop waits for would die of the signal by itself, and so the shell ends, too, instead of
# beginning the next round.
ctrl_c_loop() {
	rm -f rounds
	on_shell <<-'EOF'
		type $run loops\n
		expect a round
		type \x03
		expect ready> 
		type echo is=$?\n
		expect is=130
		gone sleep 12347
		type echo rounds=$(wc -l <rounds)\n
		expect rounds=1
		type exit 3\n
		status 3
	EOF
}
check "Ctrl-C ends a shell's loop" ctrl_c_loop

# Without waiting for anything: the signal comes while calls of the program are answered.
ctrl_c_busy() {
	on_shell <<-'EOF'
		type $run [ bindfs src {} ] -- changes {}\n
		expect a round
		type \x03
		expect ready> 
		type echo is=$?\n
		expect is=130
		gone /changes 
		type exit 3\n
		status 3
	EOF
	rm -f src/*
}
check "one that changes files all the time" ctrl_c_busy

# In a shell with jobs of its own the loop ends, not the shell, which goes on in the run.
ctrl_c_inner_loop() {
	rm -f rounds
	on_shell <<-'EOF'
		type SHELL=/bin/bash $run\n
		type PS1='ready> '; echo in""side\n
		expect inside
		type while :; do loops; done\n
		expect a round
		type \x03
		expect ready> 
		type echo is=$? rounds=$(wc -l <rounds)\n
		expect is=130 rounds=1
		gone sleep 12347
		type exit 5\n
		type echo is=$?\n
		expect is=5
	EOF
}
check "one in a shell of the run, which lives on" ctrl_c_inner_loop

ctrl_z() {
	on_shell <<-'EOF'
		type $run asks\n
		expect a word?
		type \x1a
		expect Stopped
		type echo is=$?\n
		expect is=148
		type fg\n
		expect run asks
		type word\n
		expect got word
		type echo is=$?\n
		expect is=0
	EOF
}
check "Ctrl-Z and fg" ctrl_z

often() {
	{
		printf '%s\n' 'type $run counts\n' 'expect on0.'
		for i in {1..40}; do
			printf '%s\n' 'type \x1a' 'expect Stopped' 'type fg\n' "expect on$i."
		done
		printf '%s\n' 'type \x1a' 'expect Stopped' 'type kill -9 %1; wait; echo en""ded\n' 'expect ended'
	} | on_shell
}
check "forty times; the program hears of each fg once" often

caught() {
	on_shell <<-'EOF'
		type $run saves\n
		expect a word?
		type \x1a
		expect saving
		expect Stopped
		type fg\n
		expect restored
		type word\n
		expect got word
	EOF
}
check "a program that catches Ctrl-Z and stops itself later" caught

ignored() {
	on_shell <<-'EOF'
		type $run ignores\n
		expect a word?
		type \x1a
		type word\n
		expect got word
		type echo is=$?\n
		expect is=0
	EOF
}
check "one that ignores it" ignored

background() {
	on_shell <<-'EOF'
		type $run asks &\n
		expect a word?
		expect Stopped
		type fg\n
		expect run asks
		type word\n
		expect got word
	EOF
}
check "in the background it stops to read" background

stop_program() {
	on_shell <<-'EOF'
		type $run sh -c 'echo $$ >pid; exec sleep 12345' &\n
		file pid
		type kill -STOP $(cat pid)\n
		expect Stopped
		type kill -CONT $(cat pid); until jobs | grep Running; do :; done\n
		expect Running
		type kill -STOP $(cat pid)\n
		expect Stopped
		type bg\n
		expect sleep 12345
		type kill %1; wait %1; echo is=$?\n
		expect is=143
	EOF
}
check "kill -STOP and -CONT of the program itself" stop_program

kill_stopped() {
	rm -f pid
	on_shell <<-'EOF'
		type $run sh -c 'echo $$ >pid; exec sleep 12346'\n
		file pid
		type \x1a
		expect Stopped
		type kill -KILL $(cat pid)\n
		expect Exit 137
	EOF
}
check "killed while it stands" kill_stopped

inner_shell() {
	on_shell <<-'EOF'
		type SHELL=/bin/bash $run\n
		type PS1='ready> '; echo in""side\n
		expect inside
		type asks\n
		expect a word?
		type \x1a
		expect Stopped
		expect ready>
		type fg\n
		type word\n
		expect got word
		type asks\n
		expect a word?
		type \x03
		expect ready> 
		type echo is=$?\n
		expect is=130
		type exit 5\n
		type echo is=$?\n
		expect is=5
		type asks\n
		expect a word?
		type word\n
		expect got word
	EOF
}
check "an interactive shell, with jobs of its own; the terminal comes back" inner_shell

suspend() {
	on_shell <<-'EOF'
		type $run bash --norc\n
		type echo in""side\n
		expect inside
		type suspend\n
		expect Stopped
		type echo out""side\n
		expect outside
		type fg\n
		type echo in""side again\n
		expect inside again
		type exit 6\n
		type echo is=$?\n
		expect is=6
	EOF
}
check "suspend in it" suspend

size() {
	on_shell <<-'EOF'
		type $run measures\n
		expect a word?
		size 77
		expect columns: 77
		type word\n
		expect got word
	EOF
}
check "a new window size" size

tostop() {
	on_shell <<-'EOF'
		type stty tostop\n
		type $run sh -c 'kill -KILL $PPID; sleep 1000' & wait\n
		expect watches over
		expect Exit 1
	EOF
}
check "messages of a run in the background" tostop

password() {
	rm -f secret
	on_shell <<-'EOF'
		type $run [ server-asks src {} ] -- asks\n
		expect Secret?
		type sesame\n
		expect a word?
		type word\n
		expect got word
		type echo is=$?\n
		expect is=0
	EOF
	[ "$(cat secret)" = sesame ]
}
check "a server asks for a password first" password

no_password() {
	on_shell <<-'EOF'
		type $run [ server-asks src {} ] -- asks\n
		expect Secret?
		type \x03
		expect before it mounted
		type echo is=$?\n
		expect is=1
	EOF
}
check "Ctrl-C there" no_password

leader() {
	on_its_own "$portfire" run asks <<-'EOF'
		expect a word?
		type \x1a
		type word\n
		expect got word
		status 0
	EOF
}
check "with no shell above, Ctrl-Z does nothing" leader

leader_ctrl_c() {
	on_its_own "$portfire" run asks <<-'EOF'
		expect a word?
		type \x03
		status -2
	EOF
}
check "but Ctrl-C does" leader_ctrl_c

hangup() {
	on_its_own "$portfire" run hangs-up <<-'EOF'
		expect a word?
		hangup
		file hup
		status 0
	EOF
}
check "the terminal goes away: SIGHUP" hangup
done_testing
