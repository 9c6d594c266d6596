/* SPDX-License-Identifier: BSD-2-Clause */
/* The calling thread's sentence about its last failure, behind pf_error(). */
#ifndef PF_BASE_ERRMSG_H
#define PF_BASE_ERRMSG_H

/* Set the sentence and return err (negative errno), so that "return pf__fail(-EIO, ...)" reads
 * well. A format ending in ':' gets a space and strerror(-err) after it. */
int pf__fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *pf__errmsg(void);
/* A short form for hot paths: stores pointers and formats when pf_error() asks. op must be a
 * string literal; name is copied (at most 255 bytes); either may be NULL. Returns err. */
int pf__fail_op(int err, const char *op, const char *name);

#endif
