/* The callers: whoever is judged by a guard, and the neighbours that disturb it. Each mode ends by itself, or with its
 * parent. Everything is made before the clock starts: a run of execs does nothing else.
 *
 * usage: caller MODE ...
 *   latency HOW UID EXPECT WARM COUNT PATH   COUNT times in nanoseconds, as 32-bit words on standard output
 *   herd    HOW UID EXPECT MILLISECONDS PROCESSES PATH   "EXECS NANOSECONDS" of all processes together
 *   storm   UID EXPECT PROCESSES COUNT DIRECTORY   process p executes DIRECTORY/p-i for each i below COUNT;
 *                                            "REFUSED OTHERWISE NANOSECONDS"
 *   hog                                      burns a CPU in a session of its own
 *   with    PROGRAM ARGUMENTS...             runs PROGRAM in a session of its own, as a service is; it dies with our parent
 * HOW: direct (an execve that fails), vfork (vfork and execve), open (open and close).
 * EXPECT: the errno of a call that must fail, 0 for one that must succeed. */

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *const no_environment[] = { NULL };

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static int by_execve(const char *path)
{
	char *const arguments[] = { (char *)path, NULL };
	execve(path, arguments, no_environment);
	return errno;
}

static int by_vfork(const char *path)
{
	/* The child of a vfork shares our memory: it leaves its errno there. */
	volatile int failed = 0;
	pid_t child = vfork();
	if (child == 0) {
		failed = by_execve(path);
		_exit(1);
	}
	if (child < 0)
		err(1, "vfork");
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
	}
	return failed;
}

static int by_open(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return errno;
	close(file);
	return 0;
}

typedef int way(const char *path);

static way *way_of(const char *name)
{
	if (strcmp(name, "direct") == 0)
		return by_execve;
	if (strcmp(name, "vfork") == 0)
		return by_vfork;
	if (strcmp(name, "open") == 0)
		return by_open;
	errx(2, "no such way: %s", name);
}

static void become(const char *uid)
{
	uid_t id = (uid_t)strtoul(uid, NULL, 10);
	if (id != 0 && (setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0))
		err(1, "become %s", uid);
	/* A change of ids takes it back. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void expect(int seen, int expected, const char *path)
{
	if (seen != expected)
		errx(1, "%s: %s, expected: %s", path, strerror(seen), strerror(expected));
}

static int latency(char **of)
{
	way *call = way_of(of[0]);
	int expected = atoi(of[2]);
	size_t warm = strtoul(of[3], NULL, 10), count = strtoul(of[4], NULL, 10);
	uint32_t *times = calloc(count, sizeof *times);
	if (!times)
		err(1, "calloc");
	become(of[1]);
	for (size_t i = 0; i < warm; i++)
		expect(call(of[5]), expected, of[5]);
	for (size_t i = 0; i < count; i++) {
		uint64_t begun = now();
		int seen = call(of[5]);
		uint64_t taken = now() - begun;
		times[i] = taken > UINT32_MAX ? UINT32_MAX : (uint32_t)taken;
		expect(seen, expected, of[5]);
	}
	fwrite(times, sizeof *times, count, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}

struct shared {
	volatile uint64_t ready, go, otherwise, done;
};

static struct shared *shared_memory(void)
{
	void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	return memory;
}

/* Starts processes that all wait for one moment, and returns their number in each, -1 in the first one. */
static long spread(struct shared *shared, long processes, const char *uid)
{
	for (long process = 0; process < processes; process++) {
		pid_t child = fork();
		if (child < 0)
			err(1, "fork");
		if (child == 0) {
			become(uid);
			__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
			while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
				usleep(200);
			return process;
		}
	}
	while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < (uint64_t)processes)
		usleep(200);
	return -1;
}

static int wait_for_all(void)
{
	int status, failed = 0;
	while (wait(&status) > 0)
		failed |= status;
	return failed ? 1 : 0;
}

static int herd(char **of)
{
	way *call = way_of(of[0]);
	int expected = atoi(of[2]);
	uint64_t length = strtoul(of[3], NULL, 10) * 1000000;
	struct shared *shared = shared_memory();
	if (spread(shared, atol(of[4]), of[1]) >= 0) {
		uint64_t end = shared->go + length, done = 0;
		for (; now() < end; done++)
			expect(call(of[5]), expected, of[5]);
		__atomic_add_fetch(&shared->done, done, __ATOMIC_SEQ_CST);
		exit(0);
	}
	uint64_t begun = now();
	__atomic_store_n(&shared->go, begun, __ATOMIC_SEQ_CST);
	int failed = wait_for_all();
	uint64_t taken = now() - begun;
	printf("%llu %llu\n", (unsigned long long)shared->done, (unsigned long long)taken);
	return failed;
}

static int storm(char **of)
{
	int expected = atoi(of[1]);
	long count = atol(of[3]);
	struct shared *shared = shared_memory();
	long process = spread(shared, atol(of[2]), of[0]);
	if (process >= 0) {
		for (long i = 0; i < count; i++) {
			char path[512];
			snprintf(path, sizeof path, "%s/%ld-%ld", of[4], process, i);
			/* By vfork: an exec that is let through must not end the storm. */
			if (by_vfork(path) == expected)
				__atomic_add_fetch(&shared->done, 1, __ATOMIC_SEQ_CST);
			else
				__atomic_add_fetch(&shared->otherwise, 1, __ATOMIC_SEQ_CST);
		}
		exit(0);
	}
	uint64_t begun = now();
	__atomic_store_n(&shared->go, begun, __ATOMIC_SEQ_CST);
	int failed = wait_for_all();
	printf("%llu %llu %llu\n", (unsigned long long)shared->done, (unsigned long long)shared->otherwise,
	       (unsigned long long)(now() - begun));
	return failed;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (strcmp(mode, "latency") == 0 && argc == 8)
		return latency(argv + 2);
	if (strcmp(mode, "herd") == 0 && argc == 8)
		return herd(argv + 2);
	if (strcmp(mode, "storm") == 0 && argc == 7)
		return storm(argv + 2);
	if (strcmp(mode, "hog") == 0) {
		/* Another session is another autogroup: what else runs on a host is not in the callers' group either. */
		setsid();
		for (volatile uint64_t turns = 0;; turns++) {
		}
	}
	if (strcmp(mode, "with") == 0 && argc > 2) {
		setsid();
		execvp(argv[2], argv + 2);
		err(1, "%s", argv[2]);
	}
	errx(2, "no such mode, or not its arguments: %s", mode);
}
