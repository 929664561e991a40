// Jobs on disk: what each call writes and finds again; turns that fail leave nothing half done, whatever ends the
// process or fills the file; retention in steps; a store without jobs is migrated. Most of it on a file and in memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include <fcntl.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "job_store_priv.h"

#define assert_ok(call) assert_int_equal(call, REEVE_OK)
#define SPAN(text)      ((struct reeve_span){.data = (text), .len = strlen(text)})

struct site {
    char dir[64];
    bool memory;
    struct store *store; // NULL in memory
    struct job_store *jobs;
    int64_t queue;
};

static void open_site(struct site *site)
{
    struct reeve_why why = {0};
    if (site->memory) {
        assert_ok(job_store_open_memory(64 << 20, &site->jobs, NULL));
    } else if (store_open(site->dir, &site->store, &why) != REEVE_OK ||
               job_store_open(site->store, &site->jobs, &why) != REEVE_OK) {
        fail_msg("%s", why.text);
    }
    assert_ok(job_store_queue(site->jobs, "main", &site->queue, NULL));
}

static void close_site(struct site *site)
{
    job_store_close(site->jobs);
    store_close(site->store);
    site->jobs = NULL;
    site->store = NULL;
}

static enum reeve_err try_commit(struct site *site, struct reeve_why *why)
{
    return site->memory ? job_store_commit(site->jobs, why) : store_commit(site->store, why);
}

static void commit(struct site *site)
{
    struct reeve_why why = {0};
    if (try_commit(site, &why) != REEVE_OK) {
        fail_msg("%s", why.text);
    }
}

static void undo(struct site *site)
{
    if (site->memory) {
        job_store_undo(site->jobs);
    } else {
        store_undo(site->store);
    }
}

// What is on disk, as the next process would see it; memory has no next process.
static void look_again(struct site *site)
{
    commit(site);
    if (!site->memory) {
        close_site(site);
        open_site(site);
        assert_ok(store_check(site->store, NULL, NULL, NULL));
    }
}

static const char *path_in(const struct site *site, const char *file)
{
    static char paths[4][160];
    static size_t next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", site->dir, file);
    return path;
}

static int setup(void **state)
{
    struct site *site = calloc(1, sizeof(*site));
    (void)snprintf(site->dir, sizeof(site->dir), "/tmp/reeve-job-store-XXXXXX");
    *state = site;
    return mkdtemp(site->dir) == NULL ? -1 : 0;
}

static int setup_file(void **state)
{
    int rc = setup(state);
    open_site(*state);
    return rc;
}

static int setup_memory(void **state)
{
    int rc = setup(state);
    struct site *site = *state;
    site->memory = true;
    open_site(site);
    return rc;
}

static int teardown(void **state)
{
    struct site *site = *state;
    close_site(site);
    (void)reeve_dir_remove(site->dir, NULL); // left for whoever looks into /tmp
    free(site);
    return 0;
}

// ---- helpers ----------------------------------------------------------------------------------------------------

static void add(struct site *site, int64_t number, const char *id)
{
    char body[64];
    int64_t known = 0;
    (void)snprintf(body, sizeof body, "body of %s", id);
    assert_ok(job_store_add(site->jobs, site->queue, number, SPAN(id), SPAN(body), (uint64_t)number * 7, &known, NULL));
}

static struct job_row row_of(const struct site *site, int64_t number, enum reeve_job_state state)
{
    return (struct job_row){.number = number,
                            .queue = site->queue,
                            .class = 3,
                            .state = state,
                            .flags = JOB_FLAG_CHECKPOINT,
                            .priority = 5,
                            .attempt = 2,
                            .failures = 1,
                            .deaths = 4,
                            .reconciles = 6,
                            .added_at = 1000 + number,
                            .run_at = 2000,
                            .started_at = 3000 + number,
                            .after_left = 8,
                            .key = SPAN("account-7"),
                            .worker = SPAN("node-a/worker-1"),
                            .worker_epoch = 1790000000000};
}

static void put(struct site *site, int64_t number, enum reeve_job_state state)
{
    const struct job_row row = row_of(site, number, state);
    assert_ok(job_store_put(site->jobs, &row, NULL));
}

static struct job_ended_row ended_of(const struct site *site, int64_t number, enum reeve_job_state state)
{
    return (struct job_ended_row){.number = number,
                                  .queue = site->queue,
                                  .state = state,
                                  .attempt = 2,
                                  .failures = 1,
                                  .deaths = 3,
                                  .added_at = 1000 + number,
                                  .started_at = 3000 + number,
                                  .ended_at = 5000 + number,
                                  .worker = SPAN("node-a/worker-1"),
                                  .error = SPAN("no money"),
                                  .result = {.data = "\x81\xa1x\x05", .len = 4},
                                  .retained = true};
}

static void end(struct site *site, int64_t number, enum reeve_job_state state)
{
    const struct job_ended_row row = ended_of(site, number, state);
    assert_ok(job_store_end(site->jobs, &row, NULL));
}

// A job that was added, and has ended at 5000 + number.
static void done(struct site *site, int64_t number, enum reeve_job_state state)
{
    char id[32];
    (void)snprintf(id, sizeof id, "job-%lld", (long long)number);
    add(site, number, id);
    put(site, number, REEVE_JOB_ACTIVE);
    end(site, number, state);
}

struct listed {
    char text[4096];
    size_t count;
    size_t stop_at; // 0 = never
};

static void list_number(struct listed *listed, int64_t number)
{
    size_t len = strlen(listed->text);
    if (len + 24 < sizeof listed->text) {
        (void)snprintf(listed->text + len, sizeof listed->text - len, "%lld ", (long long)number);
    }
    listed->count++;
}

static void list_live(const struct job_row *row, void *arg)
{
    list_number(arg, row->number);
}

static bool list_ended(const struct job_ended_row *row, void *arg)
{
    struct listed *listed = arg;
    assert_true(row->retained);
    list_number(listed, row->number);
    return listed->stop_at == 0 || listed->count < listed->stop_at;
}

static const char *live(struct site *site)
{
    static struct listed listed;
    listed = (struct listed){0};
    assert_ok(job_store_each_live(site->jobs, list_live, &listed, NULL));
    return listed.text;
}

static const char *ended(struct site *site, enum reeve_job_state state, int64_t before, int64_t limit)
{
    static struct listed listed;
    listed = (struct listed){0};
    assert_ok(job_store_each_ended(site->jobs, site->queue, state, before, limit, list_ended, &listed, NULL));
    return listed.text;
}

static const char *all_ended(struct site *site)
{
    return ended(site, REEVE_JOB_STATE_COUNT, 0, 1000000);
}

static int64_t number_of(struct site *site, const char *id) // 0 = not known
{
    int64_t number = 0;
    enum reeve_err err = job_store_find(site->jobs, site->queue, SPAN(id), &number, NULL);
    assert_true(err == REEVE_OK || err == REEVE_NOENT);
    return number;
}

static void assert_span(struct reeve_span span, const char *text)
{
    assert_int_equal(span.len, strlen(text));
    assert_memory_equal(span.len > 0 ? span.data : "", text, span.len);
}

static int64_t rows(struct site *site, const char *table)
{
    char sql[64];
    int64_t count = 0;
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    assert_ok(store_pragma(site->jobs->store->db, sql, &count, NULL));
    return count;
}

static struct job_ended_counts counts_of(struct site *site)
{
    struct job_ended_counts counts;
    assert_ok(job_store_count_ended(site->jobs, site->queue, &counts, NULL));
    return counts;
}

static void assert_counts(struct site *site, int64_t completed, int64_t failed, int64_t cancelled, int64_t ids)
{
    struct job_ended_counts counts = counts_of(site);
    assert_int_equal(counts.by_state[REEVE_JOB_COMPLETED], completed);
    assert_int_equal(counts.by_state[REEVE_JOB_FAILED], failed);
    assert_int_equal(counts.by_state[REEVE_JOB_CANCELLED], cancelled);
    assert_int_equal(counts.ids, ids);
}

// ---- queues and classes -----------------------------------------------------------------------------------------

static void a_queue_keeps_its_number(void **state)
{
    struct site *site = *state;
    int64_t other = 0;
    int64_t again = 0;
    assert_ok(job_store_queue(site->jobs, "other", &other, NULL));
    assert_int_not_equal(other, site->queue);
    assert_ok(job_store_queue(site->jobs, "main", &again, NULL));
    assert_int_equal(again, site->queue);
    look_again(site);
    assert_ok(job_store_queue(site->jobs, "other", &again, NULL));
    assert_int_equal(again, other);
}

