// Jobs that do on purpose what jobs do by accident, for tests of queues. Each run stands in `jobs_file`, as a line that
// a kill -9 of this process cuts off nowhere: what was really done, beside what a manager believes.
// Must not: need anything but a timer; a job that is told to end ends, unless it was asked to be stubborn.
#include "probe.h"

#include <reeve/log.h>
#include <reeve/loop.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define LINE_SIZE 1024

struct run { // of a job that stays
    struct reeve_timer timer;
    struct reeve_worker *worker;
    struct reeve_job *job;
    int64_t step, steps, ms;
    int64_t stubborn_ms;            // goes on for so long after it was told to end
    void (*go_on)(struct run *run); // when its time is over
    struct run *next;
};
static struct run *runs;

static int journal = -1; // jobs_file
static char journal_path[PATH_SIZE];

// ---- what was done
// -----------------------------------------------------------------------------------------------------------

static double monotonic(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* the clock that other programs of a test read */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void append(int fd, const char *line, int len)
{
    if (fd >= 0 && write(fd, line, (size_t)len) != len) {
        reeve_log(REEVE_LOG_ERROR, "probe", "err=\"%s\" a line of the jobs file is lost", strerror(errno));
    }
}

// `more` is what follows in the JSON object: `, "number": 3`.
static void say(struct reeve_worker *worker, const struct reeve_job *job, const char *event, const char *more)
{
    char line[LINE_SIZE];
    int len =
        snprintf(line, sizeof line,
                 "{\"event\": \"%s\", \"queue\": \"%s\", \"job\": \"%s\", \"attempt\": %lld, \"worker\": \"%s/%s\", "
                 "\"pid\": %d, \"at\": %.9f%s}\n",
                 event, reeve_job_queue(job), reeve_job_id(job), (long long)reeve_job_attempt(job),
                 reeve_worker_node(worker), reeve_worker_name(worker), (int)getpid(), monotonic(), more);
    append(journal, line, len < LINE_SIZE ? len : 0);
}

static void say_start(struct reeve_worker *worker, struct reeve_job *job)
{
    char more[128];
    const struct reeve_value *saved = reeve_job_checkpoint_value(job);
    int64_t step = reeve_get_int(saved, "step", -1);
    (void)snprintf(more, sizeof more,
                   step < 0 ? ", \"reconcile\": %s" : ", \"reconcile\": %s, \"checkpoint\": {\"step\": %lld}",
                   reeve_job_reconciling(job) ? "true" : "false", (long long)step);
    say(worker, job, "start", more);
}

static void say_end(struct reeve_worker *worker, const struct reeve_job *job, const char *outcome)
{
    char more[64];
    (void)snprintf(more, sizeof more, ", \"outcome\": \"%s\"", outcome); /* a word */
    say(worker, job, "end", more);
}

static enum reeve_err end_done(struct reeve_worker *worker, struct reeve_job *job, struct reeve_value *result)
{
    say_end(worker, job, "done");
    return reeve_job_done(job, result);
}

static enum reeve_err end_retry(struct reeve_worker *worker, struct reeve_job *job, const char *error, int64_t delay_ms)
{
    struct reeve_why why = {0};
    say_end(worker, job, "retry");
    (void)reeve_fail(&why, REEVE_INTERNAL, "%s", error); /* only its text */
    return reeve_job_retry(job, &why, delay_ms);
}

static _Noreturn void die(void)
{
    (void)kill(getpid(), SIGKILL); /* does not come back */
    abort();
}

// Once for each name, whichever process asks: dies the first time.
static void die_once(const struct reeve_job *job, int64_t number)
{
    char path[PATH_SIZE + 128];
    (void)snprintf(path, sizeof path, "%s.%s.%lld", journal_path, reeve_job_id(job), (long long)number); /* fits */
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd >= 0) {
        die();
    }
}

// ---- a job that stays
// ---------------------------------------------------------------------------------------------------------

static void closed(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* inside of arg */
    free(arg);
}

static void leave(struct run *run)
{
    struct run **at = &runs;
    while (*at != run) {
        at = &(*at)->next;
    }
    *at = run->next;
    reeve_timer_close(&run->timer, closed);
}

