/* The floor: a responder that answers at once and looks at nothing. No guard can be cheaper than this.
 *
 * usage: floor allow|deny|opens DIRECTORY
 * Marks the filesystem of DIRECTORY, for execs or to allow opens, prints "ready", and answers until it is killed. */

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#ifndef FAN_OPEN_EXEC_PERM
#define FAN_OPEN_EXEC_PERM 0x00040000
#endif

int main(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "usage: floor allow|deny|opens DIRECTORY");
	uint32_t answer = strcmp(argv[1], "deny") == 0 ? FAN_DENY : FAN_ALLOW;
	uint64_t events = strcmp(argv[1], "opens") == 0 ? FAN_OPEN_PERM : FAN_OPEN_EXEC_PERM;
	int group = fanotify_init(FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	if (group < 0)
		err(1, "fanotify_init");
	if (fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, events, AT_FDCWD, argv[2]) != 0)
		err(1, "fanotify_mark %s", argv[2]);
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
			struct fanotify_response response = { .fd = event->fd, .response = answer };
			if (write(group, &response, sizeof response) < 0)
				warn("answer");
			close(event->fd);
		}
	}
}
