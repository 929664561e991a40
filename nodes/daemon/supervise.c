// One worker: steps its machine, carries out the effects, takes in what its run tells.
// Must not: know about commands (pending.c watches from outside) or how a plan is made (spawn.c).
#include "daemon.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <reeve/units.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum ttl_phase { TTL_LIFE = 1, TTL_CLEANUP = 2 }; // generations of ttl_timer

static void backoff_over(struct reeve_timer *timer, void *arg);
static void ready_late(struct reeve_timer *timer, void *arg);
static void ttl_over(struct reeve_timer *timer, void *arg);

// ---- making and unmaking ------------------------------------------------------------------------------------

enum reeve_err worker_new(struct daemon *daemon, const char *name, struct worker **ret, struct reeve_why *why)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL || reeve_map_put(daemon->workers, name, worker, NULL) != REEVE_OK) {
        free(worker);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    worker->daemon = daemon;
    (void)snprintf(worker->name, sizeof worker->name, "%s", name);
    (void)snprintf(worker->origin, sizeof worker->origin, "command");
    worker->created_at = reeve_clock_wall_ms();
    worker->since_at = worker->created_at;
    reeve_timer_init(daemon->loop, &worker->backoff_timer, backoff_over, worker);
    reeve_timer_init(daemon->loop, &worker->ready_timer, ready_late, worker);
    reeve_timer_init(daemon->loop, &worker->ttl_timer, ttl_over, worker);
    *ret = worker;
    return REEVE_OK;
}

static void timer_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct worker *worker = arg;
    if (--worker->closing == 0) {
        reeve_spec_done(&worker->spec);
        free(worker);
    }
}

void worker_free(struct worker *worker)
{
    probe_stop(worker);
    probes_stop(worker);
    logs_follow_stop(worker);
    if (worker->run != NULL) {
        run_detach(worker->run);
        worker->run = NULL;
    }
    (void)reeve_map_remove(worker->daemon->workers, worker->name);
    worker->closing = 3;
    reeve_timer_close(&worker->backoff_timer, timer_closed);
    reeve_timer_close(&worker->ready_timer, timer_closed);
    reeve_timer_close(&worker->ttl_timer, timer_closed);
}

void worker_set_spec(struct worker *worker, struct reeve_spec *spec)
{
    reeve_spec_done(&worker->spec);
    worker->spec = *spec;
    *spec = (struct reeve_spec){0};
    worker->spec_version++;
    if (worker->machine.state == REEVE_STATE_RUNNING) {
        probes_start(worker);
    }
}

static enum reeve_err store_row(struct daemon *daemon, struct store_worker *stored, const struct reeve_spec *spec,
                                struct reeve_why *why)
{
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = reeve_spec_encode(spec, REEVE_ENCODE_SKIP_PRESETS | REEVE_ENCODE_WITH_SECRETS, &value);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "spec of %s can't be encoded", stored->name);
    }
    stored->spec = value;
    return store_worker_put(daemon->store, stored, why);
}

static struct store_worker stored_form(const struct worker *worker, bool wanted)
{
    int64_t ttl_left = worker->ttl_until_mono > 0 ? worker->ttl_until_mono - reeve_clock_mono_ms() : 0;
    bool failed = worker->machine.state == REEVE_STATE_FAILED;
    return (struct store_worker){
        .name = (char *)(uintptr_t)worker->name,
        .version = worker->spec_version,
        .origin = (char *)(uintptr_t)worker->origin,
        .wanted = wanted,
        .failed = failed,
        .failed_why = failed ? (char *)(uintptr_t)worker->why : NULL,
        .run = worker->last_run,
        .restarts = worker->restarts,
        .created_at = worker->created_at,
        .ttl_until_boot = worker->ttl_until_mono,
        .ttl_boot_id = (char *)(uintptr_t)reeve_boot_id(),
        .ttl_until_at = worker->ttl_until_mono > 0 ? reeve_clock_wall_ms() + ttl_left : 0,
    };
}

