// Which ids are known. Ids come in any order, and a table that is sorted by them has one page to write for each job
// when they are random. So the newest ids are only in memory, each of them is on disk in its job's body (or what is
// left of it), and they are merged into the table `job_id` many at a time, sorted, so that a page that is written takes
// several of them:
//
//   fresh  --(fresh_max of them)-->  merging  --(sorted, some in each turn)-->  the table
//
// The number `job_ids_merged` says up to which job all are in the table; the next process reads those behind it into
// memory. To merge one twice does no harm, so that a turn that is undone only has to go back to the begin. Jobs in
// memory have no pages to write: their ids go into the table at once. Must not: know more of a job than its id.
#include "job_store_priv.h"

#include <reeve/id.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_MAX  65536 // 5 MB, and once again while they are merged
#define RUN_LEN    4096  // sorted in half a millisecond
#define SLOTS_MIN  1024
#define MERGED_KEY "job_ids_merged"

// ---- a generation: a hash table of ids ----------------------------------------------------------------------------

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

// Seeded: whoever chooses the ids shall not choose where they collide.
static uint32_t hash_of(const struct job_ids *ids, int64_t queue, struct reeve_span id)
{
    uint64_t hash = mix(ids->seed, (uint64_t)queue << 8 | id.len);
    for (; id.len >= 8; id.data += 8, id.len -= 8) {
        uint64_t word;
        memcpy(&word, id.data, 8);
        hash = mix(hash, word);
    }
    uint64_t rest = 0;
    memcpy(&rest, id.data, id.len);
    hash = mix(mix(hash, rest), ids->seed);
    return (uint32_t)(hash >> 32);
}

static uint64_t prefix_of(struct reeve_span id)
{
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++) {
        prefix = prefix << 8 | (i < id.len ? (unsigned char)id.data[i] : 0);
    }
    return prefix;
}

static struct reeve_span text_of(const struct job_id_generation *generation, const struct job_id_entry *entry)
{
    return (struct reeve_span){.data = generation->texts + entry->text, .len = entry->len};
}

static void generation_done(struct job_id_generation *generation)
{
    free(generation->entries);
    free(generation->slots);
    free(generation->texts);
    free(generation->order);
    free(generation->heads);
    free(generation->heads_before);
    *generation = (struct job_id_generation){0};
}

static struct job_id_entry *look_up(const struct job_id_generation *generation, uint32_t hash, int64_t queue,
                                    struct reeve_span id)
{
    size_t mask = generation->slots_len - 1;
    for (size_t slot = hash & mask; generation->slots_len > 0 && generation->slots[slot] != 0;
         slot = (slot + 1) & mask) {
        struct job_id_entry *entry = &generation->entries[generation->slots[slot] - 1];
        if (entry->hash == hash && entry->number != 0 && entry->queue == queue &&
            reeve_span_eq(text_of(generation, entry), id)) {
            return entry;
        }
    }
    return NULL;
}

static void fill_slot(struct job_id_generation *generation, size_t place)
{
    size_t mask = generation->slots_len - 1;
    size_t slot = generation->entries[place].hash & mask;
    while (generation->slots[slot] != 0) {
        slot = (slot + 1) & mask;
    }
    generation->slots[slot] = (uint32_t)place + 1;
}

// Only ever the last one that was filled in.
static void empty_slot(struct job_id_generation *generation, size_t place)
{
    size_t mask = generation->slots_len - 1;
    size_t slot = generation->entries[place].hash & mask;
    while (generation->slots[slot] != place + 1) {
        slot = (slot + 1) & mask;
    }
    generation->slots[slot] = 0;
}

