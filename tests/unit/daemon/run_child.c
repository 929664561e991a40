// The worker of the tests of runs: does one thing as told by its first argument.
// Must not: outlive a test; alarm() ends it should everything else fail.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOTIFY_FD 3

static void notify(const char *line)
{
    if (write(NOTIFY_FD, line, strlen(line)) < 0) {
        _exit(70);
    }
}

_Noreturn static void wait_for_ever(void)
{
    for (;;) {
        (void)pause();
    }
}

static int do_exit(const char *arg)
{
    return atoi(arg);
}

static int do_raise(const char *arg)
{
    (void)raise(atoi(arg));
    return 70;
}

static int do_pause(const char *arg)
{
    (void)arg;
    wait_for_ever();
}

static int do_ready(const char *arg)
{
    (void)arg;
    notify("STATUS=warming up\nREADY=1\n");
    wait_for_ever();
}

// s6 style: an empty line; in two writes, as a slow writer's would arrive.
static int do_ready_newline(const char *arg)
{
    (void)arg;
    notify("IGNORED=");
    notify("x\n\n");
    wait_for_ever();
}

// A grandchild in a session of its own that nobody waits for. Both ignore SIGTERM if arg says so.
static int do_daemonize(const char *arg)
{
    const int ignore = strcmp(arg, "ignore-term") == 0;
    if (ignore) {
        (void)signal(SIGTERM, SIG_IGN);
    }
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            char text[64];
            (void)setsid();
            (void)alarm(60);
            (void)snprintf(text, sizeof(text), "STATUS=%d\nREADY=1\n", (int)getpid());
            notify(text);
            wait_for_ever();
        }
        _exit(0);
    }
    (void)wait(NULL);
    wait_for_ever();
}

// N lines of 100 bytes, then the end.
static int do_print(const char *arg)
{
    char line[101];
    memset(line, 'x', sizeof(line) - 1);
    line[100] = '\0';
    for (int i = 0; i < atoi(arg); i++) {
        (void)printf("%08d %s\n", i, line);
    }
    (void)fprintf(stderr, "last words");
    return 0;
}

// A line for each SIGUSR1.
static int do_print_on_signal(const char *arg)
{
    sigset_t set;
    int number = 0;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    notify("READY=1\n");
    while (sigwait(&set, &number) == 0) {
        (void)printf("%s\n", arg);
        (void)fflush(stdout);
        notify("STATUS=printed\n");
    }
    return 70;
}

static int do_allocate(const char *arg)
{
    const size_t len = (size_t)atoi(arg) << 20;
    char *memory = malloc(len);
    for (size_t i = 0; memory != NULL && i < len; i += 4096) {
        ((volatile char *)memory)[i] = 1;
    }
    return 0;
}

static int do_watchdog(const char *arg)
{
    for (int i = 0; i < atoi(arg); i++) {
        const struct timespec pause_time = {.tv_nsec = 50 * 1000000};
        (void)nanosleep(&pause_time, NULL); // the worker's own pace, nothing a test waits for
        notify("WATCHDOG=1\n");
    }
    (void)signal(SIGABRT, SIG_IGN);
    notify("STATUS=silent\n");
    wait_for_ever();
}

// What the shim has arranged, one fact a line.
static int do_show(const char *arg)
{
    char line[256];
    char path[64];
    struct stat st;
    (void)arg;
    for (int fd = 0; fd < 256; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            (void)fstat(fd, &st);
            (void)printf("fd %d %s\n", fd, S_ISFIFO(st.st_mode) ? "pipe" : S_ISCHR(st.st_mode) ? "char" : "other");
        }
    }
    const mode_t mask = umask(0);
    (void)printf("umask %03o\nuid %d gid %d\nsession %d\ncwd %s\n", mask, (int)getuid(), (int)getgid(),
                 getsid(0) == getpid(), getcwd(line, sizeof(line)));
    (void)printf("token %d ppid_env %s\n", getenv("REEVE_RUN_TOKEN") != NULL, getenv("PLANNED"));
    (void)snprintf(path, sizeof(path), "/proc/self/status");
    FILE *status = fopen(path, "r");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "NoNewPrivs", 10) == 0 || strncmp(line, "SigBlk", 6) == 0 ||
            strncmp(line, "SigIgn", 6) == 0 || strncmp(line, "Groups", 6) == 0) {
            (void)fputs(line, stdout);
        }
    }
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const char *arg);
} modes[] = {
    {"exit", do_exit},
    {"raise", do_raise},
    {"pause", do_pause},
    {"ready", do_ready},
    {"newline", do_ready_newline},
    {"daemonize", do_daemonize},
    {"print", do_print},
    {"print-on-signal", do_print_on_signal},
    {"allocate", do_allocate},
    {"watchdog", do_watchdog},
    {"show", do_show},
};

int main(int argc, char **argv)
{
    (void)alarm(60);
    for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            return modes[i].run(argc > 2 ? argv[2] : "");
        }
    }
    return 64;
}