enum reeve_err worker_store(struct worker *worker, bool wanted, struct reeve_why *why)
{
    struct store_worker stored = stored_form(worker, wanted);
    enum reeve_err err = store_row(worker->daemon, &stored, &worker->spec, why);
    if (err == REEVE_OK) {
        worker->stored_wanted = wanted;
        worker->stored_restarts = worker->restarts;
    }
    return err;
}

enum reeve_err worker_store_spec(struct daemon *daemon, const struct worker *worker, const struct reeve_spec *spec,
                                 const char *origin, bool wanted, struct reeve_why *why)
{
    struct store_worker stored = {.name = spec->name, .created_at = reeve_clock_wall_ms()};
    if (worker != NULL) {
        stored = stored_form(worker, wanted);
    }
    stored.version++;
    stored.wanted = wanted;
    stored.origin = (char *)(uintptr_t)origin;
    return store_row(daemon, &stored, spec, why);
}

// What nobody waits for (counters, a state that gave up) is stored along; a full disk is told once, elsewhere.
static void store_along(struct worker *worker)
{
    // On the way out everything is stopped, and nothing of that is what somebody wants.
    if (!worker->removing && !worker->daemon->leaving) {
        (void)worker_store(worker, worker->machine.wanted, NULL); /* the commit of the turn reports it */
    }
}

// ---- why it is as it is [fold-10] ---------------------------------------------------------------------------

static void exit_text(const struct worker *worker, char *buf, size_t buf_len)
{
    const struct run_outcome *end = &worker->exit;
    char name[24];
    char limit[REEVE_UNITS_TEXT_LEN];
    if (end->oom) {
        (void)snprintf(buf, buf_len, "out of memory, memory_limit %s",
                       reeve_size_format(worker->spec.memory_limit_bytes, limit));
    } else if (strcmp(end->cause, "exec") == 0) {
        (void)snprintf(buf, buf_len, "not started: %s", end->error);
    } else if (strcmp(end->cause, "watchdog") == 0) {
        (void)snprintf(buf, buf_len, "watchdog: no sign of life for %s",
                       reeve_duration_format(worker->spec.watchdog_ms, limit));
    } else if (strcmp(end->cause, "lease") == 0) {
        (void)snprintf(buf, buf_len, "lease ended: no renewal for %s",
                       reeve_duration_format(worker->spec.self_stop_after_ms, limit));
    } else if (strcmp(end->cause, "lost") == 0) {
        (void)snprintf(buf, buf_len, "outcome lost: its shim was killed");
    } else if (strcmp(end->cause, "host") == 0) {
        (void)snprintf(buf, buf_len, "the host restarted");
    } else if (end->signal != 0) {
        (void)snprintf(buf, buf_len, "exit %d (%s)", 128 + end->signal, reeve_signal_text(end->signal, name));
    } else {
        (void)snprintf(buf, buf_len, "exit %d", end->code);
    }
}

static bool ended_as_asked(const struct run_outcome *end)
{
    static const char *const causes[] = {"stop", "kill", "host"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(causes); i++) {
        if (strcmp(end->cause, causes[i]) == 0) {
            return true;
        }
    }
    return end->code == 0 && end->signal == 0;
}

static bool ended_by_lease(const struct worker *worker)
{
    return worker->has_exit && strcmp(worker->exit.cause, "lease") == 0;
}

static void compose_waiting(struct worker *worker)
{
    char text[224] = "";
    const bool told = ended_by_lease(worker) && worker->ended_run == worker->last_run;
    if (told) {
        exit_text(worker, text, sizeof text);
    }
    (void)snprintf(worker->why, sizeof worker->why, "%s%swaits for its lease from the manager", text,
                   told ? " · " : "");
}