static void a_queue_of_an_undone_turn_is_none(void **state)
{
    struct site *site = *state;
    int64_t number = 0;
    commit(site);
    assert_ok(job_store_queue(site->jobs, "other", &number, NULL));
    undo(site);
    const struct job_row row = {.number = 1, .queue = number, .state = REEVE_JOB_WAITING};
    assert_int_equal(job_store_put(site->jobs, &row, NULL), REEVE_INVALID);
    assert_int_equal(try_commit(site, NULL), REEVE_INVALID);
    add(site, 1, "a");
    commit(site);
    assert_int_equal(number_of(site, "a"), 1);
}

static void list_class(const struct job_class_row *row, void *arg)
{
    struct listed *listed = arg;
    list_number(listed, row->number);
    assert_span(row->type, row->number == 2 ? "mail" : "");
    assert_span(row->requires, row->number == 2 ? "\x91\xa1x" : "");
}

static void classes_are_kept_until_they_are_removed(void **state)
{
    struct site *site = *state;
    const struct job_class_row one = {.number = 1, .queue = site->queue};
    const struct job_class_row two = {
        .number = 2, .queue = site->queue, .type = SPAN("mail"), .requires = SPAN("\x91\xa1x")};
    struct listed listed = {0};
    assert_ok(job_store_class_put(site->jobs, &two, NULL));
    assert_ok(job_store_class_put(site->jobs, &one, NULL));
    look_again(site);
    assert_ok(job_store_class_each(site->jobs, list_class, &listed, NULL));
    assert_string_equal(listed.text, "1 2 ");
    assert_ok(job_store_class_remove(site->jobs, 1, NULL));
    look_again(site);
    listed = (struct listed){0};
    assert_ok(job_store_class_each(site->jobs, list_class, &listed, NULL));
    assert_string_equal(listed.text, "2 ");
}

// Steps of `rows_max` until nothing is left to do.
static int retain_all(struct site *site, int64_t rows_max)
{
    const struct job_retention rule = {.queue = site->queue, .now = 1000, .rows_max = rows_max};
    int64_t count = rows_max;
    int steps = 0;
    for (; count == rows_max; steps++) {
        assert_ok(job_store_retain(site->jobs, &rule, &count, NULL));
        assert_true(count <= rows_max);
        look_again(site);
    }
    return steps;
}

static void assert_only_kept(struct site *site)
{
    static const char *const tables[] = {"job",      "job_body",  "job_id",     "job_ended", "job_past",
                                         "job_note", "job_after", "job_dedupe", "job_class"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(tables); i++) {
        assert_int_equal(rows(site, tables[i]), i < 2 || (i == 2 && site->memory) ? 1 : 0); // ids are merged later
    }
    assert_int_equal(rows(site, "job_queue"), 2); // "main", and the one that is none
    assert_int_equal(number_of(site, "kept"), 1);
    assert_string_equal(live(site), "1 ");
}

static void fill_other(struct site *other, int64_t first, int64_t len)
{
    for (int64_t number = first; number < first + len; number++) {
        done(other, number, number % 2 == 0 ? REEVE_JOB_COMPLETED : REEVE_JOB_FAILED);
    }
    add(other, first + len, "live");
    put(other, first + len, REEVE_JOB_DELAYED);
    assert_ok(job_store_note_put(other->jobs, first + len, JOB_NOTE_LOG, SPAN("x"), NULL));
    assert_ok(job_store_after_put(other->jobs, first + len, first, NULL));
    assert_ok(job_store_dedupe_put(other->jobs, other->queue, SPAN("k"), 20, 99, NULL));
    const struct job_class_row class = {.number = 1, .queue = other->queue};
    assert_ok(job_store_class_put(other->jobs, &class, NULL));
    assert_ok(job_store_remove(other->jobs, first + 1, NULL));
}

static void a_removed_queue_leaves_nothing_but_the_highest_number(void **state)
{
    struct site *site = *state;
    struct site other = *site;
    int64_t max = 0;
    assert_ok(job_store_queue(site->jobs, "other", &other.queue, NULL));
    add(site, 1, "kept");
    put(site, 1, REEVE_JOB_WAITING);
    fill_other(&other, 10, 10);
    look_again(site);
    assert_ok(job_store_queue_remove(site->jobs, other.queue, NULL));
    assert_int_equal(job_store_queue_remove(site->jobs, other.queue, NULL), REEVE_NOENT);
    look_again(site);
    assert_only_kept(site);
    assert_ok(job_store_number_max(site->jobs, &max, NULL));
    assert_int_equal(max, 20);
}

static void a_large_queue_is_removed_in_steps(void **state)
{
    struct site *site = *state;
    struct site other = *site;
    int64_t again = 0;
    int64_t known = 0;
    assert_ok(job_store_queue(site->jobs, "other", &other.queue, NULL));
    add(site, 1, "kept");
    put(site, 1, REEVE_JOB_WAITING);
    fill_other(&other, 10, 3000);
    commit(site);
    assert_ok(job_store_queue_remove(site->jobs, other.queue, NULL));
    look_again(site);
    assert_true(rows(site, "job_body") > 1500);
    assert_string_equal(live(site), "1 ");
    assert_ok(job_store_queue(site->jobs, "other", &again, NULL)); // the name is free at once
    assert_int_not_equal(again, other.queue);
    assert_ok(job_store_add(site->jobs, again, 5000, SPAN("job-11"), SPAN(""), 1, &known, NULL));
    undo(site);
    assert_true(retain_all(site, 300) > 10);
    look_again(site);
    assert_only_kept(site);
}

// ---- a job's way ------------------------------------------------------------------------------------------------

static void check_live(const struct job_row *row, void *arg)
{
    const struct job_row *expected = arg;
    assert_int_equal(row->number, expected->number);
    assert_int_equal(row->queue, expected->queue);
    assert_int_equal(row->class, expected->class);
    assert_int_equal(row->state, expected->state);
    assert_int_equal(row->flags, expected->flags);
    assert_int_equal(row->priority, expected->priority);
    assert_int_equal(row->attempt, expected->attempt);
    assert_int_equal(row->failures, expected->failures);
    assert_int_equal(row->deaths, expected->deaths);
    assert_int_equal(row->reconciles, expected->reconciles);
    assert_int_equal(row->added_at, expected->added_at);
    assert_int_equal(row->run_at, expected->run_at);
    assert_int_equal(row->started_at, expected->started_at);
    assert_int_equal(row->after_left, expected->after_left);
    assert_true(reeve_span_eq(row->key, expected->key));
    assert_true(reeve_span_eq(row->worker, expected->worker));
    assert_int_equal(row->worker_epoch, expected->worker_epoch);
}

static void a_live_row_comes_back_as_it_was_put(void **state)
{
    struct site *site = *state;
    static const enum reeve_job_state states[] = {REEVE_JOB_WAITING, REEVE_JOB_DELAYED, REEVE_JOB_ACTIVE,
                                                  REEVE_JOB_UNKNOWN};
    add(site, 5, "a");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(states); i++) {
        struct job_row row = row_of(site, 5, states[i]);
        assert_ok(job_store_put(site->jobs, &row, NULL));
        look_again(site);
        assert_ok(job_store_each_live(site->jobs, check_live, &row, NULL));
    }
    struct job_row bare = {.number = 5, .queue = site->queue, .state = REEVE_JOB_WAITING};
    assert_ok(job_store_put(site->jobs, &bare, NULL));
    look_again(site);
    assert_ok(job_store_each_live(site->jobs, check_live, &bare, NULL));
    assert_string_equal(live(site), "5 ");
}

static void an_id_is_known_once_in_each_queue(void **state)
{
    struct site *site = *state;
    struct site other = *site;
    struct job_body body;
    int64_t known = 0;
    assert_ok(job_store_queue(site->jobs, "other", &other.queue, NULL));
    add(site, 1, "same");
    assert_int_equal(job_store_add(site->jobs, site->queue, 2, SPAN("same"), SPAN("b"), 9, &known, NULL),
                     REEVE_CONFLICT);
    assert_int_equal(known, 1);
    add(&other, 3, "same");
    look_again(site); // the conflict did not break the turn
    assert_int_equal(number_of(site, "same"), 1);
    assert_int_equal(number_of(site, "sam"), 0);
    other.jobs = site->jobs;
    assert_int_equal(number_of(&other, "same"), 3);
    known = 0;
    assert_int_equal(job_store_add(site->jobs, site->queue, 4, SPAN("same"), SPAN("b"), 9, &known, NULL),
                     REEVE_CONFLICT);
    assert_int_equal(known, 1);
    assert_int_equal(job_store_body(site->jobs, 4, &body, NULL), REEVE_NOENT);
    assert_int_equal(job_store_body(site->jobs, 2, &body, NULL), REEVE_NOENT);
    assert_ok(job_store_body(site->jobs, 1, &body, NULL));
    assert_span(body.id, "same");
    assert_span(body.raw, "body of same");
    assert_int_equal(body.digest, 7);
}

