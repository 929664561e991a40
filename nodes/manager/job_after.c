// Dependencies: a job waits until those it names are completed. One that fails or is cancelled keeps its dependants waiting: who
// retries it lets them go on, and `explain` names it.
// Must not: know why a job is completed.
#include "queue_room.h"

#include <stdio.h>
#include <stdlib.h>

struct dependents {
    int64_t *numbers;
    size_t len, cap;
};

static const char *key_of(int64_t number, char buf[24])
{
    (void)snprintf(buf, 24, "%lld", (long long)number); /* fits */
    return buf;
}

static void free_dependents(void *arg)
{
    struct dependents *dependents = arg;
    free(dependents->numbers);
    free(dependents);
}

static struct dependents *dependents_of(struct queues *queues, int64_t on, bool make)
{
    char key[24];
    struct dependents *dependents = reeve_map_get(queues->dependents, key_of(on, key));
    if (dependents == NULL && make) {
        dependents = calloc(1, sizeof *dependents);
        if (dependents != NULL && reeve_map_put(queues->dependents, key, dependents, NULL) != REEVE_OK) {
            free(dependents);
            return NULL;
        }
    }
    return dependents;
}

enum reeve_err after_add(struct queues *queues, struct job *job, int64_t on, bool store)
{
    struct dependents *dependents = dependents_of(queues, on, true);
    if (dependents == NULL) {
        return REEVE_NOMEM;
    }
    if (dependents->len == dependents->cap) {
        size_t cap = dependents->cap > 0 ? 2 * dependents->cap : 4;
        int64_t *numbers = realloc(dependents->numbers, cap * sizeof *numbers);
        if (numbers == NULL) {
            return REEVE_NOMEM;
        }
        dependents->numbers = numbers;
        dependents->cap = cap;
    }
    if (job->wait == NULL) {
        job->wait = calloc(1, sizeof *job->wait);
        if (job->wait == NULL) {
            return REEVE_NOMEM;
        }
    }
    dependents->numbers[dependents->len++] = job->number;
    job->wait->left++;
    return store ? job_store_after_put(job_queue(job)->store, job->number, on, NULL) : REEVE_OK;
}

void after_met(struct queues *queues, struct job *on)
{
    char key[24];
    struct dependents *dependents = reeve_map_remove(queues->dependents, key_of(on->number, key));
    if (dependents == NULL) {
        return;
    }
    (void)job_store_after_met(job_queue(on)->store, on->number, NULL); /* the commit tells */
    for (size_t i = 0; i < dependents->len; i++) {
        struct job *job = job_index_get(queues->index, dependents->numbers[i]);
        if (job != NULL && job->wait != NULL && job->wait->left > 0 && --job->wait->left == 0 &&
            job->state == REEVE_JOB_WAITING) {
            job_set(job, REEVE_JOB_WAITING, "what it waited for is completed");
        }
    }
    free_dependents(dependents);
}

void after_forget(struct queues *queues, struct job *job)
{
    (void)queues; // its number in others' lists finds nobody: numbers are never used twice
    free(job->wait);
    job->wait = NULL;
}

void after_clear(struct queues *queues)
{
    if (queues->dependents != NULL) {
        reeve_map_free(queues->dependents, free_dependents);
        queues->dependents = NULL;
    }
}
