// SPDX-License-Identifier: BSD-2-Clause
#include "tests/model/threads.h"
bool threads_run(struct trial *t, unsigned threads, uint64_t seed, size_t n)
{
	return false;
}
