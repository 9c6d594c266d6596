/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The benchmark's own interfaces. A row of the table is one piece of work (rows.c), written once
 * against struct client; the clients are the kernel's (client_kernel.c), the library
 * (client_portfire.c) and a floor: ready-made messages and nothing else (client_floor.c), or
 * memcpy (client_memcpy.c). The runner (run.c) lets them take turns, so that noise hits all of them
 * alike; check.c asks the server whether the work was what the row says. Not thread-safe, except
 * where a client says so.
 */
#ifndef BENCH_H
#define BENCH_H

#include "stats.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

struct pf_fs;
struct pf_file;
struct agent;

/* ---- clients ----------------------------------------------------------------------------- */

/* One file system at one started server. */
struct fs {
	const struct client *client;
	int fd;               /* kernel: the root directory; floor: our end of the socket */
	pid_t pid;            /* kernel, floor: the server */
	char mountpoint[300]; /* kernel, run */
	struct agent *agent;  /* run: the program that does the work, see client_run.c */
	struct pf_fs *pf;     /* portfire */
	struct inproc_server *server;
	uint64_t unique;      /* floor */
	uint64_t cache_bytes; /* portfire: limit of the data cache, 0: its own choice */
	char *memory;         /* memcpy: this much */
	size_t memory_size;
};

struct handle {
	struct fs *fs;
	int fd;
	struct pf_file *file;
	uint64_t nodeid, fh; /* floor */
};

/*
 * Calls give 0 or a count, else a negative errno; paths begin at the file system's root, without a
 * slash in front. A client may lack calls (NULL). stat and pread may be called by several threads.
 */
struct client {
	const char *name;
	bool serverless;     /* there is no server whose requests could be counted */
	const char *program; /* without which this client cannot be; NULL: none */
	int (*start)(struct fs *fs, char *const argv[]); /* fs is zeroed but for client */
	void (*stop)(struct fs *fs);
	int (*open)(struct fs *fs, const char *path, int flags, mode_t mode, struct handle *h);
	int (*close)(struct handle *h);
	int (*fstat)(struct handle *h, struct stat *st);
	ssize_t (*pread)(struct handle *h, void *buf, size_t size, off_t off);
	ssize_t (*pwrite)(struct handle *h, const void *buf, size_t size, off_t off);
	int (*stat)(struct fs *fs, const char *path, struct stat *st);
	int (*fsync)(struct handle *h);
	int (*unlink)(struct fs *fs, const char *path);
	long (*list)(struct fs *fs, const char *path); /* readdir, stat of each name; the count */
	int (*give_back)(
	    struct fs *fs); /* the memory of cached data, to the system; NULL: it cannot */
	/* The server's counters, for who has no open; the count. */
	ssize_t (*counters)(struct fs *fs, char *text, size_t size);
};

extern const struct client client_kernel, client_portfire, client_inproc, client_floor,
    client_memcpy;
/* The run-* rows' (client_run.c): `portfire run`, the kernel's mount, a plain directory, that under
 * proot; and for work that starts all by itself. */
extern const struct client client_run, client_trapped, client_mounted, client_plain, client_proot,
    client_idle, client_idle_kernel;

/* A system call of run_client.c, "WHAT DIR PATH"; a program. The nanoseconds; < 0: errno. */
double agent_call(struct fs *fs, const char *call, uint64_t times);
double agent_exec(struct fs *fs, const char *words);

/* Why the kernel's client cannot be used here, or NULL. */
const char *kernel_missing(void);
/* Unmount, also what is in use; nothing when nothing is mounted there. */
void kernel_unmount(const char *dir);

/* ---- the server inside the process (inproc_server.c) -------------------------------------- */

struct inproc_server;
struct inproc_server *inproc_server_start(struct pf_fs **fs, unsigned files, double attr_timeout);
unsigned long inproc_server_requests(const struct inproc_server *server);
void inproc_server_free(struct inproc_server *server); /* after pf_stop() */

/* ---- rows -------------------------------------------------------------------------------- */

/* TRAPPED: `portfire run --no-preload`, in the run-* rows. */
enum { KERNEL, PORTFIRE, FLOOR, TRAPPED, SIDES };

enum aim_kind {
	AIM_RATIO,          /* portfire / kernel at most */
	AIM_RATIO_AT_LEAST, /* portfire / kernel at least */
	AIM_AT_MOST,        /* portfire's own value */
	AIM_AT_LEAST,       /* portfire's own value */
	AIM_MORE_AT_MOST,   /* portfire - kernel at most */
	AIM_NONE            /* for information */
};

struct options {
	bool quick, json;
	const char *row;       /* NULL: all */
	unsigned samples;      /* 0: the row's own number */
	const char *server;    /* directory of nullserver and passthrough_ll */
	char scratch[200];     /* our own temporary directory */
	const char *no_kernel; /* why its client is not used, or NULL */
};

