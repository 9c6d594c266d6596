/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of operations as data. */
#include "proto/proto.h"

#define PF_OP(NAME, SINCE, IN, REPLY, KIND, NAMES, CREATES)                                        \
	[FUSE_##NAME == FUSE_CUSE_INIT ? 0 : FUSE_##NAME] = {                                      \
	    .name = #NAME,                                                                         \
	    .opcode = FUSE_##NAME,                                                                 \
	    .since = SINCE,                                                                        \
	    .in_size = IN,                                                                         \
	    .reply_size = REPLY,                                                                   \
	    .reply = PF_REPLY_##KIND,                                                              \
	    .names = NAMES,                                                                        \
	    .creates = CREATES,                                                                    \
	},

/* By opcode; slot 0, which no opcode has, is CUSE_INIT's. */
static const struct pf__op ops[FUSE_OPCODE_END] = {
#include "proto/ops.def"
};

const struct pf__op *pf__op_get(uint32_t opcode)
{
	if (opcode == FUSE_CUSE_INIT)
		return &ops[0];
	if (opcode == 0 || opcode >= FUSE_OPCODE_END || !ops[opcode].name)
		return NULL;
	return &ops[opcode];
}