static void the_highest_number_is_never_forgotten(void **state)
{
    struct site *site = *state;
    int64_t max = 0;
    add(site, 900, "a");
    add(site, 17, "b");
    commit(site);
    add(site, 1000, "c");
    undo(site);
    assert_ok(job_store_number_max(site->jobs, &max, NULL));
    assert_int_equal(max, 900);
    end(site, 900, REEVE_JOB_CANCELLED);
    const struct job_retention all = {.queue = site->queue, .now = 1000000, .id_retention_ms = 1, .rows_max = 10};
    int64_t count = 0;
    assert_ok(job_store_retain(site->jobs, &all, &count, NULL));
    look_again(site);
    assert_int_equal(number_of(site, "a"), 0);
    assert_ok(job_store_number_max(site->jobs, &max, NULL));
    assert_int_equal(max, 900);
}

static void an_ended_job_is_no_longer_live_and_can_be_read(void **state)
{
    struct site *site = *state;
    struct job_ended_row row;
    struct job_body body;
    add(site, 1, "a");
    put(site, 1, REEVE_JOB_ACTIVE);
    add(site, 2, "b");
    put(site, 2, REEVE_JOB_WAITING);
    assert_int_equal(job_store_ended(site->jobs, 1, &row, NULL), REEVE_NOENT);
    end(site, 1, REEVE_JOB_FAILED);
    look_again(site);
    assert_string_equal(live(site), "2 ");
    assert_int_equal(job_store_ended(site->jobs, 2, &row, NULL), REEVE_NOENT);
    assert_int_equal(job_store_ended(site->jobs, 3, &row, NULL), REEVE_NOENT);
    assert_ok(job_store_ended(site->jobs, 1, &row, NULL));
    const struct job_ended_row expected = ended_of(site, 1, REEVE_JOB_FAILED);
    assert_int_equal(row.number, 1);
    assert_int_equal(row.queue, site->queue);
    assert_int_equal(row.state, REEVE_JOB_FAILED);
    assert_int_equal(row.attempt, expected.attempt);
    assert_int_equal(row.failures, expected.failures);
    assert_int_equal(row.deaths, expected.deaths);
    assert_int_equal(row.added_at, expected.added_at);
    assert_int_equal(row.started_at, expected.started_at);
    assert_int_equal(row.ended_at, expected.ended_at);
    assert_true(reeve_span_eq(row.worker, expected.worker));
    assert_true(reeve_span_eq(row.error, expected.error));
    assert_true(reeve_span_eq(row.result, expected.result));
    assert_true(row.retained);
    assert_ok(job_store_body(site->jobs, 1, &body, NULL));
    assert_span(body.raw, "body of a");
    assert_counts(site, 0, 1, 0, 1);
}

static void one_that_is_not_retained_leaves_its_id_and_state(void **state)
{
    struct site *site = *state;
    struct job_ended_row row = ended_of(site, 1, REEVE_JOB_CANCELLED);
    struct job_body body;
    struct reeve_span note;
    row.retained = false;
    add(site, 1, "a");
    put(site, 1, REEVE_JOB_ACTIVE);
    assert_ok(job_store_note_put(site->jobs, 1, JOB_NOTE_CHECKPOINT, SPAN("c"), NULL));
    assert_ok(job_store_end(site->jobs, &row, NULL));
    look_again(site);
    assert_string_equal(all_ended(site), "");
    assert_counts(site, 0, 0, 0, 1);
    assert_int_equal(number_of(site, "a"), 1);
    assert_ok(job_store_body(site->jobs, 1, &body, NULL));
    assert_span(body.id, "a");
    assert_int_equal(body.digest, 7);
    assert_int_equal(body.raw.len, 0);
    assert_ok(job_store_ended(site->jobs, 1, &row, NULL));
    assert_false(row.retained);
    assert_int_equal(row.state, REEVE_JOB_CANCELLED);
    assert_int_equal(row.attempt, 2);
    assert_int_equal(row.ended_at, 5001);
    assert_int_equal(row.queue, site->queue);
    assert_int_equal(job_store_note(site->jobs, 1, JOB_NOTE_CHECKPOINT, &note, NULL), REEVE_NOENT);
    const struct job_row again = row_of(site, 1, REEVE_JOB_WAITING);
    assert_int_equal(job_store_revive(site->jobs, &again, NULL), REEVE_NOENT);
}

static void a_revived_job_is_live_again(void **state)
{
    struct site *site = *state;
    struct job_row row = row_of(site, 2, REEVE_JOB_WAITING);
    struct job_body body;
    done(site, 1, REEVE_JOB_FAILED);
    done(site, 2, REEVE_JOB_FAILED);
    commit(site);
    assert_ok(job_store_revive(site->jobs, &row, NULL));
    look_again(site);
    assert_ok(job_store_each_live(site->jobs, check_live, &row, NULL));
    assert_string_equal(live(site), "2 ");
    assert_string_equal(all_ended(site), "1 ");
    assert_counts(site, 0, 1, 0, 1);
    assert_ok(job_store_body(site->jobs, 2, &body, NULL));
    assert_span(body.raw, "body of job-2");
    row.number = 3;
    assert_int_equal(job_store_revive(site->jobs, &row, NULL), REEVE_NOENT);
    end(site, 2, REEVE_JOB_COMPLETED);
    look_again(site);
    assert_counts(site, 1, 1, 0, 2);
}

static void ended_jobs_are_listed_newest_first_by_state_and_page(void **state)
{
    struct site *site = *state;
    struct site other = *site;
    assert_ok(job_store_queue(site->jobs, "other", &other.queue, NULL));
    static const enum reeve_job_state states[] = {REEVE_JOB_COMPLETED, REEVE_JOB_FAILED, REEVE_JOB_COMPLETED,
                                                  REEVE_JOB_CANCELLED};
    for (int64_t number = 1; number <= 8; number++) {
        done(site, number, states[number % 4]);
    }
    done(&other, 9, REEVE_JOB_COMPLETED);
    look_again(site);
    assert_string_equal(all_ended(site), "8 7 6 5 4 3 2 1 ");
    assert_string_equal(ended(site, REEVE_JOB_STATE_COUNT, 6, 3), "5 4 3 ");
    assert_string_equal(ended(site, REEVE_JOB_COMPLETED, 0, 10), "8 6 4 2 ");
    assert_string_equal(ended(site, REEVE_JOB_COMPLETED, 6, 1), "4 ");
    assert_string_equal(ended(site, REEVE_JOB_FAILED, 0, 10), "5 1 ");
    assert_string_equal(ended(site, REEVE_JOB_CANCELLED, 7, 10), "3 ");
    assert_string_equal(ended(site, REEVE_JOB_CANCELLED, 1, 10), "");
    assert_string_equal(ended(site, REEVE_JOB_COMPLETED, 0, 0), "");
    struct listed listed = {.stop_at = 2};
    assert_ok(job_store_each_ended(site->jobs, site->queue, REEVE_JOB_STATE_COUNT, 0, 9, list_ended, &listed, NULL));
    assert_string_equal(listed.text, "8 7 ");
    assert_counts(site, 4, 2, 2, 8);
}

static bool revive_each(const struct job_ended_row *row, void *arg)
{
    struct site *site = arg;
    struct job_body body;
    char id[32];
    assert_ok(job_store_body(site->jobs, row->number, &body, NULL));
    (void)snprintf(id, sizeof id, "job-%lld", (long long)row->number);
    assert_span(body.id, id);
    const struct job_row again = row_of(site, row->number, REEVE_JOB_WAITING);
    assert_ok(job_store_revive(site->jobs, &again, NULL));
    return true;
}

