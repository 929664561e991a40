// The end of a run: stop, kill, watchdog, reaping, the sweep for what is left of the group, the outcome.
// A signal is sent to the main process only while it is unreaped, so that its pid can't have become a stranger's.
// Must not: give up before the last descendant is gone; report an outcome that is neither on disk nor taken and leave.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim.h"

#define WATCHDOG_KILL_MS 2000
#define SWEEP_FIRST_MS   5
#define SWEEP_LAST_MS    160
#define EXIT_RETRY_MS    5000

static const char *first_group(const struct shim *shim)
{
    return shim->plan.cgroup_procs.len > 0 ? shim->plan.cgroup_procs.items[0] : NULL;
}

static void sweep_group(const struct shim *shim)
{
    if (first_group(shim) != NULL) {
        (void)sweep_cgroup(first_group(shim), shim->plan.cgroup_kill); // waitid() tells when all are gone
    }
}

void ending_signal(struct shim *shim, int signal)
{
    if (shim->pid != 0 && signal > 0 && signal <= SIGRTMAX) {
        (void)kill(shim->pid, signal); // unreaped: it is still ours
    }
}

void ending_kill(struct shim *shim)
{
    if (shim->pid == 0) {
        return; // the sweep is at work
    }
    shim->kill_sent = true;
    sweep_group(shim);
    (void)kill(-shim->pid, SIGKILL); // not there yet before setsid() in the child
    (void)kill(shim->pid, SIGKILL);
}

void ending_stop(struct shim *shim, int64_t grace_ms)
{
    if (shim->pid == 0) {
        return;
    }
    const int64_t grace = grace_ms < 0 ? shim->plan.stop_grace_ms : grace_ms;
    if (!shim->stop_asked) {
        shim->stop_asked = true;
        shim->timers[TIMER_WATCHDOG] = 0;
        ending_signal(shim, (int)shim->plan.stop_signal);
        ending_signal(shim, SIGCONT); // a stopped process would not see it
    }
    shim_set_timer(shim, TIMER_GRACE, grace);
}

void ending_grace_over(struct shim *shim)
{
    ending_kill(shim);
}

void ending_watchdog(struct shim *shim)
{
    shim->watchdog_hit = true;
    log_note(shim, "watchdog: nothing heard for %lld ms", (long long)shim->plan.watchdog_ms);
    ending_signal(shim, SIGABRT);
    ending_signal(shim, SIGCONT);
    shim_set_timer(shim, TIMER_WATCHDOG_KILL, WATCHDOG_KILL_MS);
}

void ending_watchdog_kill(struct shim *shim)
{
    ending_kill(shim);
}

// `oom_kill N`, in a line of its own in memory.events (v2) and in memory.oom_control (v1).
int64_t ending_oom_kills(const struct shim *shim)
{
    char text[1024];
    if (shim->plan.cgroup_oom == NULL || sweep_read(shim->plan.cgroup_oom, text, sizeof(text)) <= 0) {
        return 0;
    }
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += line[0] == '\n';
        if (strncmp(line, "oom_kill ", 9) == 0) {
            return strtoll(line + 9, NULL, 10);
        }
    }
    return 0;
}

static const char *cause_of(const struct shim *shim)
{
    const struct {
        bool holds;
        const char *cause;
    } causes[] = {
        {shim->exec_error[0] != '\0', "exec"},
        {shim->watchdog_hit, "watchdog"},
        {shim->lease_over, "lease"},
        {shim->kill_sent, "kill"},
        {shim->stop_asked, "stop"},
        {shim->outcome.signal != 0, "signal"},
        {true, "exit"},
    };
    size_t i = 0;
    while (!causes[i].holds) {
        i++;
    }
    return causes[i].cause;
}

static void on_main_ended(struct shim *shim, const siginfo_t *info)
{
    if (shim->exec_pipe >= 0) {
        spawn_on_exec_pipe(shim); // what it said before it ended
    }
    // Its zombie still holds the number of the group: nobody else can have it.
    (void)kill(-shim->pid, SIGKILL);
    struct shim_outcome *outcome = &shim->outcome;
    outcome->ended_at = shim_wall_ms();
    outcome->ran_ms = shim_boot_ms() - shim->began_boot_ms;
    outcome->code = info->si_code == CLD_EXITED && shim->exec_error[0] == '\0' ? info->si_status : -1;
    outcome->signal = info->si_code == CLD_EXITED ? 0 : info->si_status;
    outcome->core = info->si_code == CLD_DUMPED;
    shim->pid = 0;
    shim->phase = PHASE_ENDING;
    shim->timers[TIMER_GRACE] = 0;
    shim->timers[TIMER_WATCHDOG] = 0;
    shim->timers[TIMER_WATCHDOG_KILL] = 0;
    shim->sweep_ms = SWEEP_FIRST_MS;
}

