#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command on a terminal of its own and does what the lines on standard input say.

expect TEXT   read what the terminal shows until the text comes, behind what was expected before
type TEXT     type it; \\n, \\x03 (Ctrl-C) and the like are understood
size COLUMNS  change the terminal's width
hangup        the terminal goes away
file NAME     wait until the file is there
gone TEXT     wait until no process has the text in its command line
status N      wait for the command's end; it is to exit with N
"""
import codecs
import fcntl
import os
import pathlib
import pty
import select
import struct
import sys
import termios
import time

LIMIT = 60  # seconds


class Terminal:
    def __init__(self, command):
        self.shown = b''
        self.at = 0
        self.pid, self.tty = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)

    def read(self, timeout):
        if not select.select([self.tty], [], [], timeout)[0]:
            return False
        try:
            got = os.read(self.tty, 65536)
        except OSError:
            got = b''
        self.shown += got
        return bool(got)

    def do_expect(self, text):
        text = text.encode()
        until = time.monotonic() + LIMIT
        while (found := self.shown.find(text, self.at)) < 0:
            if not self.read(max(0, until - time.monotonic())):
                raise RuntimeError(f'not shown: {text}')
        self.at = found + len(text)

    def do_type(self, text):
        os.write(self.tty, codecs.decode(text, 'unicode_escape').encode())

    def do_size(self, text):
        fcntl.ioctl(self.tty, termios.TIOCSWINSZ, struct.pack('4H', 24, int(text), 0, 0))

    def do_hangup(self, text):
        os.close(self.tty)
        self.tty = -1

    def until(self, what, met):
        end = time.monotonic() + LIMIT
        while not met():
            if time.monotonic() > end:
                raise RuntimeError(f'in vain: {what}')
            if self.tty < 0 or not select.select([self.tty], [], [], 0.02)[0] or not self.read(0):
                time.sleep(0.02)

    def do_file(self, name):
        self.until(name, lambda: os.path.exists(name))

    def do_gone(self, text):
        self.until(text, lambda: not runs(text))

    def do_status(self, text):
        ended = []
        self.until('the end', lambda: (w := os.waitpid(self.pid, os.WNOHANG))[0] and not ended.append(w[1]))
        got = os.waitstatus_to_exitcode(ended[0])
        if got != int(text):
            raise RuntimeError(f'status {got}')


def runs(text):
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if path.parent.name != str(os.getpid()) and text.encode() in path.read_bytes().replace(b'\0', b' '):
                return True
        except OSError:
            pass
    return False


def main():
    terminal = Terminal(sys.argv[1:])
    for line in sys.stdin:
        word, _, text = line.rstrip('\n').lstrip().partition(' ')
        if not word:
            continue
        try:
            getattr(terminal, 'do_' + word)(text)
        except RuntimeError as error:
            print(f'{line.strip()}: {error}', terminal.shown.decode(errors='replace'), sep='\n')
            return 1
    return 0


sys.exit(main())