static bool grow_slots(struct job_id_generation *generation)
{
    if (2 * (generation->len + 1) <= generation->slots_len) {
        return true;
    }
    size_t len = generation->slots_len > 0 ? 2 * generation->slots_len : SLOTS_MIN;
    uint32_t *slots = calloc(len, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    free(generation->slots);
    generation->slots = slots;
    generation->slots_len = len;
    for (size_t i = 0; i < generation->len; i++) {
        fill_slot(generation, i);
    }
    return true;
}

static bool grow(struct job_id_generation *generation, size_t text_len)
{
    if (generation->len == generation->max) {
        size_t max = generation->max > 0 ? 2 * generation->max : SLOTS_MIN / 2;
        struct job_id_entry *entries = realloc(generation->entries, max * sizeof *entries);
        if (entries == NULL) {
            return false;
        }
        generation->entries = entries;
        generation->max = max;
    }
    if (generation->texts_len + text_len > generation->texts_max) {
        size_t max = generation->texts_max > 0 ? 2 * generation->texts_max : (size_t)SLOTS_MIN * 16;
        char *texts = realloc(generation->texts, max);
        if (texts == NULL) {
            return false;
        }
        generation->texts = texts;
        generation->texts_max = max;
    }
    return grow_slots(generation);
}

static enum reeve_err remember(struct job_id_generation *generation, uint32_t hash, int64_t queue, int64_t number,
                               struct reeve_span id, struct reeve_why *why)
{
    if (!grow(generation, id.len)) {
        return reeve_fail(why, REEVE_NOMEM, "store: out of memory");
    }
    memcpy(generation->texts + generation->texts_len, id.data, id.len);
    generation->entries[generation->len] = (struct job_id_entry){.prefix = prefix_of(id),
                                                                 .number = number,
                                                                 .text = (uint32_t)generation->texts_len,
                                                                 .hash = hash,
                                                                 .queue = (uint16_t)queue,
                                                                 .len = (uint8_t)id.len};
    generation->texts_len += id.len;
    fill_slot(generation, generation->len++);
    return REEVE_OK;
}

// ---- the table ----------------------------------------------------------------------------------------------------

static void note_last(struct job_ids *ids, struct reeve_span id)
{
    size_t len = id.len < ids->last_len ? id.len : ids->last_len;
    int order = memcmp(id.data, ids->last, len);
    if (order > 0 || (order == 0 && id.len > ids->last_len)) {
        memcpy(ids->last, id.data, id.len);
        ids->last_len = id.len;
    }
}

// Ids that grow with time, as most do, need not be looked for in the table.
static bool behind_last(const struct job_ids *ids, struct reeve_span id)
{
    size_t len = id.len < ids->last_len ? id.len : ids->last_len;
    int order = memcmp(id.data, ids->last, len);
    return order > 0 || (order == 0 && id.len > ids->last_len);
}

static enum reeve_err table_add(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_span id,
                                struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_ID_ADD];
    job_bind_text(stmt, 1, id);
    sqlite3_bind_int64(stmt, 2, queue);
    sqlite3_bind_int64(stmt, 3, number);
    note_last(&jobs->ids, id);
    return job_store_write(jobs, JOB_ID_ADD, why);
}

static enum reeve_err table_find(struct job_store *jobs, int64_t queue, struct reeve_span id, int64_t *ret,
                                 struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_ID_FIND];
    if (behind_last(&jobs->ids, id)) {
        return REEVE_NOENT;
    }
    job_bind_text(stmt, 1, id);
    sqlite3_bind_int64(stmt, 2, queue);
    int rc = sqlite3_step(stmt);
    int64_t number = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    enum reeve_err err =
        rc == SQLITE_DONE ? REEVE_NOENT : (rc == SQLITE_ROW ? REEVE_OK : job_store_fail(jobs, rc, "read", why));
    sqlite3_reset(stmt);
    if (err == REEVE_OK) {
        *ret = number;
    }
    return err;
}

// ---- adding and finding -------------------------------------------------------------------------------------------

enum reeve_err job_ids_find(struct job_store *jobs, int64_t queue, struct reeve_span id, int64_t *ret,
                            struct reeve_why *why)
{
    const struct job_ids *ids = &jobs->ids;
    if (id.len == 0 || id.len >= REEVE_JOB_ID_SIZE) {
        return REEVE_NOENT;
    }
    uint32_t hash = hash_of(ids, queue, id);
    const struct job_id_entry *entry = look_up(&ids->fresh, hash, queue, id);
    entry = entry != NULL ? entry : look_up(&ids->merging, hash, queue, id);
    if (entry != NULL) {
        *ret = entry->number;
        return REEVE_OK;
    }
    return table_find(jobs, queue, id, ret, why);
}

