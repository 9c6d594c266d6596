/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which programs may not have the library that the run preloads (src/preload/), and their
 * environment without it. These are programs with the run-time library of a sanitizer, which wants
 * to be the first; those of another architecture or word size, whose loader would complain; and
 * those that do not see the library from where they are: in a root directory of their own, or as a
 * user who may not read it. They go without, and so do the programs that they start.
 *
 * Whoever looks at a program here may be looking at another one than the kernel executes a moment
 * later: then that one says what it thinks of the library.
 */
#include "run/internal.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_HEADERS 64
#define MAX_DYNAMIC 4096 /* entries */
#define MAX_ENTRIES 131072

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_DATA ELFDATA2LSB
#else
#define OUR_DATA ELFDATA2MSB
#endif
#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#define OUR_MACHINE EM_NONE
#endif

/* ---- the program ----------------------------------------------------------------------------- */

struct image {
	int fd;
	ElfW(Phdr) headers[MAX_HEADERS];
	unsigned n;
};

static bool read_at(int fd, void *buf, size_t size, uint64_t offset)
{
	return pread(fd, buf, size, (off_t)offset) == (ssize_t)size;
}

static const ElfW(Phdr) * header_of(const struct image *im, ElfW(Word) type)
{
	for (unsigned i = 0; i < im->n; i++)
		if (im->headers[i].p_type == type)
			return &im->headers[i];
	return NULL;
}

/* Where in the file is what the program has at this address? */
static bool file_offset(const struct image *im, uint64_t address, uint64_t *offset)
{
	for (unsigned i = 0; i < im->n; i++) {
		const ElfW(Phdr) *h = &im->headers[i];

		if (h->p_type == PT_LOAD && address - h->p_vaddr < h->p_filesz) {
			*offset = address - h->p_vaddr + h->p_offset;
			return true;
		}
	}
	return false;
}

static bool is_sanitizer(const char *library)
{
	static const char *const prefix[] = {"libasan.",  "libtsan.",   "liblsan.",
					     "libubsan.", "libhwasan.", "libclang_rt."};

	for (unsigned i = 0; i < sizeof prefix / sizeof *prefix; i++)
		if (!strncmp(library, prefix[i], strlen(prefix[i])))
			return true;
	return false;
}

static bool needs_sanitizer(const struct image *im)
{
	const ElfW(Phdr) *dynamic = header_of(im, PT_DYNAMIC);
	size_t n = dynamic ? dynamic->p_filesz / sizeof(ElfW(Dyn)) : 0;
	PF_AUTO_FREE ElfW(Dyn) *entry = NULL;
	uint64_t strings = 0;
	bool found = false;

	n = n < MAX_DYNAMIC ? n : MAX_DYNAMIC;
	entry = pf__malloc(n * sizeof *entry + 1);
	if (!entry || !n || !read_at(im->fd, entry, n * sizeof *entry, dynamic->p_offset))
		return false;
	for (size_t i = 0; i < n; i++)
		if (entry[i].d_tag == DT_STRTAB && !file_offset(im, entry[i].d_un.d_ptr, &strings))
			return false;
	for (size_t i = 0; i < n && entry[i].d_tag != DT_NULL && !found; i++) {
		char name[16] = "";

		if (entry[i].d_tag == DT_NEEDED &&
		    pread(im->fd, name, sizeof name - 1, (off_t)(strings + entry[i].d_un.d_val)) >
			0)
			found = is_sanitizer(name);
	}
	return found;
}

bool preload_suits(int fd)
{
	struct image im = {.fd = fd};
	ElfW(Ehdr) e;

	if (pread(fd, &e, sizeof e, 0) < EI_NIDENT || memcmp(e.e_ident, ELFMAG, SELFMAG))
		return true; /* nothing that could load it */
	if (e.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
	    e.e_ident[EI_DATA] != OUR_DATA || e.e_machine != OUR_MACHINE)
		return false;
	im.n = e.e_phnum < MAX_HEADERS ? e.e_phnum : MAX_HEADERS;
	if (e.e_phentsize != sizeof im.headers[0] ||
	    !read_at(fd, im.headers, im.n * sizeof im.headers[0], e.e_phoff))
		return true;
	return !header_of(&im, PT_INTERP) || !needs_sanitizer(&im);
}

/* ---- who sees the library -------------------------------------------------------------------- */

