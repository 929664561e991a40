// Ops on queues [job-8]: made, changed, paused, drained, emptied, forgotten.
// Must not: look at single jobs, other than to purge them (job_ops.c).
#include "queue_ops.h"
#include "cron.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define NEAR_MAX  256  // names that are compared for "did you mean"
#define PURGE_MAX 1000 // jobs of one command, about 30 ms

struct queue *queue_of_call(struct call *call, struct reeve_why *why)
{
    const struct queues *queues = call->manager->queues;
    struct queue *queue = queue_find(queues, call->subject);
    if (queue != NULL) {
        return queue;
    }
    const char *names[NEAR_MAX + 1];
    size_t len = 0;
    for (struct reeve_map_iter it = {0}; len < NEAR_MAX && reeve_map_next(queues->by_name, &it);) {
        names[len++] = it.key;
    }
    names[len] = NULL;
    (void)not_found(why, "queue", call->subject, names); /* the caller returns NOENT */
    return NULL;
}

// ---- apply --------------------------------------------------------------------------------------------------------

static enum reeve_err decode_spec(const struct call *call, struct reeve_queue_spec *ret, struct reeve_why *why)
{
    REEVE_VALUE_AUTO args = reeve_value_clone(call->command.args);
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (args == NULL || errors == NULL) {
        free(errors);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    const char *kind = reeve_get_str(args, "kind");
    bool other_kind = reeve_value_get(args, "kind") != NULL && !reeve_str_eq(kind, "queue");
    (void)reeve_value_remove(args, "kind"); /* as a file begins */
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_record_decode(&reeve_queue_spec_record, args, "args", ret, errors);
    bool decoded = err == REEVE_OK;
    if (!decoded) {
        err = reeve_errors_result(errors, why);
        err = err == REEVE_OK ? reeve_fail(why, REEVE_NOMEM, "out of memory") : err;
    } else if (other_kind) {
        err = reeve_fail_at(why, REEVE_INVALID, "args.kind", "is not `queue`");
    } else if (ret->name != NULL && strcmp(ret->name, call->subject) != 0) {
        err = reeve_fail_at(why, REEVE_INVALID, "args.name", "is %s, but the topic says %s", ret->name, call->subject);
    } else {
        err = schedules_check(ret, why);
    }
    if (decoded && err != REEVE_OK) {
        reeve_record_done(&reeve_queue_spec_record, ret);
    }
    free(errors);
    return err;
}

static int64_t live_len(const struct queue *queue)
{
    return queue->counts[REEVE_JOB_WAITING] + queue->counts[REEVE_JOB_DELAYED] + queue->counts[REEVE_JOB_ACTIVE] +
           queue->counts[REEVE_JOB_UNKNOWN];
}

static enum reeve_err check_change(const struct queue *queue, const struct reeve_queue_spec *spec,
                                   struct reeve_why *why)
{
    struct job_ended_counts counts = {0};
    if (spec->rate.count > QUEUE_RATE_MAX) {
        return reeve_fail_at(why, REEVE_LIMIT, "args.rate.count", "%lld starts are more than can be counted (%d)",
                             (long long)spec->rate.count, QUEUE_RATE_MAX);
    }
    if (queue == NULL || queue->spec.durability == spec->durability) {
        return REEVE_OK;
    }
    enum reeve_err err = job_store_count_ended(queue->store, queue->number, &counts, why);
    if (err == REEVE_OK && live_len(queue) + counts.ids > 0) {
        err = reeve_fail_at(
            why, REEVE_CONFLICT, "args.durability",
            "can't be changed while the queue has jobs (%lld) or remembers ids (%lld): delete the queue first",
            (long long)live_len(queue), (long long)counts.ids);
    }
    return err;
}

static struct reeve_value *changed_keys(const struct queue *queue, const struct reeve_queue_spec *spec)
{
    REEVE_VALUE_AUTO old = NULL;
    REEVE_VALUE_AUTO now = NULL;
    struct reeve_value *list = reeve_value_list();
    const struct reeve_queue_spec *was = queue != NULL ? &queue->spec : NULL;
    if (reeve_record_encode(&reeve_queue_spec_record, spec, queue == NULL ? REEVE_ENCODE_SKIP_PRESETS : 0, &now) !=
            REEVE_OK ||
        (was != NULL && reeve_record_encode(&reeve_queue_spec_record, was, 0, &old) != REEVE_OK)) {
        (void)reeve_value_add(list, NULL); /* out of memory: remembered */
        return list;
    }
    for (size_t i = 0; i < reeve_value_len(now); i++) {
        const char *key = reeve_value_key(now, i);
        if (strcmp(key, "name") != 0 && !reeve_value_equal(reeve_value_at(now, i), reeve_value_get(old, key))) {
            (void)reeve_value_add(list, reeve_value_str(key)); /* remembered: reeve_value_built() */
        }
    }
    for (size_t i = 0; i < reeve_value_len(old); i++) {
        const char *key = reeve_value_key(old, i);
        if (strcmp(key, "name") != 0 && reeve_value_get(now, key) == NULL) {
            (void)reeve_value_add(list, reeve_value_str(key)); /* as above */
        }
    }
    return list;
}

// Of a queue without jobs and ids: it moves to the other store.
static struct queue *make_anew(struct queue *queue, struct reeve_queue_spec *spec, struct reeve_why *why)
{
    struct queues *queues = queue->queues;
    char name[REEVE_NAME_SIZE];
    bool paused = queue->paused, draining = queue->draining;
    memcpy(name, queue->name, sizeof name);
    (void)job_store_queue_remove(queue->store, queue->number, NULL); /* a failure breaks the turn: the commit tells */
    queue_close(queue);
    struct queue *made = queue_open(queues, name, spec, why);
    if (made != NULL) {
        made->paused = paused;
        made->draining = draining;
    }
    return made;
}

static enum reeve_err change_spec(struct queue *queue, struct reeve_queue_spec *spec, struct reeve_why *why)
{
    bool rate = queue->spec.rate.count != spec->rate.count || queue->spec.rate.per_ms != spec->rate.per_ms;
    bool more_per_key = spec->max_per_key > queue->spec.max_per_key;
    queue_schedules_change(queue, spec);
    queue_schedules_free(queue);
    reeve_record_done(&reeve_queue_spec_record, &queue->spec);
    queue->spec = *spec;
    queue_schedules_load(queue);
    if (more_per_key) {
        job_keys_look(queue);
    }
    queue->keep_mono = 0;
    dispatch_want(queue);
    return rate ? queue_limits_changed(queue, why) : REEVE_OK;
}

static enum reeve_err apply(struct call *call, struct queue *queue, struct reeve_queue_spec *spec,
                            struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    free(spec->name); // the topic says it
    spec->name = NULL;
    if (queue == NULL) {
        queue = queue_open(call->manager->queues, call->subject, spec, why);
        err = queue != NULL ? REEVE_OK : REEVE_LIMIT;
    } else if (queue->spec.durability != spec->durability) {
        queue = make_anew(queue, spec, why);
        err = queue != NULL ? REEVE_OK : REEVE_LIMIT;
    } else {
        err = change_spec(queue, spec, why);
    }
    if (queue != NULL) {
        if (queue->schedules == NULL) {
            queue_schedules_load(queue);
        }
        queue_schedules_tick(queue); // when they began is on disk with them
        queue_store(queue);
        queue_status_tick(queue); // a new one is seen at once
        // Workers that were there before it have told what they take, to nobody.
        queue->queues->hello_all = true;
        links_hello(queue->queues);
    }
    return err;
}

enum reeve_err op_queue_apply_run(struct call *call, struct reeve_why *why)
{
    struct reeve_queue_spec spec;
    struct queue *queue = queue_find(call->manager->queues, call->subject);
    enum reeve_err err = decode_spec(call, &spec, why);
    if (err != REEVE_OK) {
        return err;
    }
    bool full = queue == NULL && reeve_map_len(call->manager->queues->by_name) >= QUEUES_MAX;
    err = full ? reeve_fail(why, REEVE_LIMIT, "there are %d queues already", QUEUES_MAX)
               : check_change(queue, &spec, why);
    if (err != REEVE_OK) {
        reeve_record_done(&reeve_queue_spec_record, &spec);
        return err;
    }
    bool created = queue == NULL;
    struct reeve_value *result = reeve_value_map();
    reeve_put_bool(result, "created", created);
    (void)reeve_value_put(result, "changed", changed_keys(queue, &spec)); /* remembered: reeve_value_built() */
    if (call->command.dry_run) {
        reeve_record_done(&reeve_queue_spec_record, &spec);
        return call_done(call, result, "dry run: nothing was changed");
    }
    err = apply(call, queue, &spec, why);
    if (err != REEVE_OK) {
        return call_fail(call, err, result, "queue %s: %s", call->subject, why->text);
    }
    return call_done(call, result, created ? "queue %s is there" : NULL, call->subject);
}

// ---- switches -----------------------------------------------------------------------------------------------------

const struct reeve_record op_queue_pause_args = NO_ARGS("pause");
const struct reeve_record op_queue_resume_args = NO_ARGS("resume");
const struct reeve_record op_queue_drain_args = NO_ARGS("drain");
const struct reeve_record op_queue_describe_args = NO_ARGS("describe");

static enum reeve_err switch_queue(struct call *call, struct queue *queue, bool paused, bool draining)
{
    if (!call->command.dry_run && (queue->paused != paused || queue->draining != draining)) {
        queue->paused = paused;
        queue->draining = draining;
        queue_store(queue);
        dispatch_want(queue);
    }
    return call_done(call, reeve_value_map(), NULL);
}

enum reeve_err op_queue_pause_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue = queue_of_call(call, why);
    return queue == NULL ? REEVE_NOENT : switch_queue(call, queue, true, queue->draining);
}