enum reeve_err job_ids_add(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_span id,
                           int64_t *ret_known, struct reeve_why *why)
{
    struct job_ids *ids = &jobs->ids;
    if (id.len == 0 || id.len >= REEVE_JOB_ID_SIZE) {
        return store_turn_break(jobs->store, reeve_fail(why, REEVE_INVALID, "store: that is no id of a job"), why);
    }
    enum reeve_err err = job_ids_find(jobs, queue, id, ret_known, why);
    if (err != REEVE_NOENT) {
        return err == REEVE_OK ? reeve_fail(why, REEVE_CONFLICT, "the id is known")
                               : store_turn_break(jobs->store, err, why);
    }
    // One that is late, or too many at once: the next process would not look for it, or there is no end to it.
    if (jobs->own || number <= ids->merging_max || ids->fresh.len >= 2 * ids->fresh_max) {
        return table_add(jobs, queue, number, id, why);
    }
    ids->added++;
    err = remember(&ids->fresh, hash_of(ids, queue, id), queue, number, id, why);
    return err == REEVE_OK ? err : store_turn_break(jobs->store, err, why);
}

// ---- merging ------------------------------------------------------------------------------------------------------

static int compare(const struct job_id_generation *generation, uint32_t a, uint32_t b)
{
    const struct job_id_entry *x = &generation->entries[a];
    const struct job_id_entry *y = &generation->entries[b];
    if (x->prefix != y->prefix) {
        return x->prefix < y->prefix ? -1 : 1;
    }
    int order = memcmp(generation->texts + x->text, generation->texts + y->text, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static int compare_places(const void *a, const void *b, void *generation)
{
    return compare(generation, *(const uint32_t *)a, *(const uint32_t *)b);
}

static size_t run_end(const struct job_id_generation *generation, size_t run)
{
    size_t end = (run + 1) * generation->run_len;
    return end < generation->len ? end : generation->len;
}

static enum reeve_err freeze(struct job_store *jobs, struct reeve_why *why)
{
    struct job_ids *ids = &jobs->ids;
    struct job_id_generation *fresh = &ids->fresh;
    size_t runs = (fresh->len + ids->run_len - 1) / ids->run_len;
    fresh->order = calloc(fresh->len, sizeof *fresh->order);
    fresh->heads = calloc(runs, sizeof *fresh->heads);
    fresh->heads_before = calloc(runs, sizeof *fresh->heads_before);
    if (fresh->order == NULL || fresh->heads == NULL || fresh->heads_before == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "store: out of memory"); // what there is of it is the generation's
    }
    for (size_t i = 0; i < fresh->len; i++) {
        fresh->order[i] = (uint32_t)i;
        ids->merging_max = fresh->entries[i].number > ids->merging_max ? fresh->entries[i].number : ids->merging_max;
    }
    fresh->runs = runs;
    fresh->run_len = ids->run_len;
    ids->merging = *fresh;
    ids->fresh = (struct job_id_generation){0};
    ids->reload = true;
    return REEVE_OK;
}

static void sort_runs(struct job_id_generation *merging, size_t count)
{
    for (; count > 0 && merging->sorted < merging->runs; count--, merging->sorted++) {
        size_t first = merging->sorted * merging->run_len;
        merging->heads[merging->sorted] = first;
        merging->heads_before[merging->sorted] = first;
        qsort_r(merging->order + first, run_end(merging, merging->sorted) - first, sizeof *merging->order,
                compare_places, merging);
    }
}

// The next one in order of id; false at the end.
static bool next_place(struct job_id_generation *merging, uint32_t *ret)
{
    size_t least = SIZE_MAX;
    for (size_t run = 0; run < merging->runs; run++) {
        if (merging->heads[run] < run_end(merging, run) &&
            (least == SIZE_MAX ||
             compare(merging, merging->order[merging->heads[run]], merging->order[merging->heads[least]]) < 0)) {
            least = run;
        }
    }
    if (least == SIZE_MAX) {
        return false;
    }
    *ret = merging->order[merging->heads[least]++];
    return true;
}

static enum reeve_err finish(struct job_store *jobs, struct reeve_why *why)
{
    struct job_ids *ids = &jobs->ids;
    generation_done(&ids->merging);
    ids->merged = ids->merging_max;
    ids->reload = true;
    return store_number_set(jobs->store, MERGED_KEY, ids->merged, why);
}

static enum reeve_err merge(struct job_store *jobs, size_t count, struct reeve_why *why)
{
    struct job_id_generation *merging = &jobs->ids.merging;
    enum reeve_err err = REEVE_OK;
    for (uint32_t place; count > 0 && err == REEVE_OK; count--) {
        if (!next_place(merging, &place)) {
            return finish(jobs, why);
        }
        const struct job_id_entry *entry = &merging->entries[place];
        if (entry->number != 0) {
            err = table_add(jobs, entry->queue, entry->number, text_of(merging, entry), why);
        }
    }
    return err;
}

// Work in proportion to what the turn added, so that a generation is merged before the next one is full; and more for
// one that an earlier process had begun with, which may have ended before each of its generations was merged.
static size_t share_of(const struct job_ids *ids)
{
    return ids->added + ids->added / 2 + 1 + (ids->merging.loaded ? ids->fresh_max / 128 + 4 : 0);
}

enum reeve_err job_ids_flush(struct job_store *jobs, struct reeve_why *why)
{
    struct job_ids *ids = &jobs->ids;
    enum reeve_err err = REEVE_OK;
    if (ids->merging.len > 0 && ids->merging.sorted < ids->merging.runs) {
        sort_runs(&ids->merging, 1 + ids->added * 4 / ids->run_len);
    } else if (ids->merging.len > 0) {
        err = merge(jobs, share_of(ids), why);
    } else if (ids->fresh.len >= ids->fresh_max) {
        err = freeze(jobs, why);
    }
    return err == REEVE_OK ? err : store_turn_break(jobs->store, err, why);
}

// ---- turns --------------------------------------------------------------------------------------------------------

void job_ids_begin(struct job_store *jobs)
{
    struct job_ids *ids = &jobs->ids;
    if (ids->merging.len > 0) {
        memcpy(ids->merging.heads_before, ids->merging.heads, ids->merging.runs * sizeof *ids->merging.heads);
    }
    ids->fresh_before = ids->fresh.len;
    ids->added = 0;
    ids->reload = false;
}

bool job_ids_undo(struct job_store *jobs)
{
    struct job_ids *ids = &jobs->ids;
    if (ids->reload) {
        return false;
    }
    while (ids->fresh.len > ids->fresh_before) {
        empty_slot(&ids->fresh, --ids->fresh.len);
        ids->fresh.texts_len = ids->fresh.entries[ids->fresh.len].text;
    }
    if (ids->merging.len > 0) {
        memcpy(ids->merging.heads, ids->merging.heads_before, ids->merging.runs * sizeof *ids->merging.heads);
    }
    job_ids_begin(jobs);
    return true;
}

// ---- forgetting ---------------------------------------------------------------------------------------------------

static void forget_entry(struct job_store *jobs, int64_t queue, struct reeve_span id)
{
    struct job_ids *ids = &jobs->ids;
    uint32_t hash = hash_of(ids, queue, id);
    struct job_id_entry *entry = look_up(&ids->fresh, hash, queue, id);
    entry = entry != NULL ? entry : look_up(&ids->merging, hash, queue, id);
    if (entry != NULL) {
        entry->number = 0;
        ids->reload = true;
    }
}

// Those of a run that may be in memory; mostly none are, since ids are kept for long.
static enum reeve_err forget_entries(struct job_store *jobs, int64_t queue, int64_t first, int64_t last,
                                     struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_ID_OF_RUN];
    int64_t behind = job_past_place(queue, jobs->ids.merged + 1);
    int rc;
    if (jobs->own || last < behind) {
        return REEVE_OK;
    }
    sqlite3_bind_int64(stmt, 1, first > behind ? first : behind);
    sqlite3_bind_int64(stmt, 2, last);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        forget_entry(jobs, queue, job_column(stmt, 1));
    }
    enum reeve_err err = rc == SQLITE_DONE ? REEVE_OK : job_store_fail(jobs, rc, "read", why);
    sqlite3_reset(stmt);
    return store_turn_break(jobs->store, err, why);
}