static void jobs_may_be_read_and_revived_while_they_are_listed(void **state)
{
    struct site *site = *state;
    struct listed listed = {0};
    for (int64_t number = 1; number <= 500; number++) {
        done(site, number, number % 2 == 0 ? REEVE_JOB_FAILED : REEVE_JOB_CANCELLED);
    }
    commit(site);
    assert_ok(job_store_each_ended(site->jobs, site->queue, REEVE_JOB_STATE_COUNT, 0, 400, revive_each, site, NULL));
    look_again(site);
    assert_ok(job_store_each_live(site->jobs, list_live, &listed, NULL));
    assert_int_equal(listed.count, 400);
    assert_counts(site, 0, 50, 50, 100);
}

static void the_starts_of_a_window_are_found(void **state)
{
    struct site *site = *state;
    struct site other = *site;
    int64_t times[8] = {0};
    size_t len = 99;
    assert_ok(job_store_queue(site->jobs, "other", &other.queue, NULL));
    done(&other, 1, REEVE_JOB_COMPLETED);
    done(site, 2, REEVE_JOB_COMPLETED);
    done(site, 3, REEVE_JOB_FAILED);
    add(site, 4, "d");
    put(site, 4, REEVE_JOB_ACTIVE);
    add(site, 5, "e");
    const struct job_row never = {.number = 5, .queue = site->queue, .state = REEVE_JOB_WAITING};
    assert_ok(job_store_put(site->jobs, &never, NULL));
    look_again(site);
    assert_ok(job_store_starts(site->jobs, site->queue, 0, times, 8, &len, NULL));
    assert_int_equal(len, 3);
    assert_int_equal(times[0], 3002);
    assert_int_equal(times[1], 3003);
    assert_int_equal(times[2], 3004);
    assert_ok(job_store_starts(site->jobs, site->queue, 3003, times, 8, &len, NULL));
    assert_int_equal(len, 2);
    assert_ok(job_store_starts(site->jobs, site->queue, 0, times, 2, &len, NULL));
    assert_int_equal(len, 2);
    assert_int_equal(times[0], 3003);
    assert_ok(job_store_starts(site->jobs, site->queue, 4000, times, 2, &len, NULL));
    assert_int_equal(len, 0);
}

static void the_starts_of_a_rate_are_kept_whatever_became_of_the_jobs(void **state)
{
    struct site *site = *state;
    struct site other = *site;
    int64_t times[200] = {0};
    size_t len = 99;
    assert_ok(job_store_queue(site->jobs, "other", &other.queue, NULL));
    done(site, 2, REEVE_JOB_COMPLETED); // knows of a start that was not told
    for (int64_t i = 1; i <= 300; i++) {
        assert_ok(job_store_started(site->jobs, site->queue, 10000 + i, 100, NULL));
        assert_ok(job_store_started(site->jobs, other.queue, 20000 + i, 3, NULL));
        if (i % 70 == 0) {
            look_again(site);
        }
    }
    commit(site);
    assert_ok(job_store_started(site->jobs, site->queue, 99999, 100, NULL));
    undo(site);
    assert_ok(job_store_started(site->jobs, site->queue, 10301, 100, NULL));
    look_again(site);
    assert_ok(job_store_starts(site->jobs, site->queue, 0, times, 100, &len, NULL));
    assert_int_equal(len, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(times[i], 10202 + (int64_t)i);
    }
    assert_ok(job_store_starts(site->jobs, site->queue, 10300, times, 100, &len, NULL));
    assert_int_equal(len, 2);
    assert_true(rows(site, "job_start") < 100 + 3 + 2 * 64);
    assert_ok(job_store_queue_remove(site->jobs, other.queue, NULL));
    look_again(site);
    assert_true(rows(site, "job_start") < 100 + 64);
    assert_int_equal(job_store_started(site->jobs, other.queue, 1, 1, NULL), REEVE_INVALID);
    undo(site);
}

// ---- notes, dependencies, dedupe --------------------------------------------------------------------------------

static void notes_are_replaced_and_stay_through_the_end(void **state)
{
    struct site *site = *state;
    struct reeve_span note;
    add(site, 1, "a");
    put(site, 1, REEVE_JOB_ACTIVE);
    assert_int_equal(job_store_note(site->jobs, 1, JOB_NOTE_LOG, &note, NULL), REEVE_NOENT);
    for (int i = 0; i < JOB_NOTE_COUNT; i++) {
        assert_ok(job_store_note_put(site->jobs, 1, (enum job_note)i, SPAN("first"), NULL));
        assert_ok(job_store_note_put(site->jobs, 2, (enum job_note)i, SPAN("other"), NULL));
    }
    assert_ok(job_store_note_put(site->jobs, 1, JOB_NOTE_CHECKPOINT, SPAN("second"), NULL));
    end(site, 1, REEVE_JOB_FAILED);
    look_again(site);
    assert_ok(job_store_note(site->jobs, 1, JOB_NOTE_CHECKPOINT, &note, NULL));
    assert_span(note, "second");
    assert_ok(job_store_note(site->jobs, 1, JOB_NOTE_LOG, &note, NULL));
    assert_span(note, "first");
    assert_ok(job_store_remove(site->jobs, 1, NULL));
    look_again(site);
    for (int i = 0; i < JOB_NOTE_COUNT; i++) {
        assert_int_equal(job_store_note(site->jobs, 1, (enum job_note)i, &note, NULL), REEVE_NOENT);
        assert_ok(job_store_note(site->jobs, 2, (enum job_note)i, &note, NULL));
    }
    assert_int_equal(job_store_note_put(site->jobs, 0, JOB_NOTE_LOG, SPAN("x"), NULL), REEVE_INVALID);
}

static void list_after(int64_t number, int64_t on, void *arg)
{
    list_number(arg, number * 100 + on);
}

static void dependencies_stay_until_they_are_met(void **state)
{
    struct site *site = *state;
    struct listed listed = {0};
    for (int64_t number = 1; number <= 5; number++) {
        char id[8];
        (void)snprintf(id, sizeof id, "%lld", (long long)number);
        add(site, number, id);
        put(site, number, REEVE_JOB_WAITING);
    }
    assert_ok(job_store_after_put(site->jobs, 3, 1, NULL));
    assert_ok(job_store_after_put(site->jobs, 3, 2, NULL));
    assert_ok(job_store_after_put(site->jobs, 4, 1, NULL));
    assert_ok(job_store_after_put(site->jobs, 4, 1, NULL)); // said twice is once
    assert_ok(job_store_after_put(site->jobs, 5, 4, NULL));
    look_again(site);
    assert_ok(job_store_after_each(site->jobs, list_after, &listed, NULL));
    assert_string_equal(listed.text, "301 401 302 504 ");
    assert_ok(job_store_after_met(site->jobs, 1, NULL));
    look_again(site);
    listed = (struct listed){0};
    assert_ok(job_store_after_each(site->jobs, list_after, &listed, NULL));
    assert_string_equal(listed.text, "302 504 ");
    end(site, 3, REEVE_JOB_CANCELLED); // waits for nothing any more
    look_again(site);
    listed = (struct listed){0};
    assert_ok(job_store_after_each(site->jobs, list_after, &listed, NULL));
    assert_string_equal(listed.text, "504 ");
}

static void a_dedupe_key_holds_for_its_time(void **state)
{
    struct site *site = *state;
    int64_t number = 0;
    assert_int_equal(job_store_dedupe_find(site->jobs, site->queue, SPAN("k"), 0, &number, NULL), REEVE_NOENT);
    assert_ok(job_store_dedupe_put(site->jobs, site->queue, SPAN("k"), 4, 100, NULL));
    assert_ok(job_store_dedupe_put(site->jobs, site->queue, SPAN("l"), 5, 300, NULL));
    look_again(site);
    assert_ok(job_store_dedupe_find(site->jobs, site->queue, SPAN("k"), 99, &number, NULL));
    assert_int_equal(number, 4);
    assert_int_equal(job_store_dedupe_find(site->jobs, site->queue, SPAN("k"), 100, &number, NULL), REEVE_NOENT);
    assert_int_equal(job_store_dedupe_find(site->jobs, site->queue + 1, SPAN("k"), 9, &number, NULL), REEVE_NOENT);
    assert_ok(job_store_dedupe_put(site->jobs, site->queue, SPAN("k"), 6, 200, NULL));
    assert_ok(job_store_dedupe_find(site->jobs, site->queue, SPAN("k"), 199, &number, NULL));
    assert_int_equal(number, 6);
    const struct job_retention rule = {.queue = site->queue, .now = 250, .rows_max = 10};
    int64_t count = 0;
    assert_ok(job_store_retain(site->jobs, &rule, &count, NULL));
    assert_int_equal(count, 1);
    assert_int_equal(rows(site, "job_dedupe"), 1);
}

