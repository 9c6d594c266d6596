/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/memfd.h"
#include <errno.h>
#include <sys/mman.h>

#ifndef MFD_EXEC /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 0x0008u
#define MFD_EXEC        0x0010u
#endif

/* Unasked-for, vm.memfd_noexec=1 makes them not executable; 2 forbids executable ones. */
static int create(const char *name, unsigned flags)
{
	int fd = memfd_create(name, flags | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	else if (fd < 0 && errno == EACCES)
		fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	return fd;
}

int pf__memfd(const char *name)
{
	return create(name, MFD_CLOEXEC);
}

int pf__memfd_sealable(const char *name)
{
	return create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}