static void on_time(struct reeve_timer *timer, void *arg)
{
    struct run *run = arg;
    (void)timer; /* inside of arg */
    run->go_on(run);
}

static struct run *stay(struct reeve_worker *worker, struct reeve_job *job, void (*go_on)(struct run *run),
                        struct reeve_why *why)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        (void)reeve_fail(why, REEVE_NOMEM, "no memory"); /* NULL says it */
        return NULL;
    }
    *run = (struct run){.worker = worker, .job = job, .go_on = go_on, .next = runs};
    runs = run;
    run->stubborn_ms = (int64_t)(1000 * reeve_value_real(reeve_value_get(reeve_job_payload(job), "stubborn"), 0));
    reeve_timer_init(reeve_worker_loop(worker), &run->timer, on_time, run);
    reeve_job_set_data(job, run);
    say_start(worker, job);
    return run;
}

static void give_up(struct run *run)
{
    struct reeve_job *job = run->job;
    say_end(run->worker, job, "cancelled");
    leave(run);
    (void)reeve_job_cancelled(job); /* always OK */
}

static void cancel(struct reeve_worker *worker, struct reeve_job *job, const char *reason, int64_t grace_ms)
{
    char more[128];
    struct run *run = reeve_job_data(job);
    (void)grace_ms;                                                       /* at once, or not at all */
    (void)snprintf(more, sizeof more, ", \"reason\": \"%.40s\"", reason); /* fits */
    say(worker, job, "cancel", more);
    if (run != NULL && run->stubborn_ms > 0) {
        run->go_on = give_up;
        reeve_timer_start(&run->timer, run->stubborn_ms, 0);
    } else if (run != NULL) {
        give_up(run);
    }
}

static void finish(struct run *run)
{
    struct reeve_worker *worker = run->worker;
    struct reeve_job *job = run->job;
    struct reeve_value *result = reeve_value_map();
    if (result != NULL) {
        reeve_put_int(result, "attempt", reeve_job_attempt(job));
        reeve_put_int(result, "steps", run->steps);
    }
    leave(run);
    (void)end_done(worker, job, result); /* always OK */
}

static enum reeve_err run_sleep(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    struct run *run = stay(worker, job, finish, why);
    if (run == NULL) {
        return REEVE_NOMEM;
    }
    reeve_timer_start(&run->timer, reeve_get_int(reeve_job_payload(job), "ms", 100), 0);
    return REEVE_OK;
}

static enum reeve_err run_hold(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    return stay(worker, job, finish, why) == NULL ? REEVE_NOMEM : REEVE_OK;
}

// ---- jobs that end at once
// ------------------------------------------------------------------------------------------------------

static enum reeve_err run_echo(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    size_t len;
    const void *payload = reeve_job_payload_bytes(job, &len);
    (void)why; /* can't fail */
    if (journal >= 0) {
        say_start(worker, job);
        say_end(worker, job, "done");
    }
    return reeve_job_done_bytes(job, payload, len);
}

static enum reeve_err run_fail(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    const struct reeve_value *payload = reeve_job_payload(job);
    const char *error = reeve_get_str(payload, "error");
    bool always = reeve_get_bool(payload, "always", false);
    say_start(worker, job);
    (void)reeve_fail(why, REEVE_INTERNAL, "%s", error == NULL ? "as told" : error); /* only its text */
    if (reeve_get_bool(payload, "for_good", false)) {
        say_end(worker, job, "failed");
        return reeve_job_fail(job, why);
    }
    if (always || reeve_job_attempt(job) <= reeve_get_int(payload, "times", 1)) {
        return end_retry(worker, job, why->text, reeve_get_int(payload, "delay_ms", -1));
    }
    return end_done(worker, job, NULL);
}

// With the job in hand, at once or after a while; later attempts than `attempts` are done.
static void exit_now(struct run *run)
{
    (void)run; /* nothing is tidied up */
    die();
}

static enum reeve_err run_exit(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    const struct reeve_value *payload = reeve_job_payload(job);
    bool dies = reeve_job_attempt(job) <= reeve_get_int(payload, "attempts", INT64_MAX);
    struct run *run = stay(worker, job, dies ? exit_now : finish, why);
    if (run == NULL) {
        return REEVE_NOMEM;
    }
    reeve_timer_start(&run->timer, reeve_get_int(payload, "ms", 0), 0);
    return REEVE_OK;
}

