// SPDX-License-Identifier: BSD-2-Clause
/* From a number to a configuration. */
#include "tests/model/config.h"
#include "proto/wire.h"
#include "tests/model/dice.h"
#include <stdio.h>

#define FOREVER 1000000ull * 1000000000ull

static const char *const caches[] = {"none", "auto", "always"};
static const int cache_modes[] = {PF_CACHE_NONE, PF_CACHE_AUTO, PF_CACHE_ALWAYS};
static const uint32_t max_writes[] = {4096, 64 << 10, 128 << 10, 1 << 20};
static const char *const max_write_names[] = {"4k", "64k", "128k", "1m"};
static const unsigned minors[] = {12, 23, 27, 45};

/* What the number stands for: the digits of a mixed base, slowest first. */
struct digits {
	unsigned cache, writeback, max_write, async, minor, small, socket;
};

static struct digits digits_of(unsigned n)
{
	struct digits d;

	d.socket = n % 2, n /= 2;
	d.small = n % 2, n /= 2;
	d.minor = n % 4, n /= 4;
	d.async = n % 2, n /= 2;
	d.max_write = n % 4, n /= 4;
	d.writeback = n % 2, n /= 2;
	d.cache = n % 3;
	return d;
}

void config_name(unsigned number, char name[CONFIG_NAME])
{
	struct digits d = digits_of(number);

	snprintf(name, CONFIG_NAME, "%s-%s-%s-%s-m%u-%s-%s", caches[d.cache],
		 d.writeback ? "wb" : "wt", max_write_names[d.max_write],
		 d.async ? "async" : "sync", minors[d.minor], d.small ? "small" : "large",
		 d.socket ? "sock" : "inproc");
}

static uint64_t one_of(uint64_t *dice, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t n = dice_below(dice, 3);

	return n == 0 ? a : n == 1 ? b : c;
}

static void server_of(const struct digits *d, uint64_t *dice, struct config *c)
{
	struct server_config *s = &c->server;

	s->seed = dice_next(dice);
	s->minor = minors[d->minor];
	s->max_write = max_writes[d->max_write];
	s->max_readahead = (uint32_t)one_of(dice, 0, 128 << 10, 1 << 20);
	s->max_background = (uint16_t)one_of(dice, 0, 4, 64);
	s->congestion_threshold = s->max_background / 2;
	s->attr_valid_ns = one_of(dice, 0, 1000000, FOREVER);
	s->socket = d->socket;
	s->keep = (unsigned)one_of(dice, 0, 500, 1000);
	s->direct = dice_hit(dice, 250) ? (unsigned)one_of(dice, 100, 300, 1000) : 0;
	s->parallel = 500;
	s->late = dice_hit(dice, 300) ? 100 : 0;
	s->late_us = 200;
	s->eintr = d->writeback && dice_hit(dice, 300) ? 20 : 0;
	s->flags = FUSE_BIG_WRITES;
	s->flags |= dice_hit(dice, 500) ? FUSE_ATOMIC_O_TRUNC : 0;
	s->flags |= dice_hit(dice, 500) ? FUSE_ASYNC_DIO : 0;
	s->flags |= dice_hit(dice, 500) ? FUSE_PARALLEL_DIROPS : 0;
	s->flags |= dice_hit(dice, 300) ? FUSE_HANDLE_KILLPRIV_V2 : 0;
	s->flags |= dice_hit(dice, 300) ? FUSE_DIRECT_IO_ALLOW_MMAP : 0;
	s->flags |= one_of(dice, 0, FUSE_AUTO_INVAL_DATA, FUSE_EXPLICIT_INVAL_DATA);
	s->flags |= d->async ? FUSE_ASYNC_READ : 0;
	s->flags |= s->minor >= 28 ? FUSE_MAX_PAGES : 0;
	if (dice_hit(dice, 100))
		s->flags &= ~FUSE_BIG_WRITES;
}

static void options_of(const struct digits *d, uint64_t *dice, struct config *c)
{
	struct pf_options *o = &c->options;

	*o = (struct pf_options)PF_OPTIONS_INIT;
	o->cache = cache_modes[d->cache];
	o->cache_bytes = d->small ? 1 << 20 : 64 << 20;
	o->dirty_bytes = one_of(dice, 0, 128 << 10, 1 << 20);
	o->dirty_expire_ms = (uint32_t)one_of(dice, 0, 1, 20);
	o->request_timeout_ms = 20000;
	if (o->dirty_bytes > o->cache_bytes / 2)
		o->dirty_bytes = o->cache_bytes / 2;
}

void config_make(unsigned number, uint64_t seed, struct config *c)
{
	struct digits d = digits_of(number);
	uint64_t dice = dice_mix(seed * CONFIGS + number);

	memset(c, 0, sizeof *c);
	config_name(number, c->name);
	server_of(&d, &dice, c);
	options_of(&d, &dice, c);
	if (d.writeback && c->server.minor >= 23) {
		c->server.flags |= FUSE_WRITEBACK_CACHE;
		c->writeback = true;
	} else if (dice_hit(&dice, 500)) {
		c->server.flags |= FUSE_WRITEBACK_CACHE;
		c->options.no_writeback = true;
	}
	c->silent = (c->server.flags & FUSE_AUTO_INVAL_DATA) && !c->writeback &&
		    c->server.attr_valid_ns < FOREVER;
}
