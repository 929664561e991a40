// Wires a process to a job: its lines become progress and checkpoints, its end the job's end.
// Checkpoints: one is on its way at a time, and the newest waits behind it; what it replaced is stored with it. The
// process is told of each on its descriptor 3. The job is held until the process and all that it started are gone. Must
// not: end a job while something of its attempt still runs.
#include "attempt.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/log.h>
#include <reeve/loop.h>
#include <reeve/units.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "environment.h"
#include "lines.h"
#include "output.h"
#include "template.h"

#define NOT_OURS_GRACE_MS 1000         // another attempt may run already: just enough to tidy up
#define SDK_MARGIN_MS     INT64_C(250) // dead before the SDK gives up on it

// Who ended it, when it was not the command itself.
enum cause { CAUSE_NONE, CAUSE_CANCELLED, CAUSE_TIMEOUT, CAUSE_STOP, CAUSE_NOT_OURS, CAUSE_REFUSED, CAUSE_WRONG };

struct checkpoints {
    int64_t seen;   // lines of the command, the n-th is "ok n"
    int64_t stored; // all up to it
    int64_t on_way; // the one that is being stored, and all before it; 0 = none
    bool waiting;   // `data` is to follow
    bool no_return; // of what waits
    struct reeve_value *data;
};
struct attempt {
    struct reeve_worker *worker;
    struct reeve_job *job;
    struct commands *commands;
    const struct command_row *row;
    struct process *process;
    struct output output;
    struct lines lines;
    struct reeve_timer timeout;
    struct checkpoints checkpoints;
    enum cause cause;
    char reason[200]; // of CAUSE_REFUSED, CAUSE_WRONG
    bool reconciling;
    int64_t began_mono;
};

static void free_attempt(struct attempt *attempt)
{
    output_done(&attempt->output);
    reeve_value_free(attempt->checkpoints.data);
    commands_unref(attempt->commands);
    free(attempt);
}

static void on_timeout_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* a part of the attempt */
    free_attempt(arg);
}

// ---- ending it
// -------------------------------------------------------------------------------------------------------

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// The first cause counts.
static void end_it(struct attempt *attempt, enum cause cause, int64_t grace_ms)
{
    if (attempt->cause == CAUSE_NONE) {
        attempt->cause = cause;
    }
    process_stop(attempt->process, lesser(grace_ms, attempt->row->command.grace_ms));
}

static void give_up(struct attempt *attempt, enum cause cause, const char *what, const struct reeve_why *why)
{
    if (attempt->cause == CAUSE_NONE) {
        attempt->cause = cause;
        (void)snprintf(attempt->reason, sizeof attempt->reason, "%s: %s", what, why->text); // cut where it has to be
        (void)reeve_job_log(attempt->job, attempt->reason); /* the reason tells it as well */
    }
    process_kill(attempt->process); // it must not go on as if nothing had happened
}

void attempt_cancel(struct reeve_job *job, const char *reason, int64_t grace_ms)
{
    static const struct {
        const char *reason;
        enum cause cause;
    } rows[] = {{"cancelled", CAUSE_CANCELLED}, {"timeout", CAUSE_TIMEOUT}, {"stop", CAUSE_STOP}};
    struct attempt *attempt = reeve_job_data(job);
    enum cause cause = CAUSE_NOT_OURS; // fenced, lease
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        cause = reeve_str_eq(reason, rows[i].reason) ? rows[i].cause : cause;
    }
    const int64_t grace = cause == CAUSE_NOT_OURS        ? lesser(grace_ms, NOT_OURS_GRACE_MS)
                          : grace_ms > 2 * SDK_MARGIN_MS ? grace_ms - SDK_MARGIN_MS
                                                         : grace_ms / 2;
    end_it(attempt, cause, grace);
}

static void on_timeout(struct reeve_timer *timer, void *arg)
{
    struct attempt *attempt = arg;
    (void)timer; /* a part of the attempt */
    end_it(attempt, CAUSE_TIMEOUT, attempt->row->command.grace_ms);
}

// ---- lines for us
// ----------------------------------------------------------------------------------------------------

static void send_checkpoint(struct attempt *attempt, bool last);

static void answer(struct attempt *attempt, int64_t number, const char *mistake)
{
    char line[160];
    if (mistake == NULL) {
        (void)snprintf(line, sizeof line, "ok %" PRId64 "\n", number); // fits
    } else {
        (void)snprintf(line, sizeof line, "error %" PRId64 " %.100s\n", number, mistake); // fits
    }
    (void)process_ack(attempt->process, line); /* one that never reads has no use for it */
}

