/* SPDX-License-Identifier: BSD-2-Clause */
/* What a run is made of: the configurations of client and server that the model is tried in. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "tests/model/server.h"

#define CONFIGS     768 /* the product of all that their names tell */
#define CONFIG_NAME 64

struct config {
	char name[CONFIG_NAME];
	struct server_config server;
	struct pf_options options;
	bool writeback; /* both sides want it */
	bool silent;    /* changes at the server can be seen by their times alone */
};

/* The name tells what matters most; what else varies is diced from the number and the seed. */
void config_name(unsigned number, char name[CONFIG_NAME]);
void config_make(unsigned number, uint64_t seed, struct config *c);

#endif
