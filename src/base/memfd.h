/* SPDX-License-Identifier: BSD-2-Clause */
/* memfd_create(), whatever vm.memfd_noexec is. */
#ifndef PF_BASE_MEMFD_H
#define PF_BASE_MEMFD_H

/* Close-on-exec; can be executed, unless that is forbidden. -1 with errno, as from memfd_create().
 */
int pf__memfd(const char *name);
/* One that takes seals. */
int pf__memfd_sealable(const char *name);

#endif
