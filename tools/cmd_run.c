/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a program that sees the servers' files as if they were mounted. This is the supervisor's
 * part: it starts the program, waits for it and for what it leaves behind, and ends all in order.
 * The main thread waits for what the loop thread of the run has heard of the program (events), what
 * the front says (run_front.h), and signals.
 */
#include "command.h"
#include "interrupt.h"
#include "report.h"
#include "run/run.h"
#include "run_front.h"
#include "run_nested.h"
#include "run_preload.h"
#include "run_procs.h"
#include "run_words.h"
#include "supervise/guard.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_MS = 5000 }; /* between SIGTERM and SIGKILL */

enum {
	OPTION_HOLD = 1,
	OPTION_HOLD_DIR,
	OPTION_HOLD_TOTAL,
	OPTION_KILL,
	OPTION_PRELOAD,
	OPTION_NO_PRELOAD,
	OPTION_WAIT
};

static const struct option long_options[] = {
    {"hold-dir", required_argument, NULL, OPTION_HOLD_DIR},
    {"hold-size", required_argument, NULL, OPTION_HOLD},
    {"hold-total", required_argument, NULL, OPTION_HOLD_TOTAL},
    {"kill-on-exit", no_argument, NULL, OPTION_KILL},
    {"no-preload", no_argument, NULL, OPTION_NO_PRELOAD},
    {"preload", no_argument, NULL, OPTION_PRELOAD},
    {"wait", no_argument, NULL, OPTION_WAIT},
    {0},
};

static struct {
	uint64_t hold_bytes, hold_total;
	const char *hold_dir;
	enum preload preload;
	bool kill, wait;
} options;

struct event {
	enum pf__guard_event event;
	int status;
};

struct job {
	struct session *session;
	struct pf__run *run;
	struct pf__guard *guard;
	char **mountpoints; /* borrowed, of the servers */
	struct run_words words;
	int events[2], signals[2];
	struct procs before; /* our children before there was a guardian */
	unsigned lost;       /* files, told of already */
	int status;          /* the program's */
	bool guardian_lost;
	int signal; /* asked us to end; 0: none */
};

/* ---- what comes in -------------------------------------------------------------------------- */

/* On the loop thread. */
static void on_event(void *ctx, enum pf__guard_event event, int status)
{
	struct job *job = ctx;
	struct event e = {event, status};

	while (write(job->events[1], &e, sizeof(e)) < 0 && errno == EINTR)
		;
}

/* On any thread. */
static void say(void *ctx, const char *line)
{
	announce(line);
}

/* True: the program has ended, or we cannot know any more. */
static bool next_event(struct job *job)
{
	struct event e;

	if (read(job->events[0], &e, sizeof(e)) != sizeof(e))
		return false;
	switch (e.event) {
	case PF_GUARD_STOPPED:
		front_stopped(e.status);
		return false;
	case PF_GUARD_CONTINUED:
		front_continued();
		return false;
	case PF_GUARD_EXITED:
		job->status = front_exit_status(e.status);
		return true;
	case PF_GUARD_GONE:
		job->guardian_lost = true;
		return true;
	}
	return false;
}

static bool signal_came(struct job *job)
{
	char byte;

	if (read(job->signals[0], &byte, 1) == 1)
		job->signal = byte;
	return job->signal;
}

/* Until the program has ended, or we are to end: somebody asks us to, or the front was killed. */
static void watch_program(struct job *job)
{
	for (;;) {
		struct pollfd p[3] = {{job->signals[0], POLLIN, 0},
				      {job->events[0], POLLIN, 0},
				      {front_socket(), POLLIN, 0}};
		int said;

		poll(p, 3, -1);
		if (p[0].revents && signal_came(job))
			return;
		if (p[1].revents && next_event(job))
			return;
		if (front_socket() >= 0 && !(p[2].revents))
			continue;
		said = front_hear();
		if (said > 0)
			pf__guard_continue(job->guard, said);
		if (said < 0) {
			job->signal = SIGHUP;
			return;
		}
	}
}

/* ---- who is left ----------------------------------------------------------------------------- */