static void on_stored(struct reeve_worker *worker, struct reeve_job *job, enum reeve_err err, void *arg)
{
    struct attempt *attempt = arg;
    struct checkpoints *checkpoints = &attempt->checkpoints;
    (void)worker; /* the attempt's */
    (void)job;
    if (err != REEVE_OK) {
        const struct reeve_why why = {.text = "it could not be stored, the job is not this worker's any more"};
        give_up(attempt, CAUSE_NOT_OURS, "checkpoint", &why);
        return;
    }
    while (checkpoints->stored < checkpoints->on_way) {
        answer(attempt, ++checkpoints->stored, NULL);
    }
    checkpoints->on_way = 0;
    send_checkpoint(attempt, false);
}

// The last one of an attempt that ends is not waited for: it travels before the end, in order.
static void send_checkpoint(struct attempt *attempt, bool last)
{
    struct checkpoints *checkpoints = &attempt->checkpoints;
    struct reeve_why why = {0};
    if (!checkpoints->waiting || (checkpoints->on_way != 0 && !last)) {
        return;
    }
    struct reeve_value *data = reeve_value_take(&checkpoints->data);
    const bool no_return = checkpoints->no_return;
    checkpoints->waiting = checkpoints->no_return = false;
    checkpoints->on_way = checkpoints->seen;
    enum reeve_err err =
        (no_return ? reeve_job_no_return : reeve_job_checkpoint)(attempt->job, data, on_stored, attempt, &why);
    if (err == REEVE_OK) {
        return;
    }
    checkpoints->on_way = 0;
    if (no_return || err == REEVE_CONFLICT || err == REEVE_CANCELLED) {
        give_up(attempt, err == REEVE_UNSUPPORTED ? CAUSE_WRONG : CAUSE_REFUSED, no_return ? "no_return" : "checkpoint",
                &why);
        return;
    }
    // It works on from an older one; what it did since then is done again after a loss, nothing worse.
    (void)reeve_job_log(attempt->job, why.text);
    reeve_log(REEVE_LOG_WARNING, "job", "job=%s why=\"%s\" checkpoint not stored, ignoring", reeve_job_id(attempt->job),
              why.text);
    while (checkpoints->stored < checkpoints->seen) {
        answer(attempt, ++checkpoints->stored, why.text);
    }
}

static void take_checkpoint(struct attempt *attempt, struct output_line *line)
{
    struct checkpoints *checkpoints = &attempt->checkpoints;
    checkpoints->seen++;
    if (line->data != NULL || !checkpoints->waiting) {
        reeve_value_free(checkpoints->data);
        checkpoints->data = reeve_value_take(&line->data);
    }
    checkpoints->waiting = true;
    checkpoints->no_return = checkpoints->no_return || line->kind == OUTPUT_NO_RETURN;
    send_checkpoint(attempt, false);
}

static void refuse_line(struct attempt *attempt, const struct output_line *line)
{
    static const char *const names[] = {"progress", "checkpoint", "no_return"};
    struct reeve_why why = {0};
    char text[300];
    (void)snprintf(text, sizeof text, "::%s: %.200s", names[line->kind], line->mistake); // cut where it has to be
    reeve_log(REEVE_LOG_WARNING, "job", "job=%s why=\"%s\" line ignoring", reeve_job_id(attempt->job), text);
    (void)reeve_job_log(attempt->job, text); /* counted */
    if (line->kind == OUTPUT_NO_RETURN) {
        (void)reeve_fail(&why, REEVE_INVALID, "%s", line->mistake); /* as a reason */
        give_up(attempt, CAUSE_WRONG, "no_return", &why);
    } else if (line->kind == OUTPUT_CHECKPOINT) {
        answer(attempt, ++attempt->checkpoints.seen, line->mistake);
        attempt->checkpoints.stored += attempt->checkpoints.stored == attempt->checkpoints.seen - 1 ? 1 : 0;
    }
}

static void on_line(struct output_line *line, void *arg)
{
    struct attempt *attempt = arg;
    if (line->mistake != NULL) {
        refuse_line(attempt, line);
    } else if (line->kind == OUTPUT_PROGRESS) {
        (void)reeve_job_progress(attempt->job, line->progress, line->text); /* may be dropped */
    } else {
        take_checkpoint(attempt, line);
    }
}

static void on_out(struct process *process, const char *data, size_t len, void *arg)
{
    (void)process; /* the attempt's */
    output_feed(&((struct attempt *)arg)->output, data, len);
}

// ---- stderr
// ----------------------------------------------------------------------------------------------------------

