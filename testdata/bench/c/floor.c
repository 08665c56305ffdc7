/* The floor: what it costs to start, await and start again, when nobody
   decides anything, keeps anything or can be asked.

     floor d FILE SVC N   N daemons by posix_spawn; one that ends is started
                          again at once; TERM ends all
     floor o FILE SVC N   N oneshots, one after the other */
#define _GNU_SOURCE
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

static sigset_t none, awaited;

static pid_t start(char *svc, char *kind, char *file, int i)
{
	char name[32];
	char *argv[] = { svc, kind, file, name, NULL };
	posix_spawnattr_t attr;
	pid_t pid = -1;

	snprintf(name, sizeof name, "s%05d", i);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	if (posix_spawn(&pid, svc, NULL, &attr, argv, environ) != 0)
		pid = -1;
	posix_spawnattr_destroy(&attr);
	return pid;
}

static int index_of(const pid_t *pids, int n, pid_t pid)
{
	for (int i = 0; i < n; i++)
		if (pids[i] == pid)
			return i;
	return -1;
}

static int daemons(char *file, char *svc, int n)
{
	pid_t *pids = calloc((size_t)n, sizeof *pids), pid;
	int i;

	for (i = 0; i < n; i++)
		pids[i] = start(svc, "d", file, i);
	while (sigwaitinfo(&awaited, NULL) != SIGTERM)
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			if ((i = index_of(pids, n, pid)) >= 0)
				pids[i] = start(svc, "d", file, i);
	for (i = 0; i < n; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	sigemptyset(&none);
	sigemptyset(&awaited);
	sigaddset(&awaited, SIGTERM);
	sigaddset(&awaited, SIGCHLD);
	sigprocmask(SIG_BLOCK, &awaited, NULL);
	if (argv[1][0] == 'd')
		return daemons(argv[2], argv[3], atoi(argv[4]));
	for (int i = 0; i < atoi(argv[4]); i++)
		waitpid(start(argv[3], "o", argv[2], i), NULL, 0);
	return 0;
}