static bool counts(void *ctx, pid_t pid)
{
	struct job *job = ctx;

	return !pf__run_serves(job->run, pid);
}

/* Who keeps the run from ending. One that is born while we look may be missed, but not twice. */
static size_t find_others(struct job *job, struct procs *others)
{
	pid_t top = pf__guard_guardian(job->guard);

	for (int i = 0; i < 2; i++) {
		if (procs_below(others, top, counts, job))
			return 0;
		if (others->n)
			break;
		if (i == 0)
			procs_free(others);
	}
	return others->n;
}

/* The guardian says so itself, right after the program's end, when nothing else is left. */
static bool is_alone(struct job *job)
{
	enum { MOMENT_MS = 2 };
	struct pollfd p = {job->events[0], POLLIN, 0};
	struct event e;

	while (poll(&p, 1, MOMENT_MS) == 1 && read(p.fd, &e, sizeof(e)) == sizeof(e))
		if (e.event == PF_GUARD_GONE)
			return true;
	return false;
}

/* Wait for them; false: a signal has come. */
static bool await_others(struct job *job)
{
	struct procs others;

	while (find_others(job, &others)) {
		procs_wait(&others, job->signals[0], -1, -1);
		procs_free(&others);
		if (signal_came(job))
			return false;
	}
	procs_free(&others);
	return true;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* SIGTERM for all, once for each, and SIGKILL for who still lives when the time is up. */
static void end_others(struct job *job)
{
	int64_t until = now_ms() + GRACE_MS, left;
	struct procs others, told = {0};

	while (find_others(job, &others)) {
		left = until - now_ms();
		if (left <= 0)
			procs_signal(&others, NULL, SIGKILL);
		else
			procs_signal(&others, &told, SIGTERM);
		procs_signal(&others, &told, SIGCONT);
		procs_wait(&others, -1, -1, left > 0 ? (int)left : 100);
		procs_free(&told);
		told = others;
	}
	procs_free(&others);
	procs_free(&told);
}

/* Nobody waits for us any more, and nothing of our caller's may stay open by us. */
static void become_daemon(int status)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)!chdir("/");
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	close(null);
	front_leave(status);
}

/* ---- start ----------------------------------------------------------------------------------- */

/*
 * The terminal's signals are for the program from now on, which shares our session so far. What has
 * come lately is in the hands of the front, which has got it too, or has sent it.
 */
static void leave_group(void *ctx, pid_t program)
{
	struct job *job = ctx;
	char byte;

	setsid();
	while (read(job->signals[0], &byte, 1) == 1)
		;
	front_started(program);
}

static int start_program(struct job *job)
{
	const struct run_origin *origin = front_origin();
	struct pf__guard_job place = {.group = origin->group,
				      .mask = origin->mask,
				      .ignored = origin->ignored,
				      .programs = job->words.programs,
				      .ready = leave_group,
				      .ctx = job};
	struct pf__guard_start how = {.file = job->words.argv[0],
				      .argv = job->words.argv,
				      .filtered = true,
				      .out_fd = -1,
				      .err_fd = -1,
				      .pass_fd = -1,
				      .sweep = pf__run_private(job->run),
				      .job = &place,
				      .grace_ms = GRACE_MS,
				      .event = on_event,
				      .ctx = job};
	int err = pf__guard_start(&job->guard, pf__run_supervisor(job->run), &how);

	switch (-err) {
	case 0:
		/* Each file that the program opens is one of ours, too. It has its own limit
		 * already. */
		pf__run_limits(job->run, true);
		return 0;
	case ENOENT:
	case ENOTDIR:
	case EACCES:
	case ENOEXEC:
	case ELOOP:
	case E2BIG:
	case ETXTBSY:
	case ENAMETOOLONG:
	case EISDIR:
		return run_words_complain(job->words.argv[0], err);
	default:
		complain(true, err, "cannot run %s", job->words.argv[0]);
		return STATUS_FAILED;
	}
}