static void say_line(const char *line, void *arg)
{
    const struct attempt *attempt = arg;
    reeve_log(REEVE_LOG_INFO, "job", "job=%s attempt=%" PRId64 " stderr: %s", reeve_job_id(attempt->job),
              reeve_job_attempt(attempt->job), line);
}

static void keep_line(const char *line, void *arg)
{
    (void)reeve_job_log(((struct attempt *)arg)->job, line); /* counted */
}

static void on_err(struct process *process, const char *data, size_t len, void *arg)
{
    (void)process; /* the attempt's */
    lines_feed(&((struct attempt *)arg)->lines, data, len, reeve_clock_mono_ms());
}

// ---- the end
// ---------------------------------------------------------------------------------------------------------

static void end_done(struct attempt *attempt)
{
    struct reeve_value *result = NULL;
    if (output_result(&attempt->output, (enum output_as)attempt->row->command.output, &result) != REEVE_OK) {
        (void)reeve_job_log(attempt->job, "no memory for the result"); /* what is done is done */
    }
    if (output_is_cut(&attempt->output)) {
        char text[120];
        (void)snprintf(text, sizeof text, "the result is cut: %zu of %" PRIu64 " bytes", attempt->output.result.len,
                       attempt->output.result_bytes); // fits
        (void)reeve_job_log(attempt->job, text);      /* counted */
    }
    (void)reeve_job_done(attempt->job, result); /* always OK */
}

// "exit:3: the last line of stderr"
static void explain(const struct attempt *attempt, const struct guard_word *end, struct reeve_why *why)
{
    const char *name = end->signal == 0 ? NULL : sigabbrev_np(end->signal);
    if (end->error[0] != '\0') {
        (void)reeve_fail(why, REEVE_IO, "%s", end->error); /* as a reason */
        return;
    }
    if (end->signal != 0) {
        (void)snprintf(why->place, sizeof why->place, "signal:%s%s", name == NULL ? "?" : name,
                       end->core ? " (core)" : ""); // fits
    } else {
        (void)snprintf(why->place, sizeof why->place, "exit:%d", end->code); // fits
    }
    (void)snprintf(why->text, sizeof why->text, "%s",
                   attempt->lines.last[0] == '\0' ? "nothing on stderr" : attempt->lines.last);
}

static void end_by_code(struct attempt *attempt, const struct guard_word *end)
{
    struct reeve_why why = {0};
    const bool ran = end->error[0] == '\0' && end->signal == 0;
    const enum exit_meaning meaning =
        ran ? exits_of(&attempt->row->exits, end->code, attempt->reconciling) : MEANS_RETRY;
    explain(attempt, end, &why);
    switch (meaning) {
    case MEANS_DONE:
        end_done(attempt);
        break;
    case MEANS_RETRY:
        (void)reeve_job_retry(attempt->job, &why, -1); /* always OK */
        break;
    case MEANS_FAIL:
        (void)reeve_job_fail(attempt->job, &why); /* always OK */
        break;
    case MEANS_NOT_DONE:
        (void)reeve_job_not_done(attempt->job); /* always OK */
        break;
    }
}

static void end_by_cause(struct attempt *attempt)
{
    struct reeve_why why = {0};
    char ran[REEVE_UNITS_TEXT_LEN];
    switch (attempt->cause) {
    case CAUSE_TIMEOUT:
        (void)reeve_fail(&why, REEVE_TIMEOUT, "timeout: ended after %s",
                         reeve_duration_human(reeve_clock_mono_ms() - attempt->began_mono, ran)); /* as a reason */
        (void)reeve_job_retry(attempt->job, &why, -1);                                            /* always OK */
        break;
    case CAUSE_STOP:
        (void)reeve_fail(&why, REEVE_CANCELLED, "the worker leaves"); /* as a reason */
        (void)reeve_job_retry(attempt->job, &why, 0);                 /* always OK */
        break;
    case CAUSE_REFUSED:
        (void)reeve_fail(&why, REEVE_CONFLICT, "%s", attempt->reason); /* as a reason */
        (void)reeve_job_retry(attempt->job, &why, -1);                 /* always OK */
        break;
    case CAUSE_WRONG:
        (void)reeve_fail(&why, REEVE_INVALID, "%s", attempt->reason); /* as a reason */
        (void)reeve_job_fail(attempt->job, &why);                     /* always OK */
        break;
    case CAUSE_NONE:
    case CAUSE_CANCELLED:
    case CAUSE_NOT_OURS:                         // what is said is dropped, the job was another's
        (void)reeve_job_cancelled(attempt->job); /* always OK */
        break;
    }
}

