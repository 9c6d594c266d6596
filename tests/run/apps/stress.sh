# SPDX-License-Identifier: BSD-2-Clause
# tests/run/stress: processes that change one tree at once.
app_stress() {
	local seed links=
	lacks link-count && links=--no-links
	for seed in 1 2 $(amount "3 4 5" ""); do
		"$PF_BUILD/tests/run/stress" --seed=$((${SEED:-0} + seed)) --ops="$(amount 3000 500)" $links . >out || {
			cat out
			fail "seed $seed: $(head -1 out)"
		}
	done
}