static void limit_pages(struct site *site, int64_t more)
{
    char sql[64];
    int64_t pages = 0;
    assert_ok(store_pragma(site->jobs->store->db, "PRAGMA page_count", &pages, NULL));
    (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count=%lld", (long long)(pages + more));
    assert_ok(store_exec(site->jobs->store->db, sql, "test", NULL));
}

// ---- ids ----------------------------------------------------------------------------------------------------------

#define MODEL_IDS 600

// What should be known: the number of each id, 0 = none. `now` is as in the turn, `kept` as it was at the last commit.
struct model {
    struct site *site;
    unsigned seed;
    int64_t now[MODEL_IDS], kept[MODEL_IDS];
    int64_t number, undone, failed;
};

static const char *model_id(int i)
{
    static char id[32];
    (void)snprintf(id, sizeof id, "%08x-%d", (unsigned)i * 2654435761u, i); // in no order
    return id;
}

static void model_open(struct model *model)
{
    open_site(model->site);
    commit(model->site);
    model->site->jobs->ids.fresh_max = 24;
    model->site->jobs->ids.run_len = 5;
}

static void model_add(struct model *model)
{
    int i = rand_r(&model->seed) % MODEL_IDS;
    int64_t known = 0;
    const char *id = model_id(i);
    int64_t number = rand_r(&model->seed) % 8 == 0 && model->number > 50 ? 0 : ++model->number;
    if (number == 0) { // one that is late
        number = ++model->number - 40;
        struct job_body body;
        if (job_store_body(model->site->jobs, number, &body, NULL) == REEVE_OK) {
            return;
        }
    }
    enum reeve_err err =
        job_store_add(model->site->jobs, model->site->queue, number, SPAN(id), SPAN("b"), 1, &known, NULL);
    assert_int_equal(err, model->now[i] == 0 ? REEVE_OK : REEVE_CONFLICT);
    assert_int_equal(known, model->now[i]);
    model->now[i] = model->now[i] == 0 ? number : model->now[i];
}

// Ends some jobs, and forgets the ids of those at once.
static void model_forget(struct model *model)
{
    struct site *site = model->site;
    const struct job_retention rule = {.queue = site->queue, .now = 1000000, .id_retention_ms = 1, .rows_max = 1000};
    int64_t count = 0;
    for (int i = rand_r(&model->seed) % 10; i < MODEL_IDS; i += 10) {
        if (model->now[i] != 0) {
            end(site, model->now[i], REEVE_JOB_COMPLETED);
            model->now[i] = 0;
        }
    }
    assert_ok(job_store_retain(site->jobs, &rule, &count, NULL));
    assert_int_equal(counts_of(site).ids, 0);
}

static void model_check(struct model *model)
{
    for (int i = 0; i < MODEL_IDS; i++) {
        assert_int_equal(number_of(model->site, model_id(i)), model->now[i]);
    }
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN);
}

static void model_step(struct model *model)
{
    struct site *site = model->site;
    for (int count = rand_r(&model->seed) % 30; count > 0; count--) {
        model_add(model);
    }
    if (rand_r(&model->seed) % 4 == 0) {
        model_forget(model);
    }
    switch (rand_r(&model->seed) % 50) {
    case 0:
        undo(site);
        memcpy(model->now, model->kept, sizeof model->now);
        model->undone++;
        model_check(model);
        return;
    case 1:
    case 2:
    case 3:
        limit_files(1); // so that it is the commit that fails, behind all that was merged
        if (try_commit(site, NULL) != REEVE_OK) {
            memcpy(model->now, model->kept, sizeof model->now);
            model->failed++;
        }
        limit_files(RLIM_INFINITY);
        break;
    default:
        commit(site);
        break;
    }
    if (rand_r(&model->seed) % 100 == 0) {
        close_site(site);
        model_open(model);
    }
    memcpy(model->kept, model->now, sizeof model->kept);
    model_check(model);
}

static void ids_are_known_whatever_was_merged_undone_or_forgotten(void **state)
{
    const char *given = getenv("REEVE_SEED");
    struct model model = {.site = *state};
    reeve_random_bytes(&model.seed, sizeof model.seed);
    model.seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : model.seed;
    print_message("           seed=%u\n", model.seed);
    model_open(&model);
    for (int i = 0; i < 4000; i++) {
        model_step(&model);
    }
    assert_true(model.site->jobs->ids.merged > 1000);
    assert_true(model.undone > 20 && model.failed > 40);
    assert_ok(store_check(model.site->store, NULL, NULL, NULL));
}

static void ids_that_are_not_merged_come_back_with_the_next_process(void **state)
{
    struct site *site = *state;
    add(site, 1, "live");
    done(site, 2, REEVE_JOB_COMPLETED);
    done(site, 3, REEVE_JOB_COMPLETED);
    assert_ok(job_store_remove(site->jobs, 3, NULL)); // only in job_past
    look_again(site);
    assert_int_equal(rows(site, "job_id"), 0);
    assert_int_equal(number_of(site, "live"), 1);
    assert_int_equal(number_of(site, "job-2"), 2);
    assert_int_equal(number_of(site, "job-3"), 3);
}

static void ids_that_are_no_ids_are_refused(void **state)
{
    struct site *site = *state;
    char longest[REEVE_JOB_ID_SIZE];
    char too_long[REEVE_JOB_ID_SIZE + 1];
    int64_t known = 0;
    memset(longest, 'x', sizeof longest);
    memset(too_long, 'x', sizeof too_long);
    longest[sizeof longest - 1] = '\0';
    too_long[sizeof too_long - 1] = '\0';
    add(site, 1, longest);
    commit(site);
    assert_int_equal(number_of(site, longest), 1);
    assert_int_equal(number_of(site, too_long) + number_of(site, ""), 0);
    assert_int_equal(job_store_add(site->jobs, site->queue, 2, SPAN(too_long), SPAN(""), 1, &known, NULL),
                     REEVE_INVALID);
    undo(site);
    assert_int_equal(job_store_add(site->jobs, site->queue, 2, SPAN(""), SPAN(""), 1, &known, NULL), REEVE_INVALID);
    undo(site);
}

// ---- retention --------------------------------------------------------------------------------------------------

static int64_t retain(struct site *site, const struct job_retention *rule)
{
    int64_t count = -1;
    assert_ok(job_store_retain(site->jobs, rule, &count, NULL));
    return count;
}

static void retention_by_count_takes_the_oldest_in_steps(void **state)
{
    struct site *site = *state;
    struct job_retention rule = {.queue = site->queue, .now = 10000, .rows_max = 4};
    rule.keep[REEVE_JOB_COMPLETED].count = 3;
    rule.keep[REEVE_JOB_CANCELLED].count = 100;
    for (int64_t number = 1; number <= 20; number++) {
        done(site, number, number % 10 == 0 ? REEVE_JOB_FAILED : REEVE_JOB_COMPLETED);
    }
    commit(site);
    assert_int_equal(retain(site, &rule), 4);
    assert_int_equal(rows(site, "job_body"), 16);
    assert_counts(site, 14, 2, 0, 20);
    int64_t steps = 1;
    while (retain(site, &rule) == 4) {
        commit(site);
        steps++;
    }
    assert_int_equal(steps, 3);
    look_again(site);
    assert_string_equal(all_ended(site), "20 19 18 17 10 ");
    assert_counts(site, 3, 2, 0, 20);
    assert_int_equal(rows(site, "job_body"), 5);
    assert_int_equal(rows(site, "job_past"), 15);
    assert_int_equal(retain(site, &rule), 0);
    assert_int_equal(number_of(site, "job-1"), 1);
    int64_t known = 0;
    assert_int_equal(job_store_add(site->jobs, site->queue, 30, SPAN("job-1"), SPAN(""), 7, &known, NULL),
                     REEVE_CONFLICT);
    assert_int_equal(known, 1);
}