static enum reeve_err run_log(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    const char *line = reeve_get_str(reeve_job_payload(job), "line");
    int64_t lines = reeve_get_int(reeve_job_payload(job), "lines", 1);
    (void)why; /* can't fail */
    say_start(worker, job);
    for (int64_t i = 0; i < lines; i++) {
        char text[LINE_SIZE];
        (void)snprintf(text, sizeof text, "%s %lld", line == NULL ? "line" : line, (long long)i + 1); /* cut */
        (void)reeve_job_log(job, text); /* bounded: what is too much is counted */
    }
    (void)reeve_job_progress(job, 1, "logged"); /* may be dropped */
    return end_done(worker, job, NULL);
}

// ---- steps: each is written down, then kept as a checkpoint
// ------------------------------------------------------------------------

static bool listed(const struct reeve_value *list, int64_t number)
{
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        if (reeve_value_number(reeve_value_at(list, i), -1) == number) {
            return true;
        }
    }
    return false;
}

static void write_step(const struct run *run)
{
    const char *path = reeve_get_str(reeve_job_payload(run->job), "file");
    char line[LINE_SIZE];
    if (path == NULL) {
        return;
    }
    int fd = open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0644);
    int len = snprintf(line, sizeof line, "%s %lld %lld\n", reeve_job_id(run->job),
                       (long long)reeve_job_attempt(run->job), (long long)run->step);
    append(fd, line, len);
    if (fd >= 0) {
        (void)close(fd); /* appended */
    }
}

static void on_step_stored(struct reeve_worker *worker, struct reeve_job *job, enum reeve_err err, void *arg)
{
    struct run *run = arg;
    char more[64];
    if (err != REEVE_OK) {
        return; // whoever took it away says so by `cancel`
    }
    (void)snprintf(more, sizeof more, ", \"number\": %lld", (long long)run->step); /* fits */
    say(worker, job, "checkpoint", more);
    if (listed(reeve_value_get(reeve_job_payload(job), "die_after"), run->step)) {
        die_once(job, run->step);
    }
    if (run->step >= run->steps) {
        finish(run);
    } else {
        reeve_timer_start(&run->timer, run->ms, 0);
    }
}

static void next_step(struct run *run)
{
    struct reeve_why why = {0};
    struct reeve_value *data = reeve_value_map();
    char text[64];
    run->step++;
    write_step(run);
    (void)snprintf(text, sizeof text, "step %lld", (long long)run->step);             /* fits */
    (void)reeve_job_progress(run->job, (double)run->step / (double)run->steps, text); /* may be dropped */
    if (data != NULL) {
        reeve_put_int(data, "step", run->step);
    }
    if (reeve_job_checkpoint(run->job, data, on_step_stored, run, &why) != REEVE_OK) {
        struct run gone = *run;
        leave(run);
        (void)end_retry(gone.worker, gone.job, why.text, -1); /* always OK */
    }
}

static enum reeve_err run_steps(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    const struct reeve_value *payload = reeve_job_payload(job);
    int64_t steps = reeve_get_int(payload, "steps", reeve_get_int(payload, "n", 5));
    struct run *run = stay(worker, job, next_step, why);
    if (run == NULL) {
        return REEVE_NOMEM;
    }
    run->step = reeve_get_int(reeve_job_checkpoint_value(job), "step", 0);
    run->steps = steps;
    run->ms = reeve_get_int(payload, "ms", 0);
    if (run->step >= steps) { // all of them were done, but nobody heard of the end
        finish(run);
    } else {
        reeve_timer_start(&run->timer, run->ms, 0);
    }
    return REEVE_OK;
}

// ---- pay: past its point of no return the file is the only truth
// ----------------------------------------------------------------

// In the file of its own, or, without one, in the jobs file: where a worker in another language wrote it.
static bool tells_payment(const char *line, const char *id)
{
    char word[128];
    (void)snprintf(word, sizeof word, "paid %s ", id); /* fits */
    if (strncmp(line, word, strlen(word)) == 0) {
        return true;
    }
    (void)snprintf(word, sizeof word, "\"job\": \"%s\"", id); /* fits */
    return strstr(line, "\"event\": \"paid\"") != NULL && strstr(line, word) != NULL;
}

