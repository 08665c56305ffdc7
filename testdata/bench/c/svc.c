/* The service of the benches. It appends one record, in one write, and then
   does nothing, so that what is measured is the supervisor.

     svc d FILE NAME   a daemon: record, then wait for ever
     svc o FILE NAME   a oneshot: record, then exit 0

   A record is "NAME PID MONOTONIC_NS\n". */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	char line[128];
	int fd, n;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc != 4)
		return 2;
	fd = open(argv[2], O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return 3;
	n = snprintf(line, sizeof line, "%s %d %lld\n", argv[3], (int)getpid(),
		     now.tv_sec * 1000000000LL + now.tv_nsec);
	if (write(fd, line, (size_t)n) != n)
		return 4;
	close(fd);
	while (argv[1][0] == 'd')
		pause();
	return 0;
}
