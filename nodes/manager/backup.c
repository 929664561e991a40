// Ops on the store itself: a backup beside it, a check of all that is in it. Both read what is committed on a
// connection of their own, on another thread, so that a large journal does not keep a stop waiting. Must not: touch the
// manager's store object outside the loop's thread.
#include "manager.h"

#include <dirent.h>
#include <limits.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATH_SIZE       4400
#define REPORT_MAX      (256u << 10) // bytes of a check's report
#define BACKUP_PREFIX   "manager-"
#define BACKUP_SUFFIX   ".db"
#define REMOVED_AT_ONCE 1000

const struct reeve_record op_backup_args = {.name = "backup", .size = 1, .doc = "Takes no arguments."};
const struct reeve_record op_check_args = {.name = "check", .size = 1, .doc = "Takes no arguments."};

struct job { // one at work on the other thread; everything it needs is its own
    uv_work_t work;
    struct manager *manager;
    char *id; // of the call
    char store[PATH_SIZE], path[PATH_SIZE], dir[PATH_SIZE];
    int64_t keep; // backups; 0 = all
    int64_t at;
    enum reeve_err err;
    struct reeve_why why;
    int64_t bytes;
    struct reeve_buf report;
};

static void job_free(struct job *job)
{
    reeve_buf_done(&job->report);
    free(job->id);
    free(job);
}

static struct job *job_new(struct call *call)
{
    const struct manager_section *section = &call->manager->config.manager;
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL || (job->id = strdup(call->command.id)) == NULL) {
        free(job);
        return NULL;
    }
    job->work.data = job;
    job->manager = call->manager;
    job->at = reeve_clock_wall_ms();
    job->keep = section->backups_keep;
    job->report.len_max = REPORT_MAX;
    (void)snprintf(job->store, sizeof job->store, "%s/" STORE_FILE, section->state_dir);   /* cut = not found */
    (void)snprintf(job->dir, sizeof job->dir, "%s/" STORE_BACKUP_DIR, section->state_dir); /* cut = not found */
    return job;
}

// Names that sort by age: manager-20261122T124618123.db, UTC.
static void name_backup(struct job *job)
{
    time_t seconds = (time_t)(job->at / 1000);
    struct tm tm;
    char stamp[32] = "";
    if (gmtime_r(&seconds, &tm) != NULL) {
        (void)strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm); /* fits */
    }
    (void)snprintf(job->path, sizeof job->path, "%.4200s/" BACKUP_PREFIX "%s%03d" BACKUP_SUFFIX, job->dir, stamp,
                   (int)(job->at % 1000));
}

// ---- on the other thread ----------------------------------------------------------------------------------------

static int is_backup(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > strlen(BACKUP_SUFFIX) && reeve_str_starts(entry->d_name, BACKUP_PREFIX) &&
           strcmp(entry->d_name + len - strlen(BACKUP_SUFFIX), BACKUP_SUFFIX) == 0;
}

// Only what this made: a copy under another name is somebody's own. And never the one of now, whatever the clock says.
static void remove_oldest(const struct job *job)
{
    struct dirent **entries = NULL;
    int count = job->keep > 0 ? scandir(job->dir, &entries, is_backup, alphasort) : 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_SIZE + NAME_MAX + 2];
        (void)snprintf(path, sizeof path, "%s/%s", job->dir, entries[i]->d_name); /* fits */
        if (i + job->keep < count && i < REMOVED_AT_ONCE && strcmp(path, job->path) != 0) {
            (void)unlink(path); /* next time, then */
        }
        free(entries[i]);
    }
    free(entries);
}

static void work_backup(uv_work_t *work)
{
    struct job *job = work->data;
    job->err = reeve_dir_make(job->dir, 0700, &job->why);
    if (job->err == REEVE_OK) {
        job->err = store_copy(job->store, job->path, &job->bytes, &job->why);
    }
    if (job->err == REEVE_OK) {
        remove_oldest(job);
    }
}

static void work_check(uv_work_t *work)
{
    struct job *job = work->data;
    job->err = store_check(NULL, job->store, &job->report, &job->why);
}

// ---- and back ---------------------------------------------------------------------------------------------------

// NULL when nobody waits any more: the manager is on its way out.
static struct call *call_of(const struct job *job)
{
    return job->manager->calls != NULL ? call_find(job->manager, job->id) : NULL;
}

static void backup_done(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct call *call = call_of(job);
    (void)status; // it is never cancelled
    if (call != NULL && job->err == REEVE_OK) {
        struct reeve_value *result = reeve_value_map();
        reeve_put_str(result, "path", job->path);
        reeve_put_int(result, "bytes", job->bytes);
        reeve_put_int(result, "at", job->at);
        (void)call_done(call, result, "backup %s, %lld bytes", job->path, (long long)job->bytes); /* always OK */
    } else if (call != NULL) {
        (void)call_fail(call, job->err, NULL, "%s", job->why.text); /* always OK */
    }
    job_free(job);
}

// What is wrong is the answer, not a failure.
static void check_done(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct call *call = call_of(job);
    bool ok = job->err == REEVE_OK;
    (void)status; // it is never cancelled
    if (call != NULL && (ok || job->err == REEVE_CORRUPT)) {
        struct reeve_value *result = reeve_value_map();
        reeve_put_bool(result, "ok", ok);
        reeve_put_str(result, "report", reeve_buf_str(&job->report));
        (void)call_done(call, result, "%s", ok ? "the store reads back, all of it" : job->why.text); /* always OK */
    } else if (call != NULL) {
        (void)call_fail(call, job->err, NULL, "%s", job->why.text); /* always OK */
    }
    job_free(job);
}

static enum reeve_err begin(struct call *call, struct job *job, uv_work_cb work, uv_after_work_cb done,
                            struct reeve_why *why)
{
    int rc = uv_queue_work(call->manager->loop, &job->work, work, done);
    if (rc != 0) {
        job_free(job);
        return reeve_fail(why, REEVE_INTERNAL, "no thread for it: %s", uv_strerror(rc));
    }
    return call_keep(call, NULL, NULL);
}

enum reeve_err op_backup_run(struct call *call, struct reeve_why *why)
{
    struct job *job = job_new(call);
    if (job == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    name_backup(job);
    if (call->command.dry_run) {
        struct reeve_value *result = reeve_value_map();
        reeve_put_str(result, "path", job->path);
        enum reeve_err err = call_done(call, result, "would write %s", job->path);
        job_free(job);
        return err;
    }
    return begin(call, job, work_backup, backup_done, why);
}

enum reeve_err op_check_run(struct call *call, struct reeve_why *why)
{
    struct job *job = job_new(call);
    if (job == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    return begin(call, job, work_check, check_done, why);
}
