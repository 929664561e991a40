// The loop: descriptors and deadlines, each with its handler.
// Must not: decide anything; spawn.c, ending.c, lease.c, link.c, notify.c and log.c do.
#include "shim.h"

#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static void (*const timer_handlers[TIMER_COUNT])(struct shim *shim) = {
    [TIMER_GRACE] = ending_grace_over,
    [TIMER_WATCHDOG] = ending_watchdog,
    [TIMER_WATCHDOG_KILL] = ending_watchdog_kill,
    [TIMER_SWEEP] = ending_sweep,
    [TIMER_LOG_RETRY] = log_retry,
    [TIMER_LOG_PARTIAL] = log_partial,
    [TIMER_LOG_GREW] = link_log_grew_again,
    [TIMER_EXIT_RETRY] = ending_write,
};

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now); // can't fail for these clocks
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t shim_mono_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t shim_boot_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

int64_t shim_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

void shim_init(struct shim *shim, int signals, int oom_score)
{
    shim->run_dir = SHIM_FD_RUN_DIR;
    shim->link = SHIM_FD_LINK;
    shim->listen = SHIM_FD_LISTEN;
    shim->signals = signals;
    shim->oom_score = oom_score;
    shim->exit_tmp = -1;
    shim->exec_pipe = -1;
    shim->notify = -1;
    shim->lease_timer = -1;
    shim->log.dir = -1;
    shim->log.fd = -1;
    shim->log.streams[0] = (struct shim_stream){.fd = -1, .letter = 'o'};
    shim->log.streams[1] = (struct shim_stream){.fd = -1, .letter = 'e'};
}

void shim_set_timer(struct shim *shim, enum shim_timer timer, int64_t in_ms)
{
    // A century: larger numbers would overflow the sum.
    const int64_t bound = (int64_t)100 * 365 * 24 * 3600 * 1000;
    const int64_t at = shim_mono_ms() + (in_ms > bound ? bound : in_ms);
    if (shim->timers[timer] == 0 || at < shim->timers[timer]) {
        shim->timers[timer] = at;
    }
}

static void fire_timers(struct shim *shim)
{
    const int64_t now = shim_mono_ms();
    for (int i = 0; i < TIMER_COUNT; i++) {
        if (shim->timers[i] != 0 && shim->timers[i] <= now) {
            shim->timers[i] = 0;
            timer_handlers[i](shim);
        }
    }
}

static int next_timeout_ms(const struct shim *shim)
{
    int64_t first = 0;
    for (int i = 0; i < TIMER_COUNT; i++) {
        if (shim->timers[i] != 0 && (first == 0 || shim->timers[i] < first)) {
            first = shim->timers[i];
        }
    }
    if (first == 0) {
        return -1;
    }
    const int64_t in_ms = first - shim_mono_ms();
    return in_ms < 0 ? 0 : in_ms > 3600000 ? 3600000 : (int)in_ms;
}

static void on_signals(struct shim *shim)
{
    struct signalfd_siginfo infos[4];
    while (read(shim->signals, infos, sizeof(infos)) > 0) {
        // only SIGCHLD, and waitid() tells more than this does
    }
    ending_reap(shim);
}

static void on_stdout(struct shim *shim)
{
    log_on_stream(shim, &shim->log.streams[0]);
}

static void on_stderr(struct shim *shim)
{
    log_on_stream(shim, &shim->log.streams[1]);
}

// One turn. The link comes last: what this turn found out is told at its end.
static void turn(struct shim *shim)
{
    static void (*const handlers[])(struct shim * shim) = {
        spawn_on_exec_pipe, notify_on_line, on_stdout,       on_stderr,
        on_signals,         lease_on_timer, link_on_connect, link_on_message,
    };
    enum { COUNT = sizeof(handlers) / sizeof(handlers[0]) };
    struct pollfd polls[COUNT] = {
        {.fd = shim->exec_pipe, .events = POLLIN},
        {.fd = shim->notify, .events = POLLIN},
        {.fd = shim->log.streams[0].fd, .events = POLLIN},
        {.fd = shim->log.streams[1].fd, .events = POLLIN},
        {.fd = shim->signals, .events = POLLIN},
        {.fd = shim->lease_timer, .events = POLLIN},
        {.fd = shim->listen, .events = POLLIN},
        {.fd = shim->link, .events = (short)(POLLIN | (shim->untold != 0 ? POLLOUT : 0))},
    };
    if (poll(polls, COUNT, next_timeout_ms(shim)) > 0) {
        for (int i = 0; i < COUNT; i++) {
            if (polls[i].revents != 0) {
                handlers[i](shim);
            }
        }
    }
    fire_timers(shim);
    link_flush(shim);
}

// Start and exec touch most of libc's text once, and each touch maps 64 kB around it. Given back, the shim that waits
// for years maps what its loop needs. Only segments that are never written: a private page that was would come back as
// in the file.
void shim_trim(void)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const ElfW(Phdr) *header = (const ElfW(Phdr) *)getauxval(AT_PHDR); // NOLINT: the kernel passes addresses as numbers
    for (unsigned long left = header == NULL ? 0 : getauxval(AT_PHNUM); left > 0; left--, header++) {
        if (header->p_type == PT_LOAD && (header->p_flags & PF_W) == 0) {
            const uintptr_t from = header->p_vaddr & ~(page - 1);
            const uintptr_t to = (header->p_vaddr + header->p_memsz) & ~(page - 1);
            (void)madvise((void *)from, to - from, MADV_DONTNEED); // a saving, nothing depends on it
        }
    }
}

void shim_run(struct shim *shim)
{
    link_tell(shim, SHIM_HELLO);
    link_flush(shim);
    ending_reap(shim); // a worker that could not even be forked
    while (!ending_is_over(shim)) {
        turn(shim);
    }
    link_flush(shim);
}
