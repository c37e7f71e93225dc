/* The honest responder: the least that a guard can do and still know whom it answers and leave a record of it. It reads
 * the caller's /proc/PID/status, the file's path, applies one rule (uid 0 and a prefix), writes one line to a file opened
 * for appending, and only then answers. Written the way most such programs are: one thread, default priority.
 *
 * usage: honest LOG BYTES DIRECTORY [fifo]
 * BYTES is the length of a line; "fifo" asks for SCHED_FIFO. Prints "ready", and answers until it is killed. */

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#ifndef FAN_OPEN_EXEC_PERM
#define FAN_OPEN_EXEC_PERM 0x00040000
#endif

static int log_file;
static size_t line_length;
static const char *prefix;

/* The effective uid of a process, -1 where it is gone. */
static long uid_of(pid_t pid)
{
	char name[64], text[4096];
	snprintf(name, sizeof name, "/proc/%d/status", pid);
	int file = open(name, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -1;
	ssize_t length = read(file, text, sizeof text - 1);
	close(file);
	if (length <= 0)
		return -1;
	text[length] = 0;
	long real, effective;
	char *line = strstr(text, "\nUid:");
	return line && sscanf(line + 5, "%ld %ld", &real, &effective) == 2 ? effective : -1;
}

static uint32_t judge(const struct fanotify_event_metadata *event)
{
	char name[64], path[4096], line[65536];
	long uid = uid_of(event->pid);
	snprintf(name, sizeof name, "/proc/self/fd/%d", event->fd);
	ssize_t length = readlink(name, path, sizeof path - 1);
	path[length < 0 ? 0 : length] = 0;
	int denied = uid <= 0 && strncmp(path, prefix, strlen(prefix)) == 0;
	int used = snprintf(line, sizeof line, "pid=%d uid=%ld path=%s decision=%s ", event->pid, uid, path,
			    denied ? "deny" : "allow");
	size_t total = (size_t)used < line_length ? line_length : (size_t)used + 1;
	memset(line + used, '.', total - (size_t)used);
	line[total - 1] = '\n';
	if (write(log_file, line, total) != (ssize_t)total)
		err(1, "log");
	return denied ? FAN_DENY : FAN_ALLOW;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		errx(2, "usage: honest LOG BYTES DIRECTORY [fifo]");
	line_length = strtoul(argv[2], NULL, 10);
	prefix = argv[3];
	if (line_length < 1 || line_length > 60000)
		errx(2, "BYTES: 1 to 60000");
	log_file = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (log_file < 0)
		err(1, "%s", argv[1]);
	struct sched_param priority = { .sched_priority = 1 };
	if (argc > 4 && strcmp(argv[4], "fifo") == 0 && sched_setscheduler(0, SCHED_FIFO, &priority) != 0)
		err(1, "SCHED_FIFO");
	int group = fanotify_init(FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	if (group < 0)
		err(1, "fanotify_init");
	if (fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC_PERM, AT_FDCWD, prefix) != 0)
		err(1, "fanotify_mark %s", prefix);
	puts("ready");
	fflush(stdout);

	for (;;) {
		char buffer[4096] __attribute__((aligned(8)));
		ssize_t length = read(group, buffer, sizeof buffer);
		if (length < 0)
			err(1, "read");
		struct fanotify_event_metadata *event = (void *)buffer;
		for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length)) {
			if (event->fd < 0)
				continue;
			struct fanotify_response response = { .fd = event->fd, .response = judge(event) };
			if (write(group, &response, sizeof response) < 0)
				warn("answer");
			close(event->fd);
		}
	}
}