static void compose_why(struct worker *worker)
{
    worker->why[0] = '\0';
    if (worker->lease_waits) {
        compose_waiting(worker);
        return;
    }
    if (!worker->has_exit) {
        return;
    }
    char text[224];
    char delay[REEVE_UNITS_TEXT_LEN];
    char line[160];
    exit_text(worker, text, sizeof text);
    if (reeve_state_has_process(worker->machine.state)) {
        if (!ended_as_asked(&worker->exit)) { // why this run is not the first: an end that nobody asked for
            (void)snprintf(worker->why, sizeof worker->why, "after %s · run %lld", text, (long long)worker->ended_run);
        }
        return;
    }
    size_t len = (size_t)snprintf(worker->why, sizeof worker->why, "%s · run %lld", text, (long long)worker->ended_run);
    if (worker->machine.state == REEVE_STATE_RESTARTING && len < sizeof worker->why) {
        len += (size_t)snprintf(worker->why + len, sizeof worker->why - len, " · restart in %s",
                                reeve_duration_human(worker->next_delay_ms, delay));
    } else if (worker->machine.state == REEVE_STATE_FAILED && len < sizeof worker->why) {
        len += (size_t)snprintf(worker->why + len, sizeof worker->why - len, " · gave up, `reset` starts afresh");
    }
    logs_last_line(worker, line, sizeof line);
    if (line[0] != '\0' && len < sizeof worker->why) {
        char quoted[200];
        (void)snprintf(worker->why + len, sizeof worker->why - len, " · last line: %s",
                       reeve_log_quote(line, quoted, sizeof quoted));
    }
}

// ---- the machine --------------------------------------------------------------------------------------------

static void tell_change(struct worker *worker, enum reeve_state from, const char *cause)
{
    enum reeve_state to = worker->machine.state;
    char quoted[256];
    reeve_log(REEVE_LOG_INFO, "worker", "worker=%s run=%lld from=%s to=%s cause=%s", worker->name,
              (long long)worker->last_run, reeve_state_text(from), reeve_state_text(to),
              reeve_log_quote(cause, quoted, sizeof quoted));
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", worker->name);
    reeve_put_int(detail, "run", worker->last_run);
    reeve_put_str(detail, "from", reeve_state_text(from));
    reeve_put_str(detail, "to", reeve_state_text(to));
    reeve_put_str(detail, "cause", cause);
    reeve_put_str_opt(detail, "why", worker->why);
    publish_event(worker->daemon, "worker_state", detail);
}

static void end_of_failed_start(struct worker *worker, const struct reeve_why *why);

static void effect_spawn(struct worker *worker)
{
    struct reeve_why why;
    worker->daemon->counters.spawns++;
    worker->next_start_at = 0;
    if (worker_spawn(worker, &why) != REEVE_OK) {
        worker->daemon->counters.spawn_failures++;
        end_of_failed_start(worker, &why);
        return;
    }
    if (worker->spec.ready.mode != REEVE_READY_IMMEDIATE) {
        reeve_timer_start(&worker->ready_timer, worker->spec.ready.timeout_ms, (uint64_t)worker->last_run);
    }
    if (worker->restarts != worker->stored_restarts) { // after the spawn: the disk is not on the way of a restart
        store_along(worker);
    }
    if (worker->spec.ttl_ms > 0 && worker->ttl_until_mono == 0) {
        worker_ttl_arm(worker, worker->spec.ttl_ms);
        store_along(worker);
    }
}

static void carry_out(struct worker *worker, unsigned effects)
{
    if (effects & REEVE_EFFECT_DISARM_BACKOFF) {
        reeve_timer_stop(&worker->backoff_timer);
        worker->next_start_at = 0;
    }
    if (effects & REEVE_EFFECT_ARM_BACKOFF) {
        worker->next_start_at = reeve_clock_wall_ms() + worker->next_delay_ms;
        reeve_timer_start(&worker->backoff_timer, worker->next_delay_ms, (uint64_t)worker->last_run);
    }
    if (effects & REEVE_EFFECT_FORGET_FAILURES) {
        reeve_backoff_forget(&worker->backoff);
    }
    if ((effects & REEVE_EFFECT_SIGNAL_STOP) && worker->run != NULL) {
        run_stop(worker->run, -1);
    }
    if ((effects & REEVE_EFFECT_SIGNAL_KILL) && worker->run != NULL) {
        run_kill(worker->run);
    }
    if (effects & REEVE_EFFECT_SPAWN) {
        effect_spawn(worker);
    }
}