enum reeve_err job_ids_forget(struct job_store *jobs, int64_t queue, int64_t first, int64_t last, struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_ID_REMOVE_RUN];
    enum reeve_err err = forget_entries(jobs, queue, first, last, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_bind_int64(stmt, 1, first);
    sqlite3_bind_int64(stmt, 2, last);
    sqlite3_bind_int64(stmt, 3, queue);
    return job_store_write(jobs, JOB_ID_REMOVE_RUN, why);
}

enum reeve_err job_ids_forget_one(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_why *why)
{
    struct job_body body;
    enum reeve_err err = job_store_body(jobs, number, &body, why);
    if (err != REEVE_OK) {
        return store_turn_break(jobs->store, err, why);
    }
    forget_entry(jobs, queue, body.id);
    job_bind_text(jobs->statements[JOB_ID_REMOVE], 1, body.id);
    sqlite3_bind_int64(jobs->statements[JOB_ID_REMOVE], 2, queue);
    err = job_store_write(jobs, JOB_ID_REMOVE, why);
    job_store_read_done(jobs);
    return err;
}

void job_ids_forget_queue(struct job_store *jobs, int64_t queue)
{
    struct job_id_generation *const generations[] = {&jobs->ids.fresh, &jobs->ids.merging};
    jobs->ids.reload = true;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(generations); i++) {
        for (size_t place = 0; place < generations[i]->len; place++) {
            struct job_id_entry *entry = &generations[i]->entries[place];
            entry->number = entry->queue == queue ? 0 : entry->number;
        }
    }
}

