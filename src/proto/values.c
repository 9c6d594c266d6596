/* SPDX-License-Identifier: BSD-2-Clause */
/* Device numbers on the wire: 12 bits of major and 20 of minor, the minor's low byte lowest. */
#include "proto/proto.h"
#include <sys/sysmacros.h>

uint32_t pf__encode_dev(dev_t dev)
{
	uint32_t major = major(dev), minor = minor(dev);

	return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}