// Timers that a state may own: leaving the state ends them.
static void drop_what_state_may_not_own(struct worker *worker)
{
    if (worker->machine.state != REEVE_STATE_STARTING) {
        reeve_timer_stop(&worker->ready_timer);
        probe_stop(worker);
    }
    if (worker->machine.state != REEVE_STATE_RUNNING) {
        probes_stop(worker);
    }
}

// No process without a lease [lease-2]: to the machine it is as if the run had ended before it began, by nobody's
// fault. It stays wanted, and the renewal that comes starts it.
static bool bar_without_lease(struct worker *worker, struct reeve_step *step)
{
    if (!(step->effects & REEVE_EFFECT_SPAWN) || worker_lease_permits(worker)) {
        return false;
    }
    (void)reeve_machine_step(&worker->machine, REEVE_EVENT_EXIT_FINAL); /* STARTING takes every exit */
    step->effects &= ~(unsigned)REEVE_EFFECT_SPAWN;
    step->changed = worker->machine.state != step->from;
    worker->next_start_at = 0;
    if (worker->daemon->leave_step == 0) {
        reeve_timer_start(&worker->daemon->heartbeat, 0, 0); // the manager answers a status: say one now
    }
    return true;
}

enum reeve_err worker_step(struct worker *worker, enum reeve_event event, const char *cause, struct reeve_why *why)
{
    struct reeve_step step = reeve_machine_step(&worker->machine, event);
    if (step.err != REEVE_OK) {
        return reeve_fail(why, step.err, "%s", step.reason);
    }
    const bool waited = worker->lease_waits;
    const bool barred = bar_without_lease(worker, &step);
    worker->lease_waits = barred || (waited && worker->machine.state == REEVE_STATE_STOPPED && worker->machine.wanted);
    if (step.changed || worker->lease_waits != waited) {
        compose_why(worker);
    }
    if (step.changed) {
        worker->since_at = reeve_clock_wall_ms();
        tell_change(worker, step.from, cause);
        drop_what_state_may_not_own(worker);
        if (worker->machine.state == REEVE_STATE_RUNNING) {
            probes_start(worker);
        }
        bool given_up = worker->machine.state == REEVE_STATE_FAILED || step.from == REEVE_STATE_FAILED;
        if (given_up || worker->machine.wanted != worker->stored_wanted) {
            store_along(worker);
        }
    }
    publish_mark(worker);
    carry_out(worker, step.effects);
    pending_worker_changed(worker);
    return REEVE_OK;
}

// A step that the world asks for: it can't be refused, and a refusal would be a hole in the machine's table.
static void step_by_itself(struct worker *worker, enum reeve_event event, const char *cause)
{
    struct reeve_why why;
    if (worker_step(worker, event, cause, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "worker", "worker=%s event=%s refused=\"%s\"", worker->name, reeve_event_text(event),
                  why.text);
    }
}

// ---- ends ---------------------------------------------------------------------------------------------------

static double dice(void)
{
    uint32_t random;
    reeve_random_bytes(&random, sizeof random);
    return (double)random / 4294967296.0;
}

static enum reeve_event what_end_means(struct worker *worker)
{
    bool asked = worker->machine.state == REEVE_STATE_STOPPING && !worker->machine.failing;
    if (asked || ended_by_lease(worker)) { // the end of a lease is nobody's failure
        return REEVE_EVENT_EXIT_FINAL;
    }
    struct reeve_backoff_policy policy = reeve_spec_backoff(&worker->spec);
    struct reeve_exit end = {.code = worker->exit.code,
                             .signal = worker->exit.signal,
                             .oom = worker->exit.oom,
                             .ran_ms = worker->exit.ran_ms};
    return reeve_backoff_next(&worker->backoff, &policy, &end, reeve_clock_mono_ms(), dice(), &worker->next_delay_ms);
}

