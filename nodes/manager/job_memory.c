// Memory of live jobs: a million of them in a few hundred bytes each. Allocation in slabs, the index by number, the heap
// of times, lists. Must not: know what a state means.
#include "queue_room.h"

#include <stdlib.h>

// ---- slabs ------------------------------------------------------------------------------------------------------

#define SLAB_LEN 1024

struct slab {
    struct slab *next;
    struct job jobs[SLAB_LEN];
};
struct job_slab {
    struct slab *slabs;
    struct job *free; // by `next`
    size_t used;
};

struct job_slab *job_slab_new(void)
{
    return calloc(1, sizeof(struct job_slab));
}

static void release(struct job_slab *slab)
{
    while (slab->slabs != NULL) {
        struct slab *next = slab->slabs->next;
        free(slab->slabs);
        slab->slabs = next;
    }
    slab->free = NULL;
}

void job_slab_free(struct job_slab *slab)
{
    if (slab != NULL) {
        release(slab);
        free(slab);
    }
}

struct job *job_slab_take(struct job_slab *slab)
{
    if (slab->free == NULL) {
        struct slab *more = malloc(sizeof *more);
        if (more == NULL) {
            return NULL;
        }
        more->next = slab->slabs;
        slab->slabs = more;
        for (size_t i = SLAB_LEN; i > 0; i--) {
            more->jobs[i - 1].next = slab->free;
            slab->free = &more->jobs[i - 1];
        }
    }
    struct job *job = slab->free;
    slab->free = job->next;
    slab->used++;
    memset(job, 0, sizeof *job);
    return job;
}

// When the last one is gone all goes back to the system: what a burst took is not kept.
void job_slab_give(struct job_slab *slab, struct job *job)
{
    job->next = slab->free;
    slab->free = job;
    slab->used--;
    if (slab->used == 0 && slab->slabs != NULL && slab->slabs->next != NULL) {
        release(slab);
    }
}

// ---- index: open addressing, numbers spread by a multiplication ----------------------------------------------------

#define INDEX_KEPT 65536 // slots that are not given back: the stream of jobs is no steady one

struct slot {
    int64_t number; // here too: a search that goes on past others must not fetch each of them
    struct job *job; // NULL = free
};
struct job_index {
    struct slot *slots;
    size_t cap, len; // cap: a power of two
};

static size_t slot_of(const struct job_index *index, int64_t number)
{
    return (size_t)((uint64_t)number * 0x9e3779b97f4a7c15ULL >> 20) & (index->cap - 1);
}

struct job_index *job_index_new(void)
{
    struct job_index *index = calloc(1, sizeof *index);
    if (index != NULL) {
        index->cap = 1024;
        index->slots = calloc(index->cap, sizeof *index->slots);
        if (index->slots == NULL) {
            free(index);
            return NULL;
        }
    }
    return index;
}

void job_index_free(struct job_index *index)
{
    if (index != NULL) {
        free(index->slots);
        free(index);
    }
}

static size_t find_slot(const struct job_index *index, int64_t number)
{
    size_t at = slot_of(index, number);
    while (index->slots[at].job != NULL && index->slots[at].number != number) {
        at = (at + 1) & (index->cap - 1);
    }
    return at;
}

struct job *job_index_get(const struct job_index *index, int64_t number)
{
    return index->slots[find_slot(index, number)].job;
}

static enum reeve_err resize(struct job_index *index, size_t cap)
{
    struct job_index wider = {.slots = calloc(cap, sizeof *wider.slots), .cap = cap, .len = index->len};
    if (wider.slots == NULL) {
        return REEVE_NOMEM;
    }
    for (size_t i = 0; i < index->cap; i++) {
        if (index->slots[i].job != NULL) {
            wider.slots[find_slot(&wider, index->slots[i].number)] = index->slots[i];
        }
    }
    free(index->slots);
    *index = wider;
    return REEVE_OK;
}

enum reeve_err job_index_put(struct job_index *index, struct job *job)
{
    if (index->len * 10 >= index->cap * 7) {
        enum reeve_err err = resize(index, 2 * index->cap);
        if (err != REEVE_OK) {
            return err;
        }
    }
    size_t at = find_slot(index, job->number);
    index->len += index->slots[at].job == NULL ? 1 : 0;
    index->slots[at] = (struct slot){job->number, job};
    return REEVE_OK;
}