enum reeve_err op_queue_resume_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue = queue_of_call(call, why);
    return queue == NULL ? REEVE_NOENT : switch_queue(call, queue, false, false);
}

enum reeve_err op_queue_drain_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue = queue_of_call(call, why);
    return queue == NULL ? REEVE_NOENT : switch_queue(call, queue, queue->paused, true);
}

// ---- describe -----------------------------------------------------------------------------------------------------

static struct reeve_value *worker_value(const struct link *link)
{
    struct reeve_value *value = reeve_value_map();
    struct reeve_value *types = reeve_value_list();
    for (size_t i = 0; i < link->types.len; i++) {
        (void)reeve_value_add(types, reeve_value_str(link->types.items[i])); /* remembered: reeve_value_built() */
    }
    reeve_put_str(value, "worker", link->worker);
    reeve_put_int(value, "capacity", link->capacity);
    reeve_put_int(value, "in_hand", (int64_t)link->jobs.len);
    (void)reeve_value_put(value, "types", types); /* as above */
    return value;
}

// Since this manager began.
static struct reeve_value *totals_value(const struct queue_rates *rates)
{
    struct reeve_value *totals = reeve_value_map();
    reeve_put_int(totals, "added", (int64_t)rates->added);
    reeve_put_int(totals, "duplicates", (int64_t)rates->duplicates);
    reeve_put_int(totals, "rejected", (int64_t)rates->rejected);
    reeve_put_int(totals, "started", (int64_t)rates->started);
    reeve_put_int(totals, "completed", (int64_t)rates->completed);
    reeve_put_int(totals, "failed", (int64_t)rates->failed);
    reeve_put_int(totals, "retried", (int64_t)rates->retried);
    reeve_put_int(totals, "lost", (int64_t)rates->lost);
    reeve_put_int(totals, "fenced", (int64_t)rates->fenced);
    reeve_put_int(totals, "cancelled", (int64_t)rates->cancelled);
    return totals;
}

