// Where jobs are found: by id, by phase, by deadline. All of it bounded by what links may hold.
// Must not: know why a job is where it is.
#include "worker.h"

#include <reeve/id.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_LEN_MIN 256
#define HEAP_LEN_MIN  64

// ---- by id
// -----------------------------------------------------------------------------------------------------------

uint64_t jobs_hash(const struct job_link *link, const char *id, size_t id_len)
{
    uint64_t hash = reeve_hash64(id, id_len) + (uint64_t)(uintptr_t)link; // links never move
    return hash ^ hash >> 29;
}

static enum reeve_err grow(struct worker_jobs *jobs)
{
    size_t len = jobs->table_len == 0 ? TABLE_LEN_MIN : 2 * jobs->table_len;
    struct reeve_job **table = calloc(len, sizeof(struct reeve_job *));
    if (table == NULL) {
        return REEVE_NOMEM;
    }
    for (size_t i = 0; i < jobs->table_len; i++) {
        while (jobs->table[i] != NULL) {
            struct reeve_job *job = jobs->table[i];
            jobs->table[i] = job->chain;
            job->chain = table[job->hash & (len - 1)];
            table[job->hash & (len - 1)] = job;
        }
    }
    free(jobs->table);
    jobs->table = table;
    jobs->table_len = len;
    return REEVE_OK;
}

enum reeve_err jobs_table_add(struct worker_jobs *jobs, struct reeve_job *job)
{
    // A table that can't grow is slower, and still one.
    if (jobs->table_used >= jobs->table_len && grow(jobs) != REEVE_OK && jobs->table_len == 0) {
        return REEVE_NOMEM;
    }
    struct reeve_job **at = &jobs->table[job->hash & (jobs->table_len - 1)];
    job->chain = *at;
    *at = job;
    jobs->table_used++;
    return REEVE_OK;
}

void jobs_table_remove(struct worker_jobs *jobs, struct reeve_job *job)
{
    struct reeve_job **at = &jobs->table[job->hash & (jobs->table_len - 1)];
    while (*at != job) {
        at = &(*at)->chain;
    }
    *at = job->chain;
    job->chain = NULL;
    jobs->table_used--;
}

struct reeve_job *jobs_table_find(const struct worker_jobs *jobs, const struct job_link *link, const char *id,
                                  size_t id_len, const struct reeve_job *after)
{
    if (jobs->table_len == 0) {
        return NULL;
    }
    uint64_t hash = jobs_hash(link, id, id_len);
    struct reeve_job *job = after == NULL ? jobs->table[hash & (jobs->table_len - 1)] : after->chain;
    for (; job != NULL; job = job->chain) {
        if (job->hash == hash && job->link == link && job->id_len == id_len && memcmp(job->bytes, id, id_len) == 0) {
            return job;
        }
    }
    return NULL;
}

// ---- by phase
// --------------------------------------------------------------------------------------------------------

void jobs_list_add(struct job_list *list, struct reeve_job *job)
{
    job->prev = list->last;
    job->next = NULL;
    *(list->last == NULL ? &list->first : &list->last->next) = job;
    list->last = job;
    list->len++;
}

void jobs_list_remove(struct job_list *list, struct reeve_job *job)
{
    REEVE_ASSERT(list->len > 0);
    *(job->prev == NULL ? &list->first : &job->prev->next) = job->next;
    *(job->next == NULL ? &list->last : &job->next->prev) = job->prev;
    job->prev = job->next = NULL;
    list->len--;
}

// ---- by deadline: a binary heap
// ----------------------------------------------------------------------------------------

static void put(struct worker_jobs *jobs, size_t at, struct reeve_job *job)
{
    jobs->due[at] = job;
    job->due_place = at + 1;
}

static void up(struct worker_jobs *jobs, size_t at, struct reeve_job *job)
{
    while (at > 0 && jobs->due[(at - 1) / 2]->due_mono > job->due_mono) {
        put(jobs, at, jobs->due[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(jobs, at, job);
}

static void down(struct worker_jobs *jobs, size_t at, struct reeve_job *job)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < jobs->due_len && jobs->due[child + 1]->due_mono < jobs->due[child]->due_mono) {
            child++;
        }
        if (child >= jobs->due_len || jobs->due[child]->due_mono >= job->due_mono) {
            break;
        }
        put(jobs, at, jobs->due[child]);
        at = child;
    }
    put(jobs, at, job);
}

enum reeve_err jobs_due_set(struct worker_jobs *jobs, struct reeve_job *job, int64_t due_mono)
{
    jobs_due_clear(jobs, job);
    if (jobs->due_len == jobs->due_cap) {
        size_t cap = jobs->due_cap == 0 ? HEAP_LEN_MIN : 2 * jobs->due_cap;
        struct reeve_job **due = realloc(jobs->due, cap * sizeof(struct reeve_job *));
        if (due == NULL) {
            return REEVE_NOMEM;
        }
        jobs->due = due;
        jobs->due_cap = cap;
    }
    job->due_mono = due_mono;
    up(jobs, jobs->due_len++, job);
    return REEVE_OK;
}

void jobs_due_clear(struct worker_jobs *jobs, struct reeve_job *job)
{
    if (job->due_place == 0) {
        return;
    }
    size_t at = job->due_place - 1;
    struct reeve_job *moved = jobs->due[--jobs->due_len];
    job->due_place = 0;
    if (moved == job) {
        return;
    }
    if (at > 0 && jobs->due[(at - 1) / 2]->due_mono > moved->due_mono) {
        up(jobs, at, moved);
    } else {
        down(jobs, at, moved);
    }
}
