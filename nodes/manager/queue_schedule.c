// Jobs by the clock [job-15]: a schedule enqueues at the times of its cron expression. The job's id holds the time it
// was due, so no restart does it twice; what is stored says which time was looked at last. Must not: know when a cron
// expression fires (cron.h), or start jobs.
#include "cron.h"
#include "queue_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

struct schedule {
    const struct reeve_schedule *spec; // of the queue's spec
    struct cron *cron;                 // NULL: its expression was refused
    int64_t last_at;                   // the last time that was dealt with; wall
    int64_t fired_at;                  // the last one of which there is a job; 0 = none
    int64_t next_at;                   // -1 = never again
    bool stored, told;                 // told: why the one that is due can't be enqueued
};

enum { OVERLAP_SKIP, OVERLAP_ALLOW };
enum { MISSED_SKIP, MISSED_ONCE };

enum reeve_err schedules_check(const struct reeve_queue_spec *spec, struct reeve_why *why)
{
    const struct reeve_schedule *items = spec->schedules.items;
    for (size_t i = 0; i < spec->schedules.len; i++) {
        struct cron *cron = NULL;
        struct reeve_why own = {0};
        enum reeve_err err = cron_new(items[i].cron, items[i].time_zone, &cron, &own);
        if (err != REEVE_OK) {
            char place[64];
            (void)snprintf(place, sizeof place, "args.schedules[%zu].cron", i); /* fits */
            return reeve_fail_at(why, err, place, "%s", own.text);
        }
        cron_free(cron);
    }
    return REEVE_OK;
}

// ---- what is remembered -------------------------------------------------------------------------------------------

static const char *key_of(const struct queue *queue, const struct schedule *schedule, char buf[STORE_KEY_SIZE])
{
    (void)snprintf(buf, STORE_KEY_SIZE, "%s/%s", queue->name, schedule->spec->name); /* names: fits */
    return buf;
}

static void remember(const struct queue *queue, struct schedule *schedule)
{
    char key[STORE_KEY_SIZE];
    REEVE_VALUE_AUTO document = reeve_value_map();
    reeve_put_int(document, "last_at", schedule->last_at);
    reeve_put_int(document, "fired_at", schedule->fired_at);
    (void)store_put(queue->queues->manager->store, STORE_SCHEDULE, key_of(queue, schedule, key), document,
                    NULL); /* the commit tells */
    schedule->stored = true;
}

static void recall(const struct queue *queue, struct schedule *schedule)
{
    char key[STORE_KEY_SIZE];
    REEVE_VALUE_AUTO document = NULL;
    struct store *store = queue->queues->manager->store;
    schedule->last_at = reeve_clock_wall_ms(); // a new one begins now
    if (store_get(store, STORE_SCHEDULE, key_of(queue, schedule, key), &document, NULL) == REEVE_OK) {
        schedule->last_at = reeve_get_int(document, "last_at", schedule->last_at);
        schedule->fired_at = reeve_get_int(document, "fired_at", 0);
        schedule->stored = true;
    }
}

// ---- loading ------------------------------------------------------------------------------------------------------

void queue_schedules_free(struct queue *queue)
{
    for (size_t i = 0; i < queue->schedules_len; i++) {
        cron_free(queue->schedules[i].cron);
    }
    free(queue->schedules);
    queue->schedules = NULL;
    queue->schedules_len = 0;
}

void queue_schedules_load(struct queue *queue)
{
    const struct reeve_schedule *items = queue->spec.schedules.items;
    size_t len = queue->spec.schedules.len;
    queue_schedules_free(queue);
    queue->schedules = len > 0 ? calloc(len, sizeof *queue->schedules) : NULL;
    if (queue->schedules == NULL) {
        return;
    }
    queue->schedules_len = len;
    for (size_t i = 0; i < len; i++) {
        struct schedule *schedule = &queue->schedules[i];
        struct reeve_why why = {0};
        schedule->spec = &items[i];
        recall(queue, schedule);
        if (cron_new(items[i].cron, items[i].time_zone, &schedule->cron, &why) != REEVE_OK) { // a zone that is no more
            reeve_log(REEVE_LOG_ERROR, "schedule", "queue=%s schedule=%s error=\"%s\" ignoring", queue->name,
                      items[i].name, why.text);
            continue;
        }
        schedule->next_at = cron_next(schedule->cron, schedule->last_at);
    }
}

// ---- other schedules ----------------------------------------------------------------------------------------------

static const struct reeve_schedule *named(const struct reeve_queue_spec *spec, const char *name)
{
    const struct reeve_schedule *items = spec != NULL ? spec->schedules.items : NULL;
    for (size_t i = 0; items != NULL && i < spec->schedules.len; i++) {
        if (strcmp(items[i].name, name) == 0) {
            return &items[i];
        }
    }
    return NULL;
}

static void tell_taken(const struct queue *queue, struct schedule *schedule);

