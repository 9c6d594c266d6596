# SPDX-License-Identifier: BSD-2-Clause
# tests/run/posix: what POSIX promises. KNOWN is a file of what this server is known to do otherwise.
app_posix() {
	chmod 755 .
	mkdir dir
	"$PF_BUILD/tests/run/posix" --results="${RESULTS:-$SCRATCH/results}" ${KNOWN:+--known="$KNOWN"} --without="${LACKS:-}" dir >out || {
		cat out
		grep '^  # ' out | tail -"${LOG_LINES:-8}" # what stands last is shown
		fail "$(grep -c '^not ok' out) cases failed: $(grep '^not ok' out | cut -d' ' -f4 | head -8 | tr '\n' ' ')"
	}
	say "  posix: $(tail -1 out)"
}