/* One client at work on one row. */
struct side {
	const struct row *row;
	const struct client *client;
	const struct options *options;
	bool running, prepared;
	struct fs fs;
	struct handle file, few; /* few: see data.c */
	uint64_t iterations;     /* of the work in one sample */
	uint64_t done;           /* pieces done so far, for names and offsets */
	uint64_t span;           /* the row's, or less when it must be quick */
	unsigned long requests;  /* that the server had got when all was cached */
	void *buffer;            /* MAX_IO bytes, page aligned */
	char *source;            /* directory that passthrough_ll shows */
};

struct row {
	const char *name;  /* for --row */
	const char *title; /* for the table */
	const char *unit;  /* us, ms, B, x, MB/s */
	const struct client *clients[SIDES];
	const char *server;         /* program */
	const char *options;        /* its -o */
	const char *kernel_options; /* those of the kernel's side, if not the same */
	bool pinned;                /* clients and servers on one core */
	enum aim_kind aim_kind;
	double aim;
	const char *floor;  /* what the third client is, for the table */
	double floor_aim;   /* portfire / floor at most; 0: none */
	size_t size;        /* of one read or write */
	uint64_t span;      /* bytes of the file that the work goes over; 0: it does not matter */
	bool in_memory;     /* each client holds the span in memory */
	unsigned samples;   /* 0: the usual number */
	unsigned pieces;    /* in one sample; 0: as many as fill SAMPLE_MS */
	const char *expect; /* counter that goes up once a piece of work, and no other; "": none
			     * does, all the time */
	const char *moves;  /* counter of bytes that grows by all bytes of a sample, at least */
	bool cold;          /* started anew for each sample */
	bool fresh;         /* the memory for cached data is none that was used before */
	int (*prepare)(struct side *side); /* after start; NULL: nothing */
	const char *kernel_needs;          /* a file without which its side is left out */
	const char *needs;                 /* a program without which the row cannot be */
	const char *call, *before, *after; /* what agent_call() or agent_exec() get */
	/* Do the work side->iterations times and give the time or other value of one, or < 0:
	 * errno. */
	double (*sample)(struct side *side);
	void (*finish)(struct side *side); /* before stop; NULL: nothing */
};

#define MAX_IO        (1u << 20)
#define ENTRIES       100000  /* in the directory that is listed */
#define NAMES         1000000 /* whose memory is counted */
#define QUICK_ENTRIES 10000
#define QUICK_NAMES   100000

extern const struct row rows[], data_rows[], run_rows[]; /* end with one that has no name */

/* Trees in side->source (tree.c): what is there is not made again. */
int tree_data(struct side *side);    /* "data", 4 MiB */
int tree_source(struct side *side);  /* "tree", 2,000 files */
int tree_git(struct side *side);     /* the same as a repository */
int tree_project(struct side *side); /* "project", of C */

int memory_main(unsigned names); /* prints bytes a name; an exit status */

/* ---- results and output --------------------------------------------------------------------- */

struct verdict {
	bool judged, met;
};

struct result {
	const struct row *row;
	struct summary sides[SIDES];
	struct summary ratio, floor_ratio; /* portfire / kernel, portfire / floor */
	struct summary more;               /* portfire - kernel */
	struct verdict aim, floor_aim;
	struct summary trapped_ratio, trapped_floor_ratio, trapped_more; /* the same of TRAPPED */
	struct verdict trapped_aim, trapped_floor_aim;
	bool refused;      /* the work was not what the row says it is: failure tells why */
	char failure[256]; /* "": none */
};

/* ---- check.c: all give 0 or < 0, with a sentence for fail(); REFUSED: not the row's work ---- */

enum { REFUSED = -10000 };

/* Does a piece of work make the requests that the row says? */
int check_work(struct side *side);
/* For rows without any request: remember where the counters stand; has the server got none since?
 * Begin when all clients have started: each process that is made closes its copies of open files,
 * which the kernel flushes; it is waited for that to end. */
int check_begin(struct side *side);
int check_quiet(struct side *side);
/* The server's counter of that name. */
int check_counter(struct side *side, const char *name, unsigned long *value);

/* ---- threads.c ------------------------------------------------------------------------------ */

/* How much more two threads do than one, each on a core of its own; < 0: errno. piece does the
 * work so many times. */
double thread_scaling(struct side *side, uint64_t times,
		      int (*piece)(struct side *side, int thread, uint64_t times));

bool row_run(const struct row *row, const struct options *options, struct result *result);
void output_begin(const struct options *options);
void output_row(const struct options *options, const struct result *result);
void output_end(const struct options *options, unsigned met, unsigned judged, unsigned refused);

/* ---- helpers ------------------------------------------------------------------------------ */

uint64_t now_ns(void);
const char *own_directory(void);          /* the servers lie beside this program */
bool program_exists(const char *program); /* in PATH */
void remove_tree(const char *path);       /* of one file system */
/* This process's threads and all that descends from it: on one core, or on all there are. */
void pin_all(bool one_core);
void pin_self(int cpu); /* the calling thread, to the cpu-th core we may use */
void unpin_self(void);
int usable_cpus(void);
/* All processes that descend from this one, by their id; the count, at most max. */
unsigned descendants(pid_t *pids, unsigned max);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2))); /* remember a sentence */
const char *failure(void);

#endif
