# SPDX-License-Identifier: BSD-2-Clause
# tests/run/fsx: one file against a model in memory, with several seeds.
app_fsx() {
	local seed without=
	lacks mmap && without=mmap
	for seed in 1 2 3 $(amount "4 5 6 7 8" ""); do
		"$PF_BUILD/tests/run/fsx" --seed=$((${SEED:-0} + seed)) --ops="$(amount 5000 700)" --without="$without" . >out || {
			cat out
			fail "seed $seed: $(head -1 out)"
		}
	done
	"$PF_BUILD/tests/run/fsx" --seed=9 --ops="$(amount 500 100)" --size=20000000 --without="$without" . || fail "a large file"
}