/* May everybody read it? */
static bool is_for_all(const char *path)
{
	char way[PATH_MAX];
	struct stat st;

	for (size_t n = 1; path[n]; n++) {
		if (path[n] != '/' || n >= sizeof way)
			continue;
		memcpy(way, path, n);
		way[n] = '\0';
		if (stat(way, &st) || !(st.st_mode & S_IXOTH))
			return false;
	}
	return !stat(path, &st) && (st.st_mode & S_IROTH);
}

int pf__run_preloads(struct pf__run *r, const char *path)
{
	r->preload_path = pf__strdup(path);
	r->preload_for_all = is_for_all(path);
	return r->preload_path ? 0 : -ENOMEM;
}

bool preload_is_seen(struct job *j)
{
	struct who *who = job_who(j);
	char path[PATH_MAX + 32];

	if (!who || (who->caller.uid != geteuid() && !j->r->preload_for_all))
		return false;
	snprintf(path, sizeof path, "/proc/%d/root%s", (int)who->tid, j->r->preload_path);
	return !access(path, R_OK);
}

/* ---- an environment without it --------------------------------------------------------------- */

#define NAME "LD_PRELOAD="

/* Takes every mention of path out of words, which blanks and colons separate. Was there one? */
static bool take_out(char *words, const char *path)
{
	size_t n = strlen(path);
	char *to = words, *from = words;
	bool found = false;

	while (*from) {
		size_t k = strcspn(from, " :"), separator = from[k] != '\0';

		if (k == n && !memcmp(from, path, n)) {
			found = true;
		} else {
			memmove(to, from, k + separator);
			to += k + separator;
		}
		from += k + separator;
	}
	if (found && to > words && strchr(" :", to[-1])) /* it was the last one */
		to--;
	*to = '\0';
	return found;
}

/* The caller's pointers with the one at `at` replaced: none if nothing is left of the words, or
 * another one was replaced. */
static void replace(struct environment *env, size_t at, char *words)
{
	if (words[sizeof NAME - 1] && !env->words) {
		env->words = words;
		env->index = at;
		return;
	}
	pf__free(words);
	env->index -= env->words && at < env->index;
	memmove(env->entry + at, env->entry + at + 1, (env->n - at - 1) * sizeof *env->entry);
	env->n--;
}

/* Is this entry the variable, and names the library? Then it is replaced: 1. 0, negative errno. */
static int look_at(const struct job *j, struct environment *env, size_t at)
{
	char head[sizeof NAME], *words;
	ssize_t n = pf__call_peek_string(j->call, env->entry[at], head, sizeof head);

	if (n != -ENAMETOOLONG && n != sizeof NAME - 1)
		return n < 0 ? (int)n : 0;
	if (memcmp(head, NAME, sizeof NAME - 1))
		return 0;
	words = pf__malloc(PF_PRELOAD_MAX);
	if (!words)
		return -ENOMEM;
	n = pf__call_peek_string(j->call, env->entry[at], words, PF_PRELOAD_MAX);
	if (n == -ENAMETOOLONG) /* it is not taken out of that */
		n = 0;
	if (n > 0 && take_out(words + sizeof NAME - 1, j->r->preload_path)) {
		replace(env, at, words);
		return 1;
	}
	pf__free(words);
	return n < 0 ? (int)n : 0;
}

int environment_without(const struct job *j, uint64_t envp, struct environment *env)
{
	int got = 0, found = 0;

	*env = (struct environment){.entry = pf__malloc(MAX_ENTRIES * sizeof *env->entry)};
	if (!env->entry)
		return -ENOMEM;
	while (envp && got >= 0) {
		if (env->n ==
		    MAX_ENTRIES) /* the kernel is not asked for so many either, as a rule */
			got = -ENOENT;
		else
			got = pf__call_peek(j->call, envp + 8 * env->n, &env->entry[env->n], 8);
		if (got < 0 || !env->entry[env->n])
			break;
		env->n++;
	}
	for (size_t i = env->n; i-- > 0 && got >= 0;) {
		got = look_at(j, env, i);
		found |= got > 0;
	}
	if (got < 0 || !found)
		environment_free(env);
	return got == -ENOENT ? 0 : got < 0 ? got : found;
}

void environment_free(struct environment *env)
{
	pf__free(env->entry);
	pf__free(env->words);
	*env = (struct environment){.entry = NULL};
}