enum reeve_err op_queue_describe_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue = queue_of_call(call, why);
    struct reeve_value *spec = NULL;
    if (queue == NULL) {
        return REEVE_NOENT;
    }
    enum reeve_err err = reeve_record_encode(&reeve_queue_spec_record, &queue->spec, 0, &spec);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "out of memory");
    }
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *workers = reeve_value_list();
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->links, &it);) {
        (void)reeve_value_add(workers, worker_value(it.value)); /* remembered: reeve_value_built() */
    }
    reeve_put_str(result, "queue", queue->name);
    (void)reeve_value_put(result, "spec", spec); /* as above */
    (void)reeve_value_put(result, "status", queue_status_value(queue));
    (void)reeve_value_put(result, "totals", totals_value(&queue->rates));
    (void)reeve_value_put(result, "workers", workers);
    return call_done(call, result, NULL);
}

// ---- delete -------------------------------------------------------------------------------------------------------

struct delete_args {
    bool force;
};
static const struct reeve_field delete_fields[] = {
    {.name = "force",
     .type = REEVE_FIELD_BOOL,
     .offset = offsetof(struct delete_args, force),
     .preset = "false",
     .doc = "Also when jobs wait or run: they are dropped, and what is in a worker's hands is fenced."}};
const struct reeve_record op_queue_delete_args = REEVE_RECORD("delete", struct delete_args, delete_fields, "");