// ---- loading ------------------------------------------------------------------------------------------------------

static enum reeve_err load_row(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_span id,
                               struct reeve_why *why)
{
    if (id.len == 0 || id.len >= REEVE_JOB_ID_SIZE || queue < 1 || queue > JOB_QUEUE_MAX) {
        return reeve_fail(why, REEVE_CORRUPT, "store: job %lld has no id", (long long)number);
    }
    return remember(&jobs->ids.fresh, hash_of(&jobs->ids, queue, id), queue, number, id, why);
}

static enum reeve_err load_rows(struct job_store *jobs, enum job_statement statement, int64_t first, int64_t last,
                                struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[statement];
    enum reeve_err err = REEVE_OK;
    int rc = SQLITE_DONE;
    sqlite3_bind_int64(stmt, 1, first);
    sqlite3_bind_int64(stmt, 2, last);
    while (err == REEVE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t place = sqlite3_column_int64(stmt, 0);
        struct reeve_span id = job_column(stmt, 1);
        int64_t queue = statement == JOB_ID_OF_RUN ? place >> JOB_NUMBER_BITS : sqlite3_column_int64(stmt, 2);
        err = load_row(jobs, queue, place & JOB_NUMBER_MAX, id, why);
    }
    if (err == REEVE_OK && rc != SQLITE_DONE) {
        err = job_store_fail(jobs, rc, "read", why);
    }
    sqlite3_reset(stmt);
    return err;
}

static enum reeve_err load_last(struct job_store *jobs, struct reeve_why *why)
{
    struct job_ids *ids = &jobs->ids;
    sqlite3_stmt *stmt = jobs->statements[JOB_ID_LAST];
    int rc = sqlite3_step(stmt);
    struct reeve_span last = rc == SQLITE_ROW ? job_column(stmt, 0) : (struct reeve_span){0};
    enum reeve_err err = rc == SQLITE_ROW || rc == SQLITE_DONE ? REEVE_OK : job_store_fail(jobs, rc, "read", why);
    ids->last_len = last.len < sizeof ids->last ? last.len : sizeof ids->last;
    if (ids->last_len > 0) {
        memcpy(ids->last, last.data, ids->last_len);
    }
    sqlite3_reset(stmt);
    return err;
}

enum reeve_err job_ids_load(struct job_store *jobs, struct reeve_why *why)
{
    struct job_ids *ids = &jobs->ids;
    job_ids_done(jobs);
    if (ids->fresh_max == 0) {
        ids->fresh_max = FRESH_MAX;
        ids->run_len = RUN_LEN;
        reeve_random_bytes(&ids->seed, sizeof ids->seed);
    }
    enum reeve_err err = load_last(jobs, why);
    if (err != REEVE_OK || jobs->own) {
        return err;
    }
    ids->merged = store_number(jobs->store, MERGED_KEY, 0);
    ids->merging_max = ids->merged;
    err = load_rows(jobs, JOB_ID_UNMERGED, ids->merged + 1, JOB_NUMBER_MAX, why);
    for (size_t i = 1; i < jobs->queues_len && err == REEVE_OK; i++) {
        if (jobs->queues[i].name != NULL && jobs->queues[i].past > 0) {
            err = load_rows(jobs, JOB_ID_OF_RUN, job_past_place((int64_t)i, ids->merged + 1),
                            job_past_place((int64_t)i, JOB_NUMBER_MAX), why);
        }
    }
    ids->fresh.loaded = true;
    job_ids_begin(jobs);
    return err;
}

void job_ids_done(struct job_store *jobs)
{
    generation_done(&jobs->ids.fresh);
    generation_done(&jobs->ids.merging);
}
