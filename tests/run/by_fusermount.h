/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_RUN_BY_FUSERMOUNT_H
#define TESTS_RUN_BY_FUSERMOUNT_H

/* The device, or -1 and errno. */
int mount_by_fusermount(const char *dir, const char *mountpoint, const char *more_options);
/* Lazily, by fusermount3 where umount2() is refused; for a signal's handler, too. */
void unmount_anyhow(const char *mountpoint);

#endif