void queue_schedules_change(struct queue *queue, const struct reeve_queue_spec *spec)
{
    char key[STORE_KEY_SIZE];
    for (size_t i = 0; i < queue->schedules_len; i++) {
        struct schedule *schedule = &queue->schedules[i];
        const struct reeve_schedule *same = named(spec, schedule->spec->name);
        tell_taken(queue, schedule);
        if (same == NULL) {
            (void)store_remove(queue->queues->manager->store, STORE_SCHEDULE, key_of(queue, schedule, key),
                               NULL); /* the commit tells */
        } else if (strcmp(same->cron, schedule->spec->cron) != 0 ||
                   !reeve_str_eq(same->time_zone, schedule->spec->time_zone)) {
            schedule->last_at = reeve_clock_wall_ms(); // other times: those that have passed were not meant
            remember(queue, schedule);
        }
    }
}

// ---- firing -------------------------------------------------------------------------------------------------------

static struct reeve_span job_id(const struct schedule *schedule, int64_t due_at, char buf[REEVE_NAME_SIZE + 24])
{
    int len = snprintf(buf, REEVE_NAME_SIZE + 24, "%s-%lld", schedule->spec->name, (long long)due_at); /* fits */
    return (struct reeve_span){buf, (size_t)len};
}

static bool last_is_live(const struct queue *queue, const struct schedule *schedule)
{
    char buf[REEVE_NAME_SIZE + 24];
    int64_t number;
    struct reeve_span id = job_id(schedule, schedule->fired_at, buf);
    return schedule->fired_at > 0 && job_store_find(queue->store, queue->number, id, &number, NULL) == REEVE_OK &&
           job_index_get(queue->queues->index, number) != NULL;
}

// Until the next time is due, every tick tries again: a queue that is full has room some day.
static void tell_refused(struct queue *queue, struct schedule *schedule, const char *id, const struct reeve_why *why)
{
    char subject[REEVE_NAME_SIZE];
    if (schedule->told) {
        return;
    }
    schedule->told = true;
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "queue", queue->name);
    reeve_put_str(detail, "schedule", schedule->spec->name);
    reeve_put_str(detail, "job", id);
    reeve_log(REEVE_LOG_WARNING, "schedule", "queue=%s schedule=%s job=%s error=\"%s\" retrying", queue->name,
              schedule->spec->name, id, why->text);
    alarm_open(queue->queues->manager, "schedule_refused", alarm_subject(queue->name, schedule->spec->name, subject),
               ALARM_ERROR, detail, "queue %s: schedule %s can't enqueue its job: %s", queue->name,
               schedule->spec->name, why->text);
}

static void tell_taken(const struct queue *queue, struct schedule *schedule)
{
    char subject[REEVE_NAME_SIZE];
    struct manager *manager = queue->queues->manager;
    (void)alarm_subject(queue->name, schedule->spec->name, subject);
    schedule->told = false;
    if (alarm_is_open(manager, "schedule_refused", subject)) {
        alarm_close(manager, "schedule_refused", subject);
    }
}

static void move_on(const struct queue *queue, struct schedule *schedule, int64_t due_at)
{
    schedule->last_at = due_at;
    schedule->next_at = cron_next(schedule->cron, due_at);
    remember(queue, schedule);
}

static void skip(struct queue *queue, struct schedule *schedule, int64_t due_at, const char *cause)
{
    char at[REEVE_CLOCK_TEXT_LEN];
    reeve_log(REEVE_LOG_INFO, "schedule", "queue=%s schedule=%s due=%s skipped=\"%s\"", queue->name,
              schedule->spec->name, reeve_clock_format(due_at, at), cause);
    move_on(queue, schedule, due_at);
}

static void fire(struct queue *queue, struct schedule *schedule, int64_t due_at)
{
    char buf[REEVE_NAME_SIZE + 24];
    struct reeve_why why = {0};
    enum reeve_err err = intake_job(queue, job_id(schedule, due_at, buf), schedule->spec->job, &why);
    if (err != REEVE_OK && err != REEVE_CONFLICT) { // CONFLICT: it is there already
        tell_refused(queue, schedule, buf, &why);
        return;
    }
    tell_taken(queue, schedule);
    schedule->fired_at = due_at;
    move_on(queue, schedule, due_at);
}

// Of several times that have passed only the last one counts.
static void look(struct queue *queue, struct schedule *schedule, int64_t now)
{
    int64_t due_at = cron_previous(schedule->cron, now);
    due_at = due_at > schedule->last_at ? due_at : schedule->next_at;
    bool missed = due_at < queue->queues->manager->started_at;
    if (missed && schedule->spec->missed == MISSED_SKIP) {
        skip(queue, schedule, due_at, "no manager ran");
    } else if (queue->draining) {
        skip(queue, schedule, due_at, "the queue drains");
    } else if (schedule->spec->overlap == OVERLAP_SKIP && last_is_live(queue, schedule)) {
        skip(queue, schedule, due_at, "the last one is not done");
    } else {
        fire(queue, schedule, due_at);
    }
}

void queue_schedules_tick(struct queue *queue)
{
    int64_t now = reeve_clock_wall_ms();
    for (size_t i = 0; i < queue->schedules_len && !queue->removed; i++) {
        struct schedule *schedule = &queue->schedules[i];
        if (schedule->cron == NULL) {
            continue;
        }
        if (!schedule->stored) {
            remember(queue, schedule); // so that what is missed from here on is known
        }
        if (schedule->next_at >= 0 && now >= schedule->next_at) {
            look(queue, schedule, now);
        }
    }
}
