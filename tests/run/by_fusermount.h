/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_RUN_BY_FUSERMOUNT_H
#define TESTS_RUN_BY_FUSERMOUNT_H

/* The device, or -1 and errno. */
int mount_by_fusermount(const char *mountpoint, const char *options);
/* Lazily; for a signal's handler, too. */
void unmount_by_fusermount(const char *mountpoint);

#endif