// What follows in the same run of slots moves up, so that no search stops early.
void job_index_remove(struct job_index *index, int64_t number)
{
    size_t mask = index->cap - 1;
    size_t hole = find_slot(index, number);
    if (index->slots[hole].job == NULL) {
        return;
    }
    index->len--;
    for (size_t at = (hole + 1) & mask; index->slots[at].job != NULL; at = (at + 1) & mask) {
        size_t home = slot_of(index, index->slots[at].number);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            index->slots[hole] = index->slots[at];
            hole = at;
        }
    }
    index->slots[hole] = (struct slot){0};
    if (index->cap > INDEX_KEPT && index->len * 32 < index->cap) {
        (void)resize(index, index->cap / 4); /* too wide is no harm */
    }
}

void job_index_each(struct job_index *index, void (*each)(struct job *job, void *arg), void *arg)
{
    for (size_t i = 0; i < index->cap; i++) {
        if (index->slots[i].job != NULL) {
            each(index->slots[i].job, arg);
        }
    }
}

size_t job_index_len(const struct job_index *index)
{
    return index->len;
}

// ---- the heap of times ------------------------------------------------------------------------------------------

static void place(struct job_due *due, size_t at, struct job *job)
{
    due->items[at] = job;
    job->heap_at = (uint32_t)at + 1;
}

// Jobs of one time in order of number: so jobs that become due together keep their order.
static bool before(const struct job *a, const struct job *b)
{
    return a->due_mono != b->due_mono ? a->due_mono < b->due_mono : a->number < b->number;
}

static void sift_up(struct job_due *due, size_t at)
{
    struct job *job = due->items[at];
    while (at > 0 && before(job, due->items[(at - 1) / 2])) {
        place(due, at, due->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(due, at, job);
}

static void sift_down(struct job_due *due, size_t at)
{
    struct job *job = due->items[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= due->len) {
            break;
        }
        if (child + 1 < due->len && before(due->items[child + 1], due->items[child])) {
            child++;
        }
        if (!before(due->items[child], job)) {
            break;
        }
        place(due, at, due->items[child]);
        at = child;
    }
    place(due, at, job);
}

enum reeve_err job_due_put(struct job_due *due, struct job *job, int64_t due_mono)
{
    job_due_remove(due, job);
    job->due_mono = due_mono;
    if (due->len == due->cap) {
        size_t cap = due->cap > 0 ? 2 * due->cap : 256;
        struct job **items = realloc(due->items, cap * sizeof *items);
        if (items == NULL) {
            return REEVE_NOMEM;
        }
        due->items = items;
        due->cap = cap;
    }
    due->items[due->len] = job;
    due->len++;
    sift_up(due, due->len - 1);
    return REEVE_OK;
}

void job_due_remove(struct job_due *due, struct job *job)
{
    if (job->heap_at == 0) {
        return;
    }
    size_t at = job->heap_at - 1;
    struct job *last = due->items[--due->len];
    job->heap_at = 0;
    if (last != job) {
        place(due, at, last);
        sift_up(due, at);
        sift_down(due, last->heap_at - 1);
    }
}

// ---- lists --------------------------------------------------------------------------------------------------------

static void link_after(struct job_list *list, struct job *at, struct job *job) // at NULL = as the head
{
    job->prev = at;
    job->next = at != NULL ? at->next : list->head;
    *(job->next != NULL ? &job->next->prev : &list->tail) = job;
    *(at != NULL ? &at->next : &list->head) = job;
    list->len++;
}

void job_list_append(struct job_list *list, struct job *job)
{
    link_after(list, list->tail, job);
}

void job_list_remove(struct job_list *list, struct job *job)
{
    *(job->prev != NULL ? &job->prev->next : &list->head) = job->next;
    *(job->next != NULL ? &job->next->prev : &list->tail) = job->prev;
    job->prev = NULL;
    job->next = NULL;
    list->len--;
}