static int set_up(struct job *job, char **words, size_t n)
{
	struct session *session = job->session;
	char library[PATH_MAX];
	int preload = preload_find(options.preload, library);
	const struct pf__run_config config = {.options = &session->options,
					      .hold_bytes = options.hold_bytes,
					      .hold_total = options.hold_total,
					      .hold_dir = options.hold_dir,
					      .preload = preload > 0,
					      .say = say,
					      .interrupted = interrupted};
	int err;

	if (preload < 0)
		return STATUS_FAILED;
	job->mountpoints = calloc(session->n_servers + 1, sizeof(*job->mountpoints));
	err = job->mountpoints ? 0 : -ENOMEM;
	for (size_t i = 0; !err && i < session->n_servers; i++)
		job->mountpoints[i] = session->servers[i].mountpoint;
	if (!err && (pipe2(job->events, O_CLOEXEC) || pipe2(job->signals, O_CLOEXEC | O_NONBLOCK)))
		err = -errno;
	if (!err)
		err = run_words_make(&job->words, session, job->mountpoints, words, n);
	if (!err)
		err = run_words_export(session, job->mountpoints);
	if (err) {
		complain(false, err, "cannot run the program");
		return STATUS_FAILED;
	}
	err = pf__run_new(&job->run, &config);
	if (err) {
		complain(true, err, "cannot run the program");
		return STATUS_FAILED;
	}
	if (preload && preload_export(job->run, library))
		return STATUS_FAILED;
	for (size_t i = 0; i < session->n_servers; i++) {
		err = pf__run_add(job->run, session->servers[i].tree.fs, NULL);
		if (err) {
			complain(true, err, "%s", session->servers[i].mountpoint);
			return STATUS_FAILED;
		}
	}
	return 0;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* What was written goes to the servers; a server that is lost would have told of it too late. */
static int flush(struct job *job, int status)
{
	char sentence[1024];
	unsigned lost = pf__run_flush(job->run);

	if (lost > job->lost) /* the messages may stand far above by now */
		complain_plain("%u %s could not be written back, as was told above", lost,
			       lost == 1 ? "file" : "files");
	job->lost = lost;
	if ((lost || pf__run_lost(job->run, sentence, sizeof(sentence))) && !status)
		return STATUS_FAILED;
	return status;
}

/* Before nobody hears us any more. */
static void say_lost(struct job *job)
{
	char sentence[1024];

	if (pf__run_lost(job->run, sentence, sizeof(sentence)))
		complain_plain("%s", sentence);
}

/* The program's own end. */
static int leave_behind(struct job *job)
{
	struct procs others;
	int status;
	bool left;

	front_ended();
	interrupt_divert(-1);
	status = flush(job, job->status);
	if (is_alone(job))
		return status;
	if (options.kill)
		end_others(job);
	left = find_others(job, &others) > 0;
	procs_free(&others);
	if (!left)
		return status;
	interrupt_divert(job->signals[1]);
	if (!options.wait) {
		say_lost(job);
		become_daemon(status);
	}
	if (!await_others(job)) {
		end_others(job);
		status = 128 + job->signal;
	}
	interrupt_divert(-1);
	return flush(job, status);
}

/* Somebody wants an end of it: as when the machine is shut down. */
static int cut_short(struct job *job)
{
	end_others(job);
	front_ended();
	interrupt_divert(-1);
	return flush(job, 128 + job->signal);
}

static int without_guardian(struct job *job)
{
	front_ended();
	interrupt_divert(-1);
	complain_plain("the process that watches over the program was killed, and so is all that "
		       "it watched over");
	procs_end_children(&job->before);
	return flush(job, STATUS_FAILED);
}

static int run_program(struct job *job)
{
	int status;

	interrupt_divert(job->signals[1]);
	if (interrupted()) {
		interrupt_divert(-1);
		return 128 + interrupted();
	}
	procs_children(&job->before);
	status = start_program(job);
	if (status) {
		interrupt_divert(-1);
		return status;
	}
	front_let_go_of_files();
	watch_program(job);
	if (job->guardian_lost)
		return without_guardian(job);
	return job->signal ? cut_short(job) : leave_behind(job);
}

/* The servers that were mounted inside may have much to write down yet. */
static void end_processes(struct job *job)
{
	enum { PATIENCE_MS = 1000, LAST_WORK_MS = 60000 };

	pf__run_unmount_all(job->run);
	if (job->guard)
		pf__guard_stop(job->guard, PATIENCE_MS, LAST_WORK_MS);
	pf__guard_free(job->guard);
	job->guard = NULL;
}

/* The servers of the command line say themselves how they ended; so the sentence of a lost one is
 * needed only where they have nothing to say. */
static int tear_down(struct job *job, int status)
{
	struct session *session = job->session;
	char sentence[1024] = "";
	int failed = 0;
	bool lost;

	lost = job->run && pf__run_lost(job->run, sentence, sizeof(sentence));
	if (job->run)
		end_processes(job);
	lost |= pf__run_free(job->run) > job->lost;
	for (size_t i = session->n_servers; i-- > 0;)
		failed |= session_server_stop(&session->servers[i]);
	if (lost && !failed && *sentence)
		complain_plain("%s", sentence);
	run_words_free(&job->words);
	procs_free(&job->before);
	free(job->mountpoints);
	return status ? status : lost || failed ? STATUS_FAILED : STATUS_OK;
}

static int run(struct session *session, char **words, size_t n)
{
	struct job job = {.session = session, .events = {-1, -1}, .signals = {-1, -1}};
	int status = set_up(&job, words, n);

	if (!status)
		status = run_program(&job);
	return tear_down(&job, status);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int before(struct session *session, char **words, size_t n)
{
	int err = supervision_here();

	switch (-err) {
	case 0:
		return front_divide();
	case EBUSY:
		return run_nested(session, words, n);
	case EINVAL:
	case ENOSYS:
		complain(false, err,
			 "the kernel has no notification of system calls (seccomp; Linux 5.9 has "
			 "it, gVisor has not), without which there is no 'run'");
		return STATUS_FAILED;
	default:
		complain(false, err,
			 "no system call filter may be installed here (seccomp), without which "
			 "there is no 'run'");
		return STATUS_FAILED;
	}
}

static int size_option(const char *name, const char *arg, uint64_t *bytes)
{
	if (text_bytes(arg, bytes))
		return 0;
	return complain_usage("%s wants bytes, as in 64M, not '%s'", name, arg);
}

static int directory_option(const char *arg)
{
	struct stat st;

	/* We do not stay where we are. */
	options.hold_dir = strcmp(arg, "none") == 0 ? "none" : realpath(arg, NULL);
	if (options.hold_dir &&
	    (*options.hold_dir != '/' || (stat(options.hold_dir, &st) == 0 && S_ISDIR(st.st_mode))))
		return 0;
	return complain_usage("--hold-dir wants a directory, or 'none', not '%s'", arg);
}

static int option(int opt, const char *arg)
{
	switch (opt) {
	case OPTION_HOLD_DIR:
		return directory_option(arg);
	case OPTION_HOLD_TOTAL:
		return size_option("--hold-total", arg, &options.hold_total);
	case OPTION_KILL:
		options.kill = true;
		return 0;
	case OPTION_PRELOAD:
		options.preload = PRELOAD_YES;
		return 0;
	case OPTION_NO_PRELOAD:
		options.preload = PRELOAD_NO;
		return 0;
	case OPTION_WAIT:
		options.wait = true;
		return 0;
	default:
		return size_option("--hold-size", arg, &options.hold_bytes);
	}
}

const struct command command_run = {
    .name = "run",
    .summary = "Run a program that sees the files of servers as if they were mounted",
    .usage = "[OPTION]... [ SERVER ARG... ]... [--] [PROGRAM ARG...]",
    .help =
	"      --hold-dir=DIR         where on disk what is written is held, or 'none'\n"
	"      --hold-size=SIZE       the largest file that is held in memory for the program\n"
	"      --hold-total=SIZE      what all files that are held in memory may take\n"
	"      --kill-on-exit         end what the program leaves behind, when it ends\n"
	"      --no-preload           load no library into the programs to make them faster\n"
	"      --preload              load it, where it could not be taken away from those that\n"
	"                             it does not suit, too\n"
	"      --wait                 end when what it leaves behind has ended too\n",
    .short_options = "+",
    .long_options = long_options,
    .max_words = SIZE_MAX,
    .option = option,
    .before = before,
    .run = run,
};