// Children live on after the main process: those of other sessions, or forked while the group was killed.
void ending_sweep(struct shim *shim)
{
    sweep_group(shim);
    (void)sweep_children(); // waitid() tells when all are gone
    shim_set_timer(shim, TIMER_SWEEP, shim->sweep_ms);
    shim->sweep_ms = shim->sweep_ms >= SWEEP_LAST_MS ? SWEEP_LAST_MS : shim->sweep_ms * 2;
}

static void finish(struct shim *shim)
{
    struct shim_outcome *outcome = &shim->outcome;
    if (outcome->ended_at == 0) { // there never was a process
        outcome->ended_at = shim_wall_ms();
        outcome->code = -1;
    }
    outcome->oom = outcome->code != 0 && ending_oom_kills(shim) > shim->oom_kills_before;
    (void)snprintf(outcome->cause, sizeof(outcome->cause), "%s", cause_of(shim));
    (void)snprintf(outcome->error, sizeof(outcome->error), "%s", shim->exec_error);
    shim->phase = PHASE_DONE;
    memset(shim->timers, 0, sizeof(shim->timers));
    log_drain(shim);
    log_note(shim, "run %lld ended cause=%s code=%d signal=%d%s%s%s", (long long)shim->plan.run, outcome->cause,
             outcome->code, outcome->signal, outcome->oom ? " out of memory" : "",
             shim->exec_error[0] != '\0' ? " " : "", shim->exec_error);
    ending_write(shim);
    link_tell(shim, SHIM_ENDED);
}

void ending_reap(struct shim *shim)
{
    const enum shim_phase before = shim->phase;
    while (shim->phase != PHASE_DONE) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0) {
            if (errno == ECHILD) {
                finish(shim);
            }
            return;
        }
        if (info.si_pid == 0) {
            break;
        }
        if (info.si_pid == shim->pid) {
            on_main_ended(shim, &info);
        }
        (void)waitpid(info.si_pid, NULL, __WALL); // what waitid() has just shown
    }
    if (shim->phase == PHASE_ENDING && before != PHASE_ENDING) {
        ending_sweep(shim); // later rounds by the timer: one per SIGCHLD would be too many
    }
}

static int open_exit(const struct shim *shim)
{
    return openat(shim->run_dir, "exit.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

// Blocks for the outcome are taken while there is room; a full disk then does not cost the exit code.
void ending_prepare(struct shim *shim)
{
    shim->exit_tmp = open_exit(shim);
    if (shim->exit_tmp >= 0) {
        (void)posix_fallocate(shim->exit_tmp, 0, PLAN_RECORD_MAX); // without it: ending_write() tries again
    }
}

// A run folder that somebody has removed: nobody will ever ask for the outcome.
static bool run_dir_is_gone(const struct shim *shim)
{
    struct stat st;
    return fstat(shim->run_dir, &st) == 0 && st.st_nlink == 0;
}

void ending_write(struct shim *shim)
{
    char text[PLAN_RECORD_MAX];
    const size_t len = plan_exit_write(&shim->outcome, text);
    if (shim->exit_tmp < 0) {
        shim->exit_tmp = open_exit(shim);
    }
    shim->outcome_written = shim->exit_tmp >= 0 && pwrite(shim->exit_tmp, text, len, 0) == (ssize_t)len &&
                            ftruncate(shim->exit_tmp, (off_t)len) == 0 &&
                            renameat(shim->run_dir, "exit.tmp", shim->run_dir, "exit") == 0;
    if (shim->outcome_written) {
        (void)close(shim->listen); // from here on the file speaks, also to a daemon that has just connected
        shim->listen = -1;
    } else if (run_dir_is_gone(shim)) {
        shim->outcome_taken = true;
    } else {
        shim_set_timer(shim, TIMER_EXIT_RETRY, EXIT_RETRY_MS);
    }
}

bool ending_is_over(const struct shim *shim)
{
    return shim->phase == PHASE_DONE && (shim->outcome_written || shim->outcome_taken);
}