static void retention_by_age_finds_what_is_old_wherever_it_lies(void **state)
{
    struct site *site = *state;
    struct job_retention rule = {.queue = site->queue, .now = 10000, .id_retention_ms = 5000, .rows_max = 100};
    rule.keep[REEVE_JOB_COMPLETED].age_ms = 1000;
    rule.keep[REEVE_JOB_FAILED].age_ms = 0;              // as long as its id is known
    for (int64_t number = 1; number <= 2000; number++) { // the first half ended late
        struct job_ended_row row = ended_of(site, number, REEVE_JOB_COMPLETED);
        char id[32];
        (void)snprintf(id, sizeof id, "job-%lld", (long long)number);
        row.ended_at = number <= 1000 ? 9500 : 8900;
        add(site, number, id);
        assert_ok(job_store_end(site->jobs, &row, NULL));
    }
    done(site, 3000, REEVE_JOB_FAILED); // ended at 8000
    commit(site);
    for (int i = 0; i < 100; i++) {
        rule.now++; // looks are by time
        assert_true(retain(site, &rule) <= 100);
        commit(site);
    }
    assert_counts(site, 1000, 1, 0, 2001);
    rule.now = 10500;
    for (int i = 0; i < 11; i++) {
        (void)retain(site, &rule);
    }
    assert_counts(site, 0, 1, 0, 2001);
    rule.now = 13000;
    for (int i = 0; i < 15; i++) { // many rows are in the way
        rule.now += 10;
        (void)retain(site, &rule);
    }
    assert_counts(site, 0, 0, 0, 2000);
    assert_int_equal(number_of(site, "job-3000"), 0);
    rule.now = 13900;
    for (int i = 0; i < 100; i++) {
        rule.now++; // looks are by time
        (void)retain(site, &rule);
    }
    assert_counts(site, 0, 0, 0, 1000);
    assert_int_equal(number_of(site, "job-1001"), 0);
    assert_int_equal(number_of(site, "job-1000"), 1000);
    rule.now = 14500;
    for (int i = 0; i < 11; i++) {
        (void)retain(site, &rule);
    }
    look_again(site);
    assert_counts(site, 0, 0, 0, 0);
    assert_int_equal(rows(site, "job_id"), 0);
    assert_int_equal(rows(site, "job_past"), 0);
    assert_int_equal(retain(site, &rule), 0);
}

static void what_may_stay_is_left_between_what_goes(void **state)
{
    struct site *site = *state;
    struct site other = *site;
    struct job_retention rule = {.queue = site->queue, .now = 10000, .rows_max = 100};
    rule.keep[REEVE_JOB_FAILED].age_ms = 1000;
    assert_ok(job_store_queue(site->jobs, "other", &other.queue, NULL));
    for (int64_t number = 1; number <= 8; number++) {
        struct job_ended_row row = ended_of(number == 2 ? &other : site, number, REEVE_JOB_FAILED);
        char id[8];
        (void)snprintf(id, sizeof id, "%lld", (long long)number);
        row.ended_at = number == 4 || number == 7 ? 9500 : 8000;
        add(number == 2 ? &other : site, number, id);
        assert_ok(job_store_note_put(site->jobs, number, JOB_NOTE_LOG, SPAN("x"), NULL));
        assert_ok(job_store_end(site->jobs, &row, NULL));
    }
    assert_int_equal(retain(site, &rule), 5);
    look_again(site);
    assert_string_equal(all_ended(site), "7 4 ");
    other.jobs = site->jobs;
    assert_string_equal(all_ended(&other), "2 ");
    assert_int_equal(rows(site, "job_body"), 3);
    assert_int_equal(rows(site, "job_note"), 3);
    assert_int_equal(rows(site, "job_past"), 5);
}

static void a_live_job_is_never_swept(void **state)
{
    struct site *site = *state;
    struct job_retention rule = {.queue = site->queue, .now = 1 << 30, .id_retention_ms = 1, .rows_max = 1000};
    add(site, 1, "a");
    put(site, 1, REEVE_JOB_WAITING);
    done(site, 2, REEVE_JOB_COMPLETED);
    (void)retain(site, &rule);
    look_again(site);
    assert_int_equal(number_of(site, "a"), 1);
    assert_int_equal(number_of(site, "job-2"), 0);
    assert_string_equal(live(site), "1 ");
}

static void by_hand_one_job_goes_and_its_id_stays(void **state)
{
    struct site *site = *state;
    struct job_body body;
    done(site, 1, REEVE_JOB_FAILED);
    done(site, 2, REEVE_JOB_FAILED);
    add(site, 3, "live");
    put(site, 3, REEVE_JOB_WAITING);
    assert_ok(job_store_remove(site->jobs, 1, NULL));
    assert_ok(job_store_remove(site->jobs, 1, NULL)); // again: nothing is left to do
    assert_int_equal(job_store_remove(site->jobs, 3, NULL), REEVE_NOENT);
    assert_int_equal(job_store_remove(site->jobs, 4, NULL), REEVE_NOENT);
    look_again(site);
    assert_string_equal(all_ended(site), "2 ");
    assert_counts(site, 0, 1, 0, 2);
    assert_int_equal(number_of(site, "job-1"), 1);
    assert_ok(job_store_body(site->jobs, 1, &body, NULL));
    assert_int_equal(body.raw.len, 0);
    assert_string_equal(live(site), "3 ");
}

// ---- turns ------------------------------------------------------------------------------------------------------

static void an_undone_turn_leaves_nothing(void **state)
{
    struct site *site = *state;
    int64_t max = 0;
    done(site, 1, REEVE_JOB_COMPLETED);
    add(site, 2, "b");
    put(site, 2, REEVE_JOB_WAITING);
    commit(site);
    add(site, 3, "c");
    put(site, 3, REEVE_JOB_WAITING);
    put(site, 2, REEVE_JOB_ACTIVE);
    end(site, 2, REEVE_JOB_FAILED);
    assert_ok(job_store_remove(site->jobs, 1, NULL));
    assert_ok(job_store_note_put(site->jobs, 2, JOB_NOTE_LOG, SPAN("x"), NULL));
    assert_ok(job_store_after_put(site->jobs, 2, 1, NULL));
    assert_counts(site, 0, 1, 0, 2);
    undo(site);
    assert_counts(site, 1, 0, 0, 1);
    look_again(site);
    assert_string_equal(live(site), "2 ");
    assert_string_equal(all_ended(site), "1 ");
    assert_counts(site, 1, 0, 0, 1);
    assert_int_equal(number_of(site, "c"), 0);
    assert_int_equal(rows(site, "job_note") + rows(site, "job_after"), 0);
    assert_ok(job_store_number_max(site->jobs, &max, NULL));
    assert_int_equal(max, 2);
}

// Numbers from `first`, a turn: one job is added, the one before it ends; so that a half turn is seen.
static void write_turn(struct site *site, int64_t turn)
{
    static char big[6000]; // of several pages
    char id[32];
    int64_t known = 0;
    struct reeve_why why;
    memset(big, 'x', sizeof big);
    (void)snprintf(id, sizeof id, "turn-%lld", (long long)turn);
    const struct job_row row = row_of(site, turn, REEVE_JOB_ACTIVE);
    const struct job_ended_row last = ended_of(site, turn - 1, REEVE_JOB_COMPLETED);
    (void)job_store_add(site->jobs, site->queue, turn, SPAN(id), (struct reeve_span){.data = big, .len = sizeof big}, 1,
                        &known, &why);                                              /* the commit tells */
    (void)job_store_put(site->jobs, &row, &why);                                    /* as above */
    (void)job_store_note_put(site->jobs, turn, JOB_NOTE_LOG, SPAN("a line"), &why); /* as above */
    if (turn > 1) {
        (void)job_store_end(site->jobs, &last, &why); /* as above */
    }
}

// The turn that the store is at; fails when it is in the middle of one.
static int64_t whole_turn(struct site *site)
{
    int64_t turn = 0;
    struct job_body body;
    char expected[32] = "";
    char id[32];
    assert_ok(job_store_number_max(site->jobs, &turn, NULL));
    if (turn > 0) {
        (void)snprintf(expected, sizeof expected, "%lld ", (long long)turn);
    }
    assert_string_equal(live(site), expected);
    assert_counts(site, turn > 0 ? turn - 1 : 0, 0, 0, turn > 0 ? turn - 1 : 0);
    assert_int_equal(rows(site, "job_ended"), turn > 0 ? turn - 1 : 0);
    assert_int_equal(rows(site, "job_note"), turn);
    for (int64_t i = 1; i <= turn + 1; i++) {
        (void)snprintf(id, sizeof id, "turn-%lld", (long long)i);
        assert_int_equal(number_of(site, id), i <= turn ? i : 0);
        assert_int_equal(job_store_body(site->jobs, i, &body, NULL), i <= turn ? REEVE_OK : REEVE_NOENT);
    }
    return turn;
}