static void abandon_active(struct queue *queue)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->active, &it);) {
        const struct job *job = it.value;
        if (job->link != NULL) {
            dispatch_abandon(job->link, (struct reeve_span){job->text->id, strlen(job->text->id)}, job->attempt,
                             "queue deleted");
        }
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->links, &it);) {
        link_flush(it.value);
    }
}

static void forget_queue(struct queue *queue)
{
    struct manager *manager = queue->queues->manager;
    char topic[REEVE_TOPIC_SIZE];
    abandon_active(queue);
    alarm_close(manager, "job_unmatched", queue->name);
    alarm_close(manager, "job_unknown", queue->name);
    queue_schedules_change(queue, NULL);
    (void)store_remove(manager->store, STORE_QUEUE, queue->name, NULL);  /* the commit tells */
    (void)job_store_queue_remove(queue->store, queue->number, NULL);     /* the commit tells */
    (void)snprintf(topic, sizeof topic, "queue/%s/status", queue->name); /* a name */
    manager_publish(manager, LEAVING_RECORD, topic, NULL, 0);
    queue_close(queue);
}

enum reeve_err op_queue_delete_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue = queue_of_call(call, why);
    if (queue == NULL) {
        return REEVE_NOENT;
    }
    int64_t live = live_len(queue);
    if (live > 0 && !((struct delete_args *)call->args)->force) {
        return reeve_fail(why, REEVE_CONFLICT, "queue %s has %lld jobs that wait or run: `force` drops them",
                          queue->name, (long long)live);
    }
    if (!call->command.dry_run) {
        forget_queue(queue);
    }
    return call_done(call, reeve_value_map(), call->command.dry_run ? "dry run: nothing was changed" : NULL);
}

// ---- purge --------------------------------------------------------------------------------------------------------

struct purge_args {
    struct reeve_strv states;
};
static const struct reeve_field purge_fields[] = {
    {.name = "states",
     .type = REEVE_FIELD_STRV,
     .offset = offsetof(struct purge_args, states),
     .min = 1,
     .max = REEVE_JOB_STATE_COUNT,
     .doc = "Jobs of which states: `waiting`, `delayed` (these two are preset), `completed`, `failed`, `cancelled`."}};
const struct reeve_record op_queue_purge_args = REEVE_RECORD("purge", struct purge_args, purge_fields, "");

static enum reeve_err purge_states(const struct purge_args *args, bool ret[REEVE_JOB_STATE_COUNT],
                                   struct reeve_why *why)
{
    ret[REEVE_JOB_WAITING] = ret[REEVE_JOB_DELAYED] = args->states.len == 0;
    for (size_t i = 0; i < args->states.len; i++) {
        enum reeve_job_state state;
        if (!reeve_job_state_parse(args->states.items[i], &state)) {
            return reeve_fail_at(why, REEVE_INVALID, "args.states",
                                 "is %.40s, expected some of waiting delayed completed failed cancelled",
                                 args->states.items[i]);
        }
        if (state == REEVE_JOB_ACTIVE || state == REEVE_JOB_UNKNOWN) {
            return reeve_fail_at(
                why, REEVE_CONFLICT, "args.states", "%s jobs are not purged: %s", args->states.items[i],
                state == REEVE_JOB_ACTIVE ? "`cancel` ends them" : "somebody has to look what became of them");
        }
        ret[state] = true;
    }
    return REEVE_OK;
}

enum reeve_err op_queue_purge_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue = queue_of_call(call, why);
    struct job_pick pick = {.limit = PURGE_MAX, .oldest_first = true};
    if (queue == NULL) {
        return REEVE_NOENT;
    }
    enum reeve_err err = purge_states(call->args, pick.states, why);
    err = err == REEVE_OK ? job_pick_run(queue, &pick, why) : err;
    if (err != REEVE_OK) {
        job_pick_done(&pick);
        return err;
    }
    int64_t removed = 0;
    for (size_t i = 0; i < pick.len; i++) {
        bool gone = call->command.dry_run || job_remove(queue, pick.numbers[i], true, NULL) == REEVE_OK;
        removed += gone ? 1 : 0;
    }
    struct reeve_value *result = reeve_value_map();
    reeve_put_int(result, "removed", removed);
    reeve_put_bool(result, "more", pick.more);
    job_pick_done(&pick);
    return call_done(call, result, NULL);
}