static bool paid(struct reeve_job *job)
{
    char line[LINE_SIZE];
    const char *path = reeve_get_str(reeve_job_payload(job), "file");
    FILE *file = fopen(path == NULL ? journal_path : path, "re");
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found = tells_payment(line, reeve_job_id(job));
    }
    if (file != NULL) {
        (void)fclose(file); /* only read */
    }
    return found;
}

static void pay(struct reeve_worker *worker, struct reeve_job *job)
{
    char line[LINE_SIZE];
    const char *path = reeve_get_str(reeve_job_payload(job), "file");
    int fd = path == NULL ? -1 : open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0644);
    int len = snprintf(line, sizeof line, "paid %s %lld\n", reeve_job_id(job), (long long)reeve_job_attempt(job));
    append(fd, line, len);
    if (fd >= 0) {
        (void)close(fd); /* appended */
    }
    say(worker, job, "paid", "");
}

static void on_no_return(struct reeve_worker *worker, struct reeve_job *job, enum reeve_err err, void *arg)
{
    struct run *run = arg;
    const char *crash = reeve_get_str(reeve_job_payload(job), "crash");
    if (err != REEVE_OK) {
        return; // whoever took it away says so by `cancel`
    }
    say(worker, job, "no_return", "");
    if (reeve_str_eq(crash, "before")) {
        die_once(job, 0);
    }
    pay(worker, job);
    if (reeve_str_eq(crash, "after")) {
        die_once(job, 1);
    }
    finish(run);
}

static enum reeve_err run_pay(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    struct run *run = stay(worker, job, finish, why);
    enum reeve_err err = run == NULL ? REEVE_NOMEM : reeve_job_no_return(job, NULL, on_no_return, run, why);
    if (err != REEVE_OK && run != NULL) {
        leave(run);
    }
    return err;
}

static enum reeve_err reconcile_pay(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    (void)why; /* can't fail */
    say_start(worker, job);
    if (reeve_job_attempt(job) < reeve_get_int(reeve_job_payload(job), "ask_again", 0)) {
        return end_retry(worker, job, "the bank does not answer", 50);
    }
    if (paid(job)) {
        return end_done(worker, job, NULL);
    }
    say_end(worker, job, "not_done");
    return reeve_job_not_done(job);
}

void probe_jobs_stop(void)
{
    while (runs != NULL) {
        struct run gone = *runs;
        leave(runs);
        (void)end_retry(gone.worker, gone.job, "the worker leaves", -1); /* always OK */
    }
}

// ---- the table, and what it needs
// ------------------------------------------------------------------------------------------------

const struct reeve_worker_job_type probe_job_types[] = {
    {.type = "echo", .run = run_echo},
    {.type = "sleep", .run = run_sleep, .cancel = cancel},
    {.type = "hold", .run = run_hold, .cancel = cancel},
    {.type = "fail", .run = run_fail},
    {.type = "exit", .run = run_exit},
    {.type = "log", .run = run_log},
    {.type = "steps", .run = run_steps, .cancel = cancel},
    {.type = "pay", .run = run_pay, .cancel = cancel, .reconcile = reconcile_pay},
    {0},
};

static enum reeve_err open_journal(const char *path, struct reeve_why *why)
{
    if (strlen(path) >= sizeof journal_path) {
        return reeve_fail(why, REEVE_INVALID, "jobs_file: the path is too long");
    }
    (void)snprintf(journal_path, sizeof journal_path, "%s", path); /* fits */
    journal = open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0644);
    return journal < 0 ? reeve_fail_errno(why, "%s", path) : REEVE_OK;
}

enum reeve_err probe_jobs_start(struct reeve_worker *worker, const struct probe_config *config, struct reeve_why *why)
{
    const struct probe_queue *queues = config->queues.items;
    enum reeve_err err = config->jobs_file == NULL ? REEVE_OK : open_journal(config->jobs_file, why);
    for (size_t i = 0; err == REEVE_OK && i < config->queues.len; i++) {
        struct reeve_worker_queue queue = {
            .queue = queues[i].queue, .concurrency = queues[i].concurrency, .prefetch = queues[i].prefetch};
        err = reeve_worker_serve(worker, &queue, why);
    }
    return err;
}