static void a_store_that_is_full_refuses_whole_turns(void **state)
{
    struct site *site = *state;
    struct reeve_why why = {0};
    enum reeve_err err = REEVE_OK;
    int64_t turn = 0;
    commit(site);
    for (int64_t more = 0; more < 12; more++) { // so that each of the writes of a turn is once the one that fails
        limit_pages(site, more);
        while (err == REEVE_OK) {
            write_turn(site, ++turn);
            err = try_commit(site, &why);
        }
        assert_int_equal(err, site->memory ? REEVE_LIMIT : REEVE_IO);
        assert_int_equal(whole_turn(site), --turn);
        err = REEVE_OK;
    }
    limit_pages(site, 1000);
    write_turn(site, turn + 1);
    look_again(site);
    assert_int_equal(whole_turn(site), turn + 1);
}

static void nothing_is_written_behind_a_failure_in_the_turn(void **state)
{
    struct site *site = *state;
    int64_t known = 0;
    int64_t count = 0;
    struct job_row row = row_of(site, 1, REEVE_JOB_ACTIVE);
    const struct job_ended_row last = ended_of(site, 1, REEVE_JOB_COMPLETED);
    const struct job_class_row class = {.number = 1, .queue = site->queue};
    const struct job_retention rule = {.queue = site->queue, .rows_max = 1};
    sqlite3 *db = site->jobs->store->db;
    add(site, 1, "a");
    put(site, 1, REEVE_JOB_ACTIVE);
    commit(site);
    add(site, 2, "b");
    assert_ok(store_exec(db, "ROLLBACK", "as SQLite does", NULL));
    assert_ok(store_exec(db, "PRAGMA query_only=ON", "test", NULL));
    assert_int_equal(job_store_put(site->jobs, &row, NULL), REEVE_IO);
    assert_ok(store_exec(db, "PRAGMA query_only=OFF", "test", NULL));
    assert_int_equal(job_store_put(site->jobs, &row, NULL), REEVE_IO);
    assert_int_equal(job_store_add(site->jobs, site->queue, 9, SPAN("z"), SPAN(""), 1, &known, NULL), REEVE_IO);
    assert_int_equal(job_store_end(site->jobs, &last, NULL), REEVE_IO);
    assert_int_equal(job_store_revive(site->jobs, &row, NULL), REEVE_IO);
    assert_int_equal(job_store_class_put(site->jobs, &class, NULL), REEVE_IO);
    assert_int_equal(job_store_class_remove(site->jobs, 1, NULL), REEVE_IO);
    assert_int_equal(job_store_note_put(site->jobs, 1, JOB_NOTE_LOG, SPAN(""), NULL), REEVE_IO);
    assert_int_equal(job_store_after_put(site->jobs, 1, 2, NULL), REEVE_IO);
    assert_int_equal(job_store_after_met(site->jobs, 1, NULL), REEVE_IO);
    assert_int_equal(job_store_dedupe_put(site->jobs, site->queue, SPAN("k"), 1, 2, NULL), REEVE_IO);
    assert_int_equal(job_store_retain(site->jobs, &rule, &count, NULL), REEVE_IO);
    assert_int_equal(job_store_remove(site->jobs, 1, NULL), REEVE_IO);
    assert_int_equal(job_store_queue_remove(site->jobs, site->queue, NULL), REEVE_IO);
    assert_int_equal(try_commit(site, NULL), REEVE_IO);
    assert_string_equal(live(site), "1 ");
    assert_int_equal(number_of(site, "b"), 0);
    assert_int_equal(rows(site, "job_class") + rows(site, "job_note") + rows(site, "job_dedupe"), 0);
    add(site, 2, "b");
    look_again(site);
    assert_int_equal(number_of(site, "b"), 2);
}

static void wrong_queues_and_numbers_break_the_turn(void **state)
{
    struct site *site = *state;
    struct job_row row = row_of(site, 1, REEVE_JOB_ACTIVE);
    int64_t known = 0;
    row.queue = 77;
    assert_int_equal(job_store_put(site->jobs, &row, NULL), REEVE_INVALID);
    assert_int_equal(try_commit(site, NULL), REEVE_INVALID);
    assert_ok(job_store_queue(site->jobs, "main", &site->queue, NULL)); // it was of this turn
    static const int64_t numbers[] = {0, -1, JOB_NUMBER_MAX + 1};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(numbers); i++) {
        assert_int_equal(job_store_add(site->jobs, site->queue, numbers[i], SPAN("a"), SPAN(""), 1, &known, NULL),
                         REEVE_INVALID);
        undo(site);
        assert_ok(job_store_queue(site->jobs, "main", &site->queue, NULL));
    }
    done(site, JOB_NUMBER_MAX, REEVE_JOB_CANCELLED);
    look_again(site);
    char last[32];
    (void)snprintf(last, sizeof last, "%lld ", JOB_NUMBER_MAX);
    assert_string_equal(all_ended(site), last);
}

static void jobs_and_documents_are_one_turn(void **state)
{
    struct site *site = *state;
    commit(site);
    add(site, 1, "a");
    assert_true(store_dirty(site->store));
    assert_ok(store_number_set(site->store, "n", 5, NULL));
    store_undo(site->store);
    assert_int_equal(number_of(site, "a"), 0);
    assert_ok(store_number_set(site->store, "n", 6, NULL));
    add(site, 1, "a");
    assert_ok(job_store_commit(site->jobs, NULL)); // the store's to do
    job_store_undo(site->jobs);                    // too
    assert_true(store_dirty(site->store));
    look_again(site);
    assert_int_equal(number_of(site, "a"), 1);
    assert_int_equal(store_number(site->store, "n", 0), 6);
}

static void copy_file(const char *from, const char *to)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_ok(reeve_file_read(from, 64 << 20, &buf, NULL));
    assert_ok(reeve_file_write_atomic(to, buf.data, buf.len, 0600, NULL));
}

// What a power cut leaves: the files as they are while it runs.
static void files_that_are_cut_off_have_whole_turns(void **state)
{
    struct site *site = *state;
    struct site copy = {0};
    int64_t turn = 0;
    commit(site);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 100; i++) {
            write_turn(site, ++turn);
            commit(site);
        }
        write_turn(site, turn + 1); // not committed
        (void)snprintf(copy.dir, sizeof copy.dir, "%s/%d", site->dir, round);
        assert_int_equal(mkdir(copy.dir, 0700), 0);
        copy_file(path_in(site, STORE_FILE), path_in(&copy, STORE_FILE));
        copy_file(path_in(site, STORE_FILE "-wal"), path_in(&copy, STORE_FILE "-wal"));
        open_site(&copy);
        assert_int_equal(whole_turn(&copy), turn);
        assert_ok(store_check(copy.store, NULL, NULL, NULL));
        close_site(&copy);
        commit(site);
        turn++;
    }
    assert_int_equal(whole_turn(site), turn);
}

static void write_until_killed(struct site *site, int pipe_fd)
{
    int64_t turn = 0;
    open_site(site);
    if (job_store_number_max(site->jobs, &turn, NULL) != REEVE_OK) {
        _exit(3);
    }
    for (turn++;; turn++) {
        write_turn(site, turn);
        if (store_commit(site->store, NULL) != REEVE_OK || write(pipe_fd, &turn, sizeof turn) != sizeof turn) {
            _exit(4);
        }
    }
}