static void on_ended(struct process *process, const struct guard_word *end, void *arg)
{
    struct attempt *attempt = arg;
    (void)process; /* void after this */
    output_end(&attempt->output);
    lines_end(&attempt->lines);
    reeve_log(REEVE_LOG_DEBUG, "job",
              "job=%s attempt=%" PRId64 " pid=%d exit=%d signal=%d user_ms=%" PRId64 " system_ms=%" PRId64
              " memory=%" PRId64 " left_behind=%d ended",
              reeve_job_id(attempt->job), reeve_job_attempt(attempt->job), end->pid, end->code, end->signal,
              end->user_ms, end->system_ms, end->memory_bytes, end->left_behind);
    const bool told = end->told;
    attempt->cause = told && attempt->cause == CAUSE_NONE ? CAUSE_STOP : attempt->cause; // all are killed, at the end
    send_checkpoint(attempt, true);
    if (told) {
        end_by_cause(attempt);
    } else {
        end_by_code(attempt, end); // also when it ended by itself just before it would have been told
    }
    attempt->job = NULL;
    reeve_timer_close(&attempt->timeout, on_timeout_closed);
}

// ---- the start
// -------------------------------------------------------------------------------------------------------

static enum reeve_err make_plan(const struct attempt *attempt, struct reeve_strv *argv, struct reeve_strv *env,
                                struct process_plan *plan, struct reeve_why *why)
{
    struct reeve_job *job = attempt->job;
    const struct command *command = &attempt->row->command;
    const struct template_values values = {.id = reeve_job_id(job),
                                           .type = reeve_job_type(job),
                                           .queue = reeve_job_queue(job),
                                           .attempt = reeve_job_attempt(job),
                                           .payload = reeve_job_payload(job),
                                           .checkpoint = reeve_job_checkpoint_value(job)};
    enum reeve_err err =
        template_fill_all(attempt->reconciling ? &command->reconcile : &command->argv, &values, argv, why);
    if (err == REEVE_OK) {
        err = environment_make(command, &values, attempt->reconciling, env, why);
    }
    if (err == REEVE_OK) {
        err = environment_input(command, values.payload, &plan->input, &plan->input_len, why);
    }
    plan->argv = argv;
    plan->env = env;
    plan->cwd = command->cwd;
    plan->limits = &command->limits;
    return err;
}

static struct attempt *make_attempt(struct reeve_worker *worker, struct commands *commands,
                                    const struct command_row *row, struct reeve_job *job)
{
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL) {
        return NULL;
    }
    attempt->worker = worker;
    attempt->job = job;
    attempt->commands = commands_ref(commands);
    attempt->row = row;
    attempt->reconciling = reeve_job_reconciling(job);
    attempt->began_mono = reeve_clock_mono_ms();
    output_init(&attempt->output, (size_t)row->command.output_max_bytes, on_line, attempt);
    lines_init(&attempt->lines, say_line, keep_line, attempt, attempt->began_mono);
    return attempt;
}

static enum reeve_err start_process(struct attempt *attempt, struct processes *processes, struct process_plan *plan,
                                    struct reeve_why *why)
{
    static const struct process_watch watch = {.out = on_out, .err = on_err, .ended = on_ended};
    enum reeve_err err = process_start(processes, plan, &watch, attempt, &attempt->process, why);
    if (err != REEVE_OK) {
        return err;
    }
    reeve_job_set_data(attempt->job, attempt);
    reeve_timer_init(reeve_worker_loop(attempt->worker), &attempt->timeout, on_timeout, attempt);
    if (attempt->row->command.timeout_ms > 0) {
        reeve_timer_start(&attempt->timeout, attempt->row->command.timeout_ms, 0);
    }
    return REEVE_OK;
}

enum reeve_err attempt_start(struct reeve_worker *worker, struct processes *processes, struct commands *commands,
                             struct reeve_job *job, struct reeve_why *why)
{
    const struct command_row *row = commands_find(commands, reeve_job_type(job));
    REEVE_STRV_AUTO argv = {0}, env = {0};
    struct process_plan plan = {0};
    if (row == NULL) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "this worker has no command for jobs of type %s",
                          reeve_job_type(job));
    }
    struct attempt *attempt = make_attempt(worker, commands, row, job);
    if (attempt == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the attempt");
    }
    enum reeve_err err = make_plan(attempt, &argv, &env, &plan, why);
    const bool wrong = err != REEVE_OK && err != REEVE_NOMEM;
    if (err == REEVE_OK) {
        err = start_process(attempt, processes, &plan, why);
    }
    free(plan.input); // NULL once it was started
    if (err == REEVE_OK) {
        return REEVE_OK;
    }
    free_attempt(attempt);
    return wrong ? reeve_job_fail(job, why) : err; // another attempt would find the same job
}
