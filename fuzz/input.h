/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one input of fuzz_reply is: what the client expects, then a message from the server. Any
 * bytes are a valid input.
 */
#ifndef PF_FUZZ_INPUT_H
#define PF_FUZZ_INPUT_H

#include <stdint.h>

#define INPUT_DOT          1
#define INPUT_UNRESTRICTED 2
#define INPUT_IOV_MAX      4
#define INPUT_SHORT_NAMES  8
#define INPUT_DEFAULT_PERM 16
#define INPUT_DAX          32

struct input_head {
	uint16_t opcode;
	uint8_t minor, bits; /* INPUT_ */
	uint32_t size;       /* struct pf__expect.size */
	uint64_t flags;      /* negotiated, or for INIT offered */
	uint32_t mode;
	uint32_t nodeid;
};

#endif
