// Classes: what jobs ask of a worker, interned, since there are few of them and many jobs. And bodies, which are kept in memory from
// enqueue to dispatch while there is room, and are on disk in any case.
// Must not: dispatch.
#include "queue_room.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>

// ---- classes ----------------------------------------------------------------------------------------------------

static const char *class_key(char buf[REEVE_JOB_TYPE_SIZE + 20], struct reeve_span type, struct reeve_span requires)
{
    (void)snprintf(buf, REEVE_JOB_TYPE_SIZE + 20, "%.*s %016llx", (int)type.len, type.data,
                   requires.len > 0 ? (unsigned long long)reeve_hash64(requires.data, requires.len) : 0ULL); /* fits: checked */
    return buf;
}

void job_class_free(struct job_class *class)
{
    free(class->requires);
    free(class->links);
    free(class);
}

static enum reeve_err read_requirements(struct job_class *class, struct reeve_why *why)
{
    REEVE_VALUE_AUTO value = NULL;
    if (class->requires_len == 0) {
        return REEVE_OK;
    }
    enum reeve_err err = reeve_msgpack_read(class->requires, class->requires_len, &reeve_limits_wire, NULL, &value, why);
    return err == REEVE_OK ? reeve_requirements_add(&class->requirements, value, "requires", why) : err;
}

struct job_class *job_class_add(struct queue *queue, int64_t number, struct reeve_span type, struct reeve_span requires,
                                struct reeve_why *why)
{
    char key[REEVE_JOB_TYPE_SIZE + 20];
    struct job_class *class = calloc(1, sizeof *class);
    if (class == NULL) {
        (void)reeve_fail(why, REEVE_NOMEM, "out of memory"); /* told by NULL */
        return NULL;
    }
    class->queue = queue;
    class->number = number;
    (void)snprintf(class->type, sizeof class->type, "%.*s", (int)type.len, type.data); /* fits: checked */
    if (requires.len > 0) {
        class->requires = malloc(requires.len);
        class->requires_len = class->requires != NULL ? requires.len : 0;
        if (class->requires != NULL) {
            memcpy(class->requires, requires.data, requires.len);
        }
    }
    bool whole = class->requires_len == requires.len && read_requirements(class, why) == REEVE_OK &&
                 reeve_map_put(queue->classes, class_key(key, type, requires), class, NULL) == REEVE_OK;
    if (!whole) {
        job_class_free(class);
        return NULL;
    }
    struct queues *queues = queue->queues;
    queues->class_number = number > queues->class_number ? number : queues->class_number;
    return class;
}

static void make_room(struct queue *queue)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        struct job_class *class = it.value;
        if (class->jobs == 0) {
            (void)job_store_class_remove(queue->store, class->number, NULL); /* the commit tells */
            (void)reeve_map_remove(queue->classes, it.key);                  /* is `class` */
            job_class_free(class);
        }
    }
}

struct job_class *job_class_get(struct queue *queue, struct reeve_span type, struct reeve_span requires, struct reeve_why *why)
{
    char key[REEVE_JOB_TYPE_SIZE + 20];
    struct job_class *class = reeve_map_get(queue->classes, class_key(key, type, requires));
    if (class != NULL) {
        return class;
    }
    if (reeve_map_len(queue->classes) >= QUEUE_CLASSES_MAX) {
        make_room(queue);
    }
    if (reeve_map_len(queue->classes) >= QUEUE_CLASSES_MAX) {
        (void)reeve_fail_at(why, REEVE_LIMIT, "requires", "jobs of this queue ask for %d different things already",
                            QUEUE_CLASSES_MAX); /* told by NULL */
        return NULL;
    }
    class = job_class_add(queue, queue->queues->class_number + 1, type, requires, why);
    if (class != NULL) {
        const struct job_class_row row = {
            .number = class->number, .queue = queue->number, .type = type, .requires = requires};
        (void)job_store_class_put(queue->store, &row, NULL); /* the commit tells */
    }
    return class;
}

// ---- bodies -------------------------------------------------------------------------------------------------------

void job_body_keep(struct job *job, struct reeve_span id, struct reeve_span raw)
{
    struct queues *queues = job_queue(job)->queues;
    size_t size = sizeof *job->body + id.len + raw.len;
    if (queues->bodies_bytes + size > QUEUE_BODIES_BYTES) {
        return;
    }
    job->body = malloc(size);
    if (job->body == NULL) {
        return;
    }
    job->body->id_len = id.len;
    job->body->len = raw.len;
    memcpy(job->body->bytes, id.data, id.len);
    memcpy(job->body->bytes + id.len, raw.data, raw.len);
    queues->bodies_bytes += size;
}

void job_body_drop(struct job *job)
{
    if (job->body != NULL) {
        job_queue(job)->queues->bodies_bytes -= sizeof *job->body + job->body->id_len + job->body->len;
        free(job->body);
        job->body = NULL;
    }
}

enum reeve_err job_load(const struct job *job, struct reeve_span *ret_id, struct reeve_span *ret_raw, struct reeve_why *why)
{
    struct job_body body;
    if (job->body != NULL) {
        *ret_id = (struct reeve_span){job->body->bytes, job->body->id_len};
        *ret_raw = (struct reeve_span){job->body->bytes + job->body->id_len, job->body->len};
        return REEVE_OK;
    }
    enum reeve_err err = job_store_body(job_queue(job)->store, job->number, &body, why);
    if (err == REEVE_OK) {
        *ret_id = body.id;
        *ret_raw = body.raw;
    }
    return err;
}

// ---- history ------------------------------------------------------------------------------------------------------

static struct reeve_value *stored_list(struct queue *queue, int64_t number, enum job_note note)
{
    struct reeve_span bytes;
    struct reeve_value *list = NULL;
    static const struct reeve_limits limits = {.bytes_max = 1u << 20, .depth_max = 8, .entries_max = 4096};
    if (job_store_note(queue->store, number, note, &bytes, NULL) != REEVE_OK ||
        reeve_msgpack_read(bytes.data, bytes.len, &limits, NULL, &list, NULL) != REEVE_OK) {
        list = reeve_value_list();
    }
    return list;
}

void job_note_add(struct queue *queue, int64_t number, enum job_note note, struct reeve_value *entry, size_t len_max)
{
    REEVE_VALUE_AUTO old = stored_list(queue, number, note);
    REEVE_VALUE_AUTO list = reeve_value_list();
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(1u << 20);
    size_t len = reeve_value_len(old);
    for (size_t i = len >= len_max ? len - len_max + 1 : 0; i < len; i++) {
        (void)reeve_value_add(list, reeve_value_clone(reeve_value_at(old, i))); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_add(list, entry); /* as above */
    if (reeve_value_built(list) == REEVE_OK && reeve_msgpack_write(list, &bytes) == REEVE_OK) {
        (void)job_store_note_put(queue->store, number, note, (struct reeve_span){bytes.data, bytes.len}, NULL); /* the commit tells */
    }
}

void job_history(struct job *job, const char *what, struct reeve_span error)
{
    struct reeve_value *entry = reeve_value_map();
    reeve_put_int(entry, "at", reeve_clock_wall_ms());
    reeve_put_int(entry, "attempt", job->attempt);
    reeve_put_str(entry, "what", what);
    if (job->text != NULL) {
        reeve_put_str_opt(entry, "worker", job->text->worker);
    }
    if (error.len > 0) {
        (void)reeve_value_put(entry, "error", reeve_value_strn(error.data, error.len)); /* remembered */
    }
    job_note_add(job_queue(job), job->number, JOB_NOTE_HISTORY, entry, JOB_HISTORY_MAX);
}