static void cleanup_arm(struct worker *worker)
{
    worker->cleanup_due = true;
    reeve_timer_start(&worker->ttl_timer, worker->spec.cleanup_delay_ms, TTL_CLEANUP);
}

static void forget_worker(struct worker *worker)
{
    struct daemon *daemon = worker->daemon;
    char name[REEVE_NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s", worker->name);
    reeve_log(REEVE_LOG_INFO, "worker", "worker=%s removed=true", name);
    spawn_forget(worker);
    worker_free(worker);
    publish_worker_removed(daemon, name);
    pending_worker_removed(daemon, name);
    daemon_worker_gone(daemon);
}

// The worker has no process any more; `exit` says how it ended.
static void take_end(struct worker *worker)
{
    struct daemon *daemon = worker->daemon;
    worker->pid = 0;
    worker->ready_at = 0;
    worker->has_exit = true;
    worker->ended_run = worker->last_run;
    bool was_starting = worker->machine.state == REEVE_STATE_STARTING;
    enum reeve_event event = what_end_means(worker);
    if (event == REEVE_EVENT_EXIT_AGAIN) {
        worker->restarts++;
    }
    char cause[224];
    exit_text(worker, cause, sizeof cause);
    bool lease = ended_by_lease(worker);
    bool over_for_good = event == REEVE_EVENT_EXIT_FINAL && !lease && !worker->machine.then_start && !daemon->leaving;
    if (over_for_good && worker->machine.wanted) {
        worker->machine.wanted =
            false; // its policy says that it is finished; a restarted daemon must not start it again
        store_along(worker);
    }
    step_by_itself(worker, event, cause);
    if (was_starting && !worker->removing) {
        pending_worker_start_failed(worker, worker->why);
    }
    if (worker->removing) {
        forget_worker(worker);
        return;
    }
    bool over = worker->machine.state == REEVE_STATE_STOPPED;
    if (over && lease && worker->machine.wanted &&
        !daemon->leaving) { // with the next lease, which may be there already
        step_by_itself(worker, REEVE_EVENT_START, cause);
        over = false;
    }
    if (over && worker->spec.ttl_ms > 0 && !worker->cleanup_due && !daemon->leaving) {
        cleanup_arm(worker);
    }
    daemon_worker_gone(daemon);
}

// A start that failed before there was a process counts like an end with code 127.
static void end_of_failed_start(struct worker *worker, const struct reeve_why *why)
{
    worker->exit = (struct run_outcome){.code = 127, .ended_at = reeve_clock_wall_ms()};
    (void)snprintf(worker->exit.cause, sizeof worker->exit.cause, "exec");
    (void)snprintf(worker->exit.error, sizeof worker->exit.error, "%.158s", why->text);
    take_end(worker);
}

// ---- what the run tells -----------------------------------------------------------------------------------------

static void on_started(struct run *run, pid_t pid, uint64_t start_time, void *arg)
{
    struct worker *worker = arg;
    worker->adopting = false;
    worker->pid = pid;
    // The start time is in ticks since boot: also true for a run that was adopted.
    int64_t since_boot = (int64_t)start_time * 1000 / sysconf(_SC_CLK_TCK);
    worker->started_at = reeve_clock_wall_ms() - (reeve_clock_mono_ms() - since_boot);
    publish_mark(worker);
    if (worker->follow != NULL) { // somebody follows since an earlier run
        run_watch_log(run, true);
    }
    struct reeve_why why;
    if (worker->machine.state == REEVE_STATE_STARTING && probe_start(worker, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "worker", "worker=%s readiness=\"%s\" ignoring", worker->name, why.text);
    }
}

void worker_ready(struct worker *worker, const char *cause)
{
    if (worker->machine.state == REEVE_STATE_STARTING) {
        worker->ready_at = reeve_clock_wall_ms();
    }
    step_by_itself(worker, REEVE_EVENT_READY, cause);
}

static void on_ready(struct run *run, void *arg)
{
    (void)run;
    worker_ready(arg, "ready");
}

static void on_log_grew(struct run *run, void *arg)
{
    (void)run;
    probe_log_grew(arg);
    logs_grew(arg);
}

static void on_log_failed(struct run *run, const char *error, bool recovered, void *arg)
{
    (void)run;
    struct worker *worker = arg;
    worker->logs_failing = !recovered;
    reeve_log(recovered ? REEVE_LOG_INFO : REEVE_LOG_ERROR, "worker", "worker=%s logs=%s error=\"%s\"", worker->name,
              recovered ? "recovered" : "failing", error);
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", worker->name);
    reeve_put_str(detail, "error", error);
    publish_event(worker->daemon, recovered ? "log_recovered" : "log_failed", detail);
    publish_mark(worker);
}

static void on_ended(struct run *run, const struct run_outcome *outcome, void *arg)
{
    struct worker *worker = arg;
    struct daemon *daemon = worker->daemon;
    if (worker->run != run) {
        return;
    }
    worker->run = NULL; // freed when this handler returns
    worker->adopting = false;
    worker->exit = *outcome;
    daemon->counters.exits++;
    daemon->counters.oom_kills += outcome->oom;
    daemon->counters.lost_runs += strcmp(outcome->cause, "lost") == 0;
    take_end(worker);
}

const struct run_handlers worker_run_handlers = {
    .started = on_started,
    .ready = on_ready,
    .log_grew = on_log_grew,
    .log_failed = on_log_failed,
    .ended = on_ended,
};

// ---- timers -------------------------------------------------------------------------------------------------------

static void backoff_over(struct reeve_timer *timer, void *arg)
{
    struct worker *worker = arg;
    if (timer->generation == (uint64_t)worker->last_run) {
        step_by_itself(worker, REEVE_EVENT_BACKOFF_OVER, "back-off over");
    }
}

static void ready_late(struct reeve_timer *timer, void *arg)
{
    struct worker *worker = arg;
    if (timer->generation == (uint64_t)worker->last_run) {
        step_by_itself(worker, REEVE_EVENT_READY_TIMEOUT, "not ready in time");
    }
}

void worker_ttl_arm(struct worker *worker, int64_t left_ms)
{
    worker->ttl_until_mono = reeve_clock_mono_ms() + left_ms;
    reeve_timer_start(&worker->ttl_timer, left_ms, TTL_LIFE);
}

static void ttl_over(struct reeve_timer *timer, void *arg)
{
    struct worker *worker = arg;
    struct reeve_why why;
    if (timer->generation == TTL_CLEANUP) {
        reeve_log(REEVE_LOG_INFO, "worker", "worker=%s ttl=over cleanup=now", worker->name);
        (void)store_worker_remove(worker->daemon->store, worker->name, &why); /* the commit of the turn reports it */
        worker_remove(worker);
        return;
    }
    bool had_process = reeve_state_has_process(worker->machine.state);
    step_by_itself(worker, REEVE_EVENT_STOP, "ttl over");
    store_along(worker);
    if (!had_process) {
        cleanup_arm(worker);
    }
}

void worker_remove(struct worker *worker)
{
    worker->removing = true;
    if (reeve_state_has_process(worker->machine.state)) {
        step_by_itself(worker, REEVE_EVENT_STOP, "removed");
        return;
    }
    step_by_itself(worker, REEVE_EVENT_STOP, "removed");
    forget_worker(worker);
}

// ---- after a restart of the daemon ----------------------------------------------------------------------------------

static void adopt_ttl(struct worker *worker, const struct store_worker *stored)
{
    if (stored->ttl_until_boot <= 0) {
        return;
    }
    bool same_boot = reeve_str_eq(stored->ttl_boot_id, reeve_boot_id());
    int64_t left =
        same_boot ? stored->ttl_until_boot - reeve_clock_mono_ms() : stored->ttl_until_at - reeve_clock_wall_ms();
    // The wall clock may have jumped over a reboot: never longer than the whole life.
    left = left > worker->spec.ttl_ms ? worker->spec.ttl_ms : left;
    worker_ttl_arm(worker, left);
}

static void adopt_alive(struct worker *worker, struct run *run)
{
    worker->run = run;
    worker->adopting = true;
    worker->last_run = run_number(run);
    worker->ended_run = worker->last_run - 1;
    worker->machine.state = REEVE_STATE_STARTING; // `started` and `ready` follow from the loop
    reeve_log(REEVE_LOG_INFO, "worker", "worker=%s run=%lld adopted=true", worker->name, (long long)worker->last_run);
    if (worker->spec.ready.mode == REEVE_READY_LOG || worker->spec.ready.mode == REEVE_READY_TCP) {
        reeve_timer_start(&worker->ready_timer, worker->spec.ready.timeout_ms, (uint64_t)worker->last_run);
    }
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", worker->name);
    reeve_put_int(detail, "run", worker->last_run);
    publish_event(worker->daemon, "worker_adopted", detail);
    if (!worker->machine.wanted) {
        worker->machine.wanted = true; // so that the stop is a step like any other
        step_by_itself(worker, REEVE_EVENT_STOP, "was being stopped");
    }
}

// It ended while no daemon looked: report the true end, then go on as the policy says.
static void adopt_ended(struct worker *worker, const struct run_outcome *outcome, bool failed)
{
    worker->exit = *outcome;
    worker->has_exit = true;
    worker->ended_run = worker->last_run;
    if (failed) {
        return;
    }
    if (!worker->machine.wanted || worker->held) {
        worker->machine.state = REEVE_STATE_STOPPED;
        compose_why(worker);
        return;
    }
    // Asked to end by a daemon that left or died on the way to the next run: no failure.
    const bool asked =
        strcmp(outcome->cause, "stop") == 0 || strcmp(outcome->cause, "kill") == 0 || ended_by_lease(worker);
    const bool host = strcmp(outcome->cause, "host") == 0;
    if (asked || host) {
        worker->machine.state = REEVE_STATE_STOPPED;
        step_by_itself(worker, REEVE_EVENT_START, host ? "the host restarted" : "daemon started");
        return;
    }
    worker->machine.state = REEVE_STATE_RUNNING;
    take_end(worker);
}

void worker_adopt(struct worker *worker, const struct store_worker *stored)
{
    worker->machine.wanted = stored->wanted;
    worker->stored_wanted = stored->wanted;
    worker->last_run = stored->run;
    worker->ended_run = stored->run;
    worker->restarts = stored->restarts;
    worker->stored_restarts = stored->restarts;
    worker->created_at = stored->created_at;
    worker->spec_version = stored->version;
    (void)snprintf(worker->origin, sizeof worker->origin, "%s", stored->origin != NULL ? stored->origin : "command");
    if (stored->failed) {
        worker->machine.state = REEVE_STATE_FAILED;
        (void)snprintf(worker->why, sizeof worker->why, "%s", stored->failed_why != NULL ? stored->failed_why : "");
    }
    struct run_adopted adopted = {0};
    struct reeve_why why;
    if (run_adopt(&worker->daemon->runs, worker->name, worker, &adopted, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "worker", "worker=%s adopt=\"%s\"", worker->name, why.text);
    }
    worker->last_run = adopted.last_run > worker->last_run ? adopted.last_run : worker->last_run;
    adopt_ttl(worker, stored);
    if (adopted.run != NULL) {
        adopt_alive(worker, adopted.run);
    } else if (adopted.has_outcome) {
        adopt_ended(worker, &adopted.outcome, stored->failed);
    } else if (!stored->failed && stored->wanted && !worker->held) {
        step_by_itself(worker, REEVE_EVENT_START, "daemon started");
    } else if (!stored->failed) {
        worker->machine.state = stored->run > 0 ? REEVE_STATE_STOPPED : REEVE_STATE_CREATED;
    }
    publish_mark(worker);
}
