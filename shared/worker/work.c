// What the program tells about its work: declared checks, counters, progress of the job in hand.
// Kept as plain data and written into the status; status.c decides when that leaves.
// Must not: judge; a reader counts failing checks, and has its own clock for progress that stands still.
#include "worker.h"

#include <math.h>
#include <reeve/clock.h>
#include <stdio.h>
#include <string.h>

static struct worker_check *find(struct worker_work *work, const char *name)
{
    for (size_t i = 0; i < work->checks_len; i++) {
        if (strcmp(work->checks[i].name, name) == 0) {
            return &work->checks[i];
        }
    }
    return NULL;
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same_check(const struct worker_check *a, const struct worker_check *b)
{
    return a->ok == b->ok && same_number(a->value, b->value) && same_number(a->warn, b->warn) &&
           same_number(a->fail, b->fail) && strcmp(a->message, b->message) == 0;
}

enum reeve_err worker_work_check(struct worker_work *work, const struct worker_check *check, enum work_change *ret)
{
    struct worker_check *known = find(work, check->name);
    if (known == NULL && work->checks_len >= WORKER_CHECKS_MAX) {
        return REEVE_LIMIT;
    }
    if (known == NULL) {
        work->checks[work->checks_len++] = *check;
        *ret = check->ok ? WORK_CHANGED : WORK_TURNED;
        return REEVE_OK;
    }
    *ret = known->ok != check->ok ? WORK_TURNED : same_check(known, check) ? WORK_SAME : WORK_CHANGED;
    *known = *check;
    return REEVE_OK;
}

enum work_change worker_work_clear(struct worker_work *work, const char *name)
{
    struct worker_check *known = find(work, name);
    if (known == NULL) {
        return WORK_SAME;
    }
    enum work_change change = known->ok ? WORK_CHANGED : WORK_TURNED;
    size_t after = work->checks_len - (size_t)(known - work->checks) - 1;
    memmove(known, known + 1, after * sizeof *known);
    work->checks_len--;
    return change;
}

enum work_change worker_work_progress(struct worker_work *work, double fraction, const char *text, int64_t at)
{
    bool told = fraction >= 0; // false for NAN
    if (!told) {
        enum work_change change = work->progress_at == 0 ? WORK_SAME : WORK_CHANGED;
        work->progress_at = 0;
        return change;
    }
    double progress = fraction > 1 ? 1 : fraction;
    char cut[WORKER_TEXT_SIZE];
    (void)snprintf(cut, sizeof cut, "%s", text == NULL ? "" : text); /* cut is good enough to read */
    if (work->progress_at != 0 && work->progress == progress && strcmp(work->text, cut) == 0) {
        return WORK_SAME; // told again is no progress
    }
    work->progress = progress;
    memcpy(work->text, cut, sizeof cut);
    work->progress_at = at;
    return WORK_CHANGED;
}

static void put_real(struct reeve_value *map, const char *key, double number)
{
    if (isfinite(number)) {
        (void)reeve_value_put(map, key, reeve_value_float(number)); /* remembered: reeve_value_built() */
    }
}

struct reeve_value *worker_work_checks_value(const struct worker_work *work)
{
    struct reeve_value *list = work->checks_len == 0 ? NULL : reeve_value_list();
    for (size_t i = 0; list != NULL && i < work->checks_len; i++) {
        const struct worker_check *check = &work->checks[i];
        struct reeve_value *entry = reeve_value_map();
        if (entry != NULL) {
            reeve_put_str(entry, "name", check->name);
            reeve_put_bool(entry, "ok", check->ok);
            put_real(entry, "value", check->value);
            put_real(entry, "warn", check->warn);
            put_real(entry, "fail", check->fail);
            reeve_put_str_opt(entry, "message", check->message);
        }
        (void)reeve_value_add(list, entry); /* remembered: reeve_value_built() */
    }
    return list;
}

struct reeve_value *worker_work_value(const struct worker_work *work)
{
    bool nothing = work->done == 0 && work->failed == 0 && work->progress_at == 0;
    struct reeve_value *map = nothing ? NULL : reeve_value_map();
    if (map == NULL) {
        return NULL;
    }
    reeve_put_int(map, "done", work->done);
    reeve_put_int(map, "failed", work->failed);
    if (work->progress_at != 0) {
        put_real(map, "progress", work->progress);
        reeve_put_str_opt(map, "text", work->text);
        reeve_put_int(map, "progress_at", work->progress_at);
    }
    return map;
}

// ---- what the program says ---------------------------------------------------------------------------------------

static void publish(struct reeve_worker *worker, enum work_change change)
{
    if (change == WORK_TURNED) {
        worker_status_publish(worker);
    } else if (change == WORK_CHANGED) {
        worker_status_publish_work(worker);
    }
}

enum reeve_err reeve_worker_check(struct reeve_worker *worker, const char *name, bool ok, double value, double warn,
                                  double fail, const char *message)
{
    struct worker_check check = {.ok = ok, .value = value, .warn = warn, .fail = fail};
    enum work_change change = WORK_SAME;
    enum reeve_err err = reeve_name_check(name, NULL);
    if (err == REEVE_OK) {
        (void)snprintf(check.name, sizeof check.name, "%s", name); /* checked: it fits */
        (void)snprintf(check.message, sizeof check.message, "%s", message == NULL ? "" : message); /* cut */
        err = worker_work_check(&worker->status.work, &check, &change);
    }
    publish(worker, change);
    return err;
}

void reeve_worker_check_clear(struct reeve_worker *worker, const char *name)
{
    publish(worker, worker_work_clear(&worker->status.work, name));
}

void reeve_worker_count(struct reeve_worker *worker, int64_t done, int64_t failed)
{
    worker->status.work.done += done;
    worker->status.work.failed += failed;
    publish(worker, done == 0 && failed == 0 ? WORK_SAME : WORK_CHANGED);
}

void reeve_worker_set_progress(struct reeve_worker *worker, double fraction, const char *text)
{
    publish(worker, worker_work_progress(&worker->status.work, fraction, text, reeve_clock_wall_ms()));
}