static int64_t kill_one(struct site *site, int64_t wait_ns)
{
    int ends[2];
    int64_t told = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        write_until_killed(site, ends[1]);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &told, sizeof told), sizeof told); // it is writing
    const struct timespec wait = {.tv_nsec = wait_ns};
    (void)nanosleep(&wait, NULL); // the instant that is any
    assert_int_equal(kill(child, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    for (int64_t turn; read(ends[0], &turn, sizeof turn) == sizeof turn;) {
        told = turn;
    }
    (void)close(ends[0]);
    return told;
}

static void killed_at_any_instant_it_has_every_committed_turn_and_no_half_one(void **state)
{
    struct site *site = *state;
    int64_t told = 0;
    for (int i = 0; i < 15; i++) {
        told = kill_one(site, i * 1700000L);
        open_site(site);
        int64_t turn = whole_turn(site);
        assert_true(turn == told || turn == told + 1); // committed, and killed before it could tell
        close_site(site);
    }
}

// ---- the file ---------------------------------------------------------------------------------------------------

static void exec_on(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
    sqlite3_close(db);
}

static void a_store_without_jobs_is_migrated(void **state)
{
    struct site *site = *state;
    const struct store_schema one = {.version = 1, .steps = store_schema.steps};
    REEVE_VALUE_AUTO value = reeve_value_map();
    reeve_put_int(value, "n", 4);
    assert_ok(store_open_as(site->dir, &one, &site->store, NULL));
    assert_ok(store_put(site->store, STORE_POOL, "p", value, NULL));
    assert_true(store_epoch_next(site->store, 5) == 5);
    assert_ok(store_commit(site->store, NULL));
    close_site(site);
    open_site(site);
    assert_int_equal(access(path_in(site, "manager.db.schema-1"), F_OK), 0);
    struct reeve_value *kept = NULL;
    assert_ok(store_get(site->store, STORE_POOL, "p", &kept, NULL));
    assert_int_equal(reeve_get_int(kept, "n", 0), 4);
    reeve_value_free(kept);
    assert_true(store_epoch_next(site->store, 0) == 6);
    done(site, 1, REEVE_JOB_COMPLETED);
    look_again(site);
    assert_string_equal(all_ended(site), "1 ");
}

static void a_backup_has_its_jobs(void **state)
{
    struct site *site = *state;
    done(site, 1, REEVE_JOB_COMPLETED);
    add(site, 2, "b");
    put(site, 2, REEVE_JOB_WAITING);
    commit(site);
    assert_ok(store_backup(site->store, path_in(site, "b.db"), NULL, NULL));
    end(site, 2, REEVE_JOB_FAILED);
    commit(site);
    close_site(site);
    assert_ok(store_restore(site->dir, path_in(site, "b.db"), NULL));
    open_site(site);
    assert_string_equal(live(site), "2 ");
    assert_string_equal(all_ended(site), "1 ");
    assert_counts(site, 1, 0, 0, 1);
}

static void check_names_what_is_wrong_with_jobs(void **state)
{
    struct site *site = *state;
    REEVE_BUF_AUTO report = REEVE_BUF_INIT(0);
    for (int64_t number = 1; number <= 4; number++) {
        done(site, number, REEVE_JOB_COMPLETED);
    }
    for (int64_t number = 5; number <= 7; number++) {
        char id[8];
        (void)snprintf(id, sizeof id, "%lld", (long long)number);
        add(site, number, id);
        put(site, number, REEVE_JOB_WAITING);
    }
    assert_ok(job_store_remove(site->jobs, 4, NULL));
    commit(site);
    assert_ok(store_check(site->store, NULL, &report, NULL));
    close_site(site);
    exec_on(path_in(site, STORE_FILE),
            "DELETE FROM job_body WHERE number IN(1,5); UPDATE job SET state=4 WHERE number=6;"
            "UPDATE job SET queue=9 WHERE number=7; INSERT INTO number VALUES('job_ids_merged',4);"
            "UPDATE job_queue SET completed=17 WHERE name='main'; UPDATE job_past SET state=0");
    assert_int_equal(store_check(NULL, path_in(site, STORE_FILE), &report, NULL), REEVE_CORRUPT);
    static const char *const lines[] = {"job 5 has no body",
                                        "ended job 1 has no body",
                                        "job 6 is in no state that a live job has",
                                        "job 7 is of no queue",
                                        "job 2 can't be found by its id",
                                        "job 4 can't be found by its id",
                                        "queue 'main' counts 17",
                                        "job 4 ended in no state that there is"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lines); i++) {
        if (strstr(reeve_buf_str(&report), lines[i]) == NULL) {
            fail_msg("'%s' is not in:\n%s", lines[i], reeve_buf_str(&report));
        }
    }
    open_site(site); // and a live job in no state is not taken for one that waits
    struct listed listed = {0};
    assert_int_equal(job_store_each_live(site->jobs, list_live, &listed, NULL), REEVE_CORRUPT);
}

static void bytes_grow_and_memory_has_its_limit(void **state)
{
    struct site *site = *state;
    struct job_store *jobs = NULL;
    int64_t queue = 0;
    int64_t known = 0;
    static char big[4096];
    enum reeve_err err = REEVE_OK;
    (void)site;
    assert_ok(job_store_open_memory(1 << 20, &jobs, NULL));
    assert_ok(job_store_queue(jobs, "q", &queue, NULL));
    assert_ok(job_store_commit(jobs, NULL));
    int64_t empty = job_store_bytes(jobs);
    int64_t number = 0;
    while (err == REEVE_OK && number < 1000) {
        char id[16];
        (void)snprintf(id, sizeof id, "%lld", (long long)++number);
        err = job_store_add(jobs, queue, number, SPAN(id), (struct reeve_span){.data = big, .len = sizeof big}, 1,
                            &known, NULL);
        err = err == REEVE_OK ? job_store_commit(jobs, NULL) : err;
    }
    assert_int_equal(err, REEVE_LIMIT);
    assert_int_equal(job_store_commit(jobs, NULL), REEVE_LIMIT);
    assert_true(number > 50 && number < 1000);
    assert_true(job_store_bytes(jobs) > empty + (number - 2) * (int64_t)sizeof big);
    assert_true(job_store_bytes(jobs) <= 1 << 20);
    const struct job_ended_row row = {.number = 1, .queue = queue, .state = REEVE_JOB_CANCELLED};
    int64_t before = job_store_bytes(jobs);
    assert_ok(job_store_end(jobs, &row, NULL)); // room is made by what goes
    assert_ok(job_store_commit(jobs, NULL));
    assert_true(job_store_bytes(jobs) < before);
    assert_ok(job_store_add(jobs, queue, number, SPAN("x"), SPAN("small"), 1, &known, NULL));
    assert_ok(job_store_commit(jobs, NULL));
    job_store_close(jobs);
}

#define ON_FILE(name)                                                                                                  \
    {                                                                                                                  \
#name " (file)", name, setup_file, teardown, NULL                                                              \
    }
#define IN_MEMORY(name)                                                                                                \
    {                                                                                                                  \
#name " (memory)", name, setup_memory, teardown, NULL                                                          \
    }
#define BOTH(name) ON_FILE(name), IN_MEMORY(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_queue_keeps_its_number),
        BOTH(a_queue_of_an_undone_turn_is_none),
        BOTH(classes_are_kept_until_they_are_removed),
        BOTH(a_removed_queue_leaves_nothing_but_the_highest_number),
        BOTH(a_large_queue_is_removed_in_steps),
        BOTH(a_live_row_comes_back_as_it_was_put),
        BOTH(an_id_is_known_once_in_each_queue),
        BOTH(the_highest_number_is_never_forgotten),
        BOTH(an_ended_job_is_no_longer_live_and_can_be_read),
        BOTH(one_that_is_not_retained_leaves_its_id_and_state),
        BOTH(a_revived_job_is_live_again),
        BOTH(ended_jobs_are_listed_newest_first_by_state_and_page),
        BOTH(jobs_may_be_read_and_revived_while_they_are_listed),
        BOTH(the_starts_of_a_window_are_found),
        BOTH(the_starts_of_a_rate_are_kept_whatever_became_of_the_jobs),
        BOTH(notes_are_replaced_and_stay_through_the_end),
        BOTH(dependencies_stay_until_they_are_met),
        BOTH(a_dedupe_key_holds_for_its_time),
        {"ids_are_known_whatever_was_merged_undone_or_forgotten", ids_are_known_whatever_was_merged_undone_or_forgotten,
         setup, teardown, NULL},
        ON_FILE(ids_that_are_not_merged_come_back_with_the_next_process),
        BOTH(ids_that_are_no_ids_are_refused),
        BOTH(retention_by_count_takes_the_oldest_in_steps),
        BOTH(retention_by_age_finds_what_is_old_wherever_it_lies),
        BOTH(what_may_stay_is_left_between_what_goes),
        BOTH(a_live_job_is_never_swept),
        BOTH(by_hand_one_job_goes_and_its_id_stays),
        BOTH(an_undone_turn_leaves_nothing),
        BOTH(a_store_that_is_full_refuses_whole_turns),
        BOTH(nothing_is_written_behind_a_failure_in_the_turn),
        BOTH(wrong_queues_and_numbers_break_the_turn),
        ON_FILE(jobs_and_documents_are_one_turn),
        ON_FILE(files_that_are_cut_off_have_whole_turns),
        {"killed_at_any_instant_it_has_every_committed_turn_and_no_half_one",
         killed_at_any_instant_it_has_every_committed_turn_and_no_half_one, setup, teardown, NULL},
        {"a_store_without_jobs_is_migrated", a_store_without_jobs_is_migrated, setup, teardown, NULL},
        ON_FILE(a_backup_has_its_jobs),
        ON_FILE(check_names_what_is_wrong_with_jobs),
        {"bytes_grow_and_memory_has_its_limit", bytes_grow_and_memory_has_its_limit, setup, teardown, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
