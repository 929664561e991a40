// The record tables of a queue's spec: what can be written, bounds, presets, documentation, and rules across the
// fields. Must not: look at cron expressions or requirements; the manager knows those.
#include <reeve/job.h>

#include <reeve/codec.h>
#include <reeve/units.h>

#include <stdio.h>

#define SECOND_MS     INT64_C(1000)
#define MINUTE_MS     (60 * SECOND_MS)
#define HOUR_MS       (60 * MINUTE_MS)
#define DAY_MS        (24 * HOUR_MS)
#define DURATION_MAX  (366 * DAY_MS)  // longer is a mistyped unit
#define KEEP_MAX      (3653 * DAY_MS) // 10 years
#define SCHEDULES_MAX 256

#define BYTES_MAX_PRESET        (INT64_C(4) << 30)
#define BYTES_MAX_MEMORY_PRESET (INT64_C(256) << 20)

static const struct reeve_choice durability_choices[] = {
    {"commit", REEVE_DURABILITY_COMMIT}, {"memory", REEVE_DURABILITY_MEMORY}, {NULL, 0}};
static const struct reeve_choice backoff_choices[] = {
    {"fixed", REEVE_JOB_BACKOFF_FIXED}, {"exponential", REEVE_JOB_BACKOFF_EXPONENTIAL}, {NULL, 0}};
static const struct reeve_choice overlap_choices[] = {{"skip", 0}, {"allow", 1}, {NULL, 0}};
static const struct reeve_choice missed_choices[] = {{"skip", 0}, {"once", 1}, {NULL, 0}};
static const struct reeve_choice events_choices[] = {{"none", 0}, {"failures", 1}, {"all", 2}, {NULL, 0}};
static const struct reeve_choice forever_choices[] = {{"forever", 0}, {NULL, 0}};

int64_t reeve_queue_bytes_max(const struct reeve_queue_spec *spec)
{
    int64_t preset = spec->durability == REEVE_DURABILITY_MEMORY ? BYTES_MAX_MEMORY_PRESET : BYTES_MAX_PRESET;
    return spec->bytes_max > 0 ? spec->bytes_max : preset;
}

// An error about two fields, unless one of them is wrong by itself.
static bool sound(const struct reeve_errors *errors, const char *path, const char *key)
{
    char buf[REEVE_PATH_SIZE];
    return !reeve_errors_has(errors, reeve_path_join(buf, path, key));
}

// ---- schedules ------------------------------------------------------------------------------------------------

static void refuse_job(const struct reeve_value *job, const char *path, const struct reeve_why *why,
                       struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    const struct reeve_value *at = reeve_value_get(job, why->place);
    reeve_errors_add(errors, at != NULL ? at : job, reeve_path_join(buf, path, why->place), "%s", why->text);
}

// What a job of a schedule can't have: the schedule gives it these.
static void check_left_out(const struct reeve_value *job, const char *path, struct reeve_errors *errors)
{
    static const struct {
        const char *key, *text;
    } rows[] = {
        {"id", "the id of a scheduled job is made of the schedule's name and its time"},
        {"run_at", "cron says when a scheduled job runs"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char buf[REEVE_PATH_SIZE];
        const struct reeve_value *value = reeve_value_get(job, rows[i].key);
        if (reeve_value_kind(value) != REEVE_NULL) {
            reeve_errors_add(errors, value, reeve_path_join(buf, path, rows[i].key), "%s", rows[i].text);
        }
    }
}

// As it is judged when it is enqueued.
static void check_schedule(const void *object, const struct reeve_value *value, const char *path,
                           struct reeve_errors *errors)
{
    const struct reeve_schedule *schedule = object;
    const struct reeve_value *given = reeve_value_get(value, "job");
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_why why = {0};
    struct reeve_job_spec spec;
    char job_path[REEVE_PATH_SIZE];
    if (schedule->job == NULL) {
        return;
    }
    (void)reeve_path_join(job_path, path, "job");
    enum reeve_err err = reeve_msgpack_write(schedule->job, &buf);
    if (err != REEVE_OK) {
        reeve_errors_add(errors, given, job_path, "can't be written as msgpack: %s", reeve_err_text(err));
        return;
    }
    struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
    if (reeve_job_spec_read(&cursor, &spec, &why) != REEVE_OK) {
        refuse_job(given, job_path, &why, errors);
    }
    check_left_out(given, job_path, errors);
}

#define AT(member) offsetof(struct reeve_schedule, member)
static const struct reeve_field schedule_fields[] = {
    {.name = "name",
     .type = REEVE_FIELD_NAME,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(name),
     .doc = "Name of the schedule. A job's id is `<name>-<time it was due, ms>`."},
    {.name = "cron",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(cron),
     .min = 1,
     .max = 128,
     .doc = "When: minute, hour, day of month, month, day of week, such as `0 8 * * mon-fri`, or `@hourly`."},
    {.name = "time_zone",
     .type = REEVE_FIELD_STR,
     .offset = AT(time_zone),
     .min = 1,
     .max = 64,
     .doc = "Zone that `cron` is meant in, such as `Europe/Berlin`. Preset: UTC."},
    {.name = "overlap",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(overlap),
     .choices = overlap_choices,
     .preset = "skip",
     .doc =
         "While the last job of the schedule is live: `skip` leaves the next one out, `allow` adds it all the same."},
    {.name = "missed",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(missed),
     .choices = missed_choices,
     .preset = "once",
     .doc = "For times at which no manager ran: `once` adds one job for all of them, `skip` none."},
    {.name = "job",
     .type = REEVE_FIELD_VALUE,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(job),
     .doc = "The job, as `enqueue` takes it: `type`, `payload`, `priority` and so on, without `id` and `run_at`."},
};
#undef AT
const struct reeve_record reeve_schedule_record = {
    .name = "schedule",
    .size = sizeof(struct reeve_schedule),
    .fields = schedule_fields,
    .fields_len = REEVE_ARRAY_LEN(schedule_fields),
    .doc = "Jobs by the clock.",
    .check = check_schedule,
};

// ---- the parts ------------------------------------------------------------------------------------------------

static void check_rate(const void *object, const struct reeve_value *value, const char *path,
                       struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    (void)object;
    if (reeve_value_kind(reeve_value_get(value, "count")) == REEVE_NULL &&
        reeve_value_kind(reeve_value_get(value, "per")) != REEVE_NULL) {
        reeve_errors_add(errors, reeve_value_get(value, "per"), reeve_path_join(buf, path, "per"),
                         "does nothing without count, such as {count: 10, per: 1s}");
    }
}

typedef __typeof__(((struct reeve_queue_spec *)NULL)->rate) rate_type;
#define AT(member) offsetof(rate_type, member)
static const struct reeve_field rate_fields[] = {
    {.name = "count",
     .type = REEVE_FIELD_INT,
     .offset = AT(count),
     .max = 1000000,
     .preset = "0",
     .doc = "Starts of attempts in any window of `per`. 0 = any number."},
    {.name = "per",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(per_ms),
     .min = 10,
     .max = DAY_MS,
     .preset = "1s",
     .doc = "Length of the window. It slides: there is no moment at which it begins anew."},
};
#undef AT
static const struct reeve_record rate_record = {
    .name = "rate",
    .size = sizeof(rate_type),
    .fields = rate_fields,
    .fields_len = REEVE_ARRAY_LEN(rate_fields),
    .doc = "How many jobs may be started in a time, by all workers together.",
    .check = check_rate,
};

static void check_backoff(const void *object, const struct reeve_value *value, const char *path,
                          struct reeve_errors *errors)
{
    const struct reeve_job_backoff *backoff = object;
    bool max_given = reeve_value_get(value, "max") != NULL || reeve_value_get(value, "max_ms") != NULL;
    const char *key = max_given ? "max" : "delay";
    char buf[REEVE_PATH_SIZE];
    char delay[REEVE_UNITS_TEXT_LEN];
    char max[REEVE_UNITS_TEXT_LEN];
    if (backoff->kind != REEVE_JOB_BACKOFF_EXPONENTIAL || backoff->max_ms >= backoff->delay_ms ||
        !sound(errors, path, "max") || !sound(errors, path, "delay")) {
        return;
    }
    reeve_errors_add(errors, reeve_value_get(value, key), reeve_path_join(buf, path, key),
                     "max %s is below delay %s, with which it begins", reeve_duration_format(backoff->max_ms, max),
                     reeve_duration_format(backoff->delay_ms, delay));
}

#define AT(member) offsetof(struct reeve_job_backoff, member)
static const struct reeve_field backoff_fields[] = {
    {.name = "kind",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(kind),
     .choices = backoff_choices,
     .preset = "exponential",
     .doc = "`fixed`: always `delay`; `exponential`: `delay`, then twice as long each time, up to `max`."},
    {.name = "delay",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(delay_ms),
     .min = 0,
     .max = DURATION_MAX,
     .preset = "1s",
     .doc = "Before the second attempt."},
    {.name = "delay_ms", .alias_of = "delay"},
    {.name = "max",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(max_ms),
     .min = 0,
     .max = DURATION_MAX,
     .preset = "5m",
     .doc = "Longest delay with `exponential`."},
    {.name = "max_ms", .alias_of = "max"},
    {.name = "jitter",
     .type = REEVE_FIELD_REAL,
     .offset = AT(jitter),
     .min = 0,
     .max = 1,
     .preset = "0.2",
     .doc = "This share of the delay is random, so that jobs that failed together do not come back together."},
};
#undef AT
static const struct reeve_record backoff_record = {
    .name = "backoff",
    .size = sizeof(struct reeve_job_backoff),
    .fields = backoff_fields,
    .fields_len = REEVE_ARRAY_LEN(backoff_fields),
    .doc = "How long a failed job waits for its next attempt. A job may have its own.",
    .check = check_backoff,
};

#define KEEP_FIELDS(age_, count_)                                                                                      \
    {                                                                                                                  \
        {.name = "age",                                                                                                \
         .type = REEVE_FIELD_DURATION,                                                                                 \
         .offset = offsetof(struct reeve_keep, age_ms),                                                                \
         .min = 1,                                                                                                     \
         .max = KEEP_MAX,                                                                                              \
         .choices = forever_choices,                                                                                   \
         .preset = (age_),                                                                                             \
         .doc = "Longest time; at most `id_retention`. `forever` = as long as their id is known."},                    \
            {.name = "count",                                                                                          \
             .type = REEVE_FIELD_INT,                                                                                  \
             .offset = offsetof(struct reeve_keep, count),                                                             \
             .max = 100000000,                                                                                         \
             .preset = (count_),                                                                                       \
             .doc = "So many, the newest. 0 = any number."},                                                           \
    }
static const struct reeve_field keep_fields[] = KEEP_FIELDS("1d", "10000");
static const struct reeve_field keep_failed_fields[] = KEEP_FIELDS("forever", "0");
static const struct reeve_record keep_completed_record = REEVE_RECORD(
    "keep_completed", struct reeve_keep, keep_fields, "Which completed jobs are kept, with their results.");
static const struct reeve_record keep_failed_record =
    REEVE_RECORD("keep_failed", struct reeve_keep, keep_failed_fields, "Which failed jobs are kept.");
static const struct reeve_record keep_cancelled_record =
    REEVE_RECORD("keep_cancelled", struct reeve_keep, keep_fields, "Which cancelled jobs are kept.");

// ---- the queue ------------------------------------------------------------------------------------------------

// Only what was written: a shorter id_retention shortens the presets without more words.
static const struct reeve_value *given_age(const struct reeve_value *keep)
{
    return reeve_value_kind(keep) == REEVE_MAP ? reeve_value_get(keep, "age") : keep;
}

static void check_keep(const struct reeve_keep *keep, int64_t id_retention_ms, const struct reeve_value *value,
                       const char *path, const char *key, struct reeve_errors *errors)
{
    char part[REEVE_PATH_SIZE];
    char buf[REEVE_PATH_SIZE];
    char age[REEVE_UNITS_TEXT_LEN];
    char retention[REEVE_UNITS_TEXT_LEN];
    const struct reeve_value *at = given_age(reeve_value_get(value, key));
    (void)reeve_path_join(part, path, key);
    if (reeve_value_kind(at) == REEVE_NULL || id_retention_ms == 0 || keep->age_ms <= id_retention_ms ||
        !sound(errors, part, "age") || !sound(errors, path, "id_retention")) {
        return;
    }
    reeve_errors_add(errors, at, reeve_path_join(buf, part, "age"),
                     "%s is longer than id_retention, %s: ids are remembered for longer than what is kept of the job",
                     reeve_duration_format(keep->age_ms, age), reeve_duration_format(id_retention_ms, retention));
}

static void check_names(const struct reeve_records *schedules, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors)
{
    const struct reeve_schedule *items = schedules->items;
    for (size_t i = 0; i < schedules->len; i++) {
        for (size_t earlier = 0; earlier < i; earlier++) {
            char name[48];
            char buf[REEVE_PATH_SIZE];
            if (items[i].name == NULL || !reeve_str_eq(items[i].name, items[earlier].name)) {
                continue;
            }
            (void)snprintf(name, sizeof(name), "schedules[%zu].name", i);
            reeve_errors_add(errors, reeve_value_get(reeve_value_at(reeve_value_get(value, "schedules"), i), "name"),
                             reeve_path_join(buf, path, name), "%s is given twice: keep one of them", items[i].name);
            break;
        }
    }
}

static void check_queue(const void *object, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors)
{
    const struct reeve_queue_spec *spec = object;
    const struct {
        const struct reeve_keep *keep;
        const char *key;
    } keeps[] = {{&spec->keep_completed, "keep_completed"},
                 {&spec->keep_failed, "keep_failed"},
                 {&spec->keep_cancelled, "keep_cancelled"}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keeps); i++) {
        check_keep(keeps[i].keep, spec->id_retention_ms, value, path, keeps[i].key, errors);
    }
    check_names(&spec->schedules, value, path, errors);
}

#define AT(member) offsetof(struct reeve_queue_spec, member)
static const struct reeve_field queue_fields[] = {
    {.name = "name",
     .type = REEVE_FIELD_NAME,
     .offset = AT(name),
     .doc = "Name of the queue. Needed in a file; in a command the topic says it."},
    {.name = "description", .type = REEVE_FIELD_STR, .offset = AT(description), .max = 1024, .doc = "For people."},
    {.name = "durability",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(durability),
     .choices = durability_choices,
     .preset = "commit",
     .doc = "What an acknowledged job outlives. `commit`: everything, it is on disk; `memory`: nothing that ends the "
            "manager."},
    {.name = "concurrency",
     .type = REEVE_FIELD_INT,
     .offset = AT(concurrency),
     .max = 1000000,
     .preset = "0",
     .doc = "Active jobs at once, of all workers together. 0 = any number."},
    {.name = "max_per_key",
     .type = REEVE_FIELD_INT,
     .offset = AT(max_per_key),
     .min = 1,
     .max = 1000000,
     .preset = "1",
     .doc = "Active jobs of one `key` at once. With 1 they are done in order."},
    {.name = "rate",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(rate),
     .record = &rate_record,
     .scalar_member = "count",
     .doc = "How many jobs may be started in a time."},
    {.name = "lease",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(lease_ms),
     .min = 2 * SECOND_MS,
     .max = HOUR_MS,
     .preset = "15s",
     .doc = "A worker that is silent for so long loses its jobs to others. One that is known to be dead loses them at "
            "once."},
    {.name = "attempts",
     .type = REEVE_FIELD_INT,
     .offset = AT(attempts),
     .min = 1,
     .max = REEVE_JOB_ATTEMPTS_MAX,
     .preset = "3",
     .doc = "Attempts of a job that says nothing, the first one included. Lost workers do not count."},
    {.name = "backoff",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(backoff),
     .record = &backoff_record,
     .scalar_member = "delay",
     .doc = "How long a failed job waits for its next attempt."},
    {.name = "timeout",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(timeout_ms),
     .max = DURATION_MAX,
     .preset = "0",
     .doc = "Longest time of an attempt, of jobs that say nothing. 0 = none."},
    {.name = "cancel_grace",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(cancel_grace_ms),
     .max = DAY_MS,
     .preset = "10s",
     .doc = "How long a worker has to end a job that was cancelled or ran out of time."},
    {.name = "poison_after",
     .type = REEVE_FIELD_INT,
     .offset = AT(poison_after),
     .min = 1,
     .max = 1000,
     .preset = "3",
     .doc = "A job fails when so many workers have died with it in hand."},
    {.name = "jobs_max",
     .type = REEVE_FIELD_INT,
     .offset = AT(jobs_max),
     .min = 1,
     .max = 100000000,
     .preset = "2000000",
     .doc = "Live jobs; `enqueue` is refused above."},
    {.name = "bytes_max",
     .type = REEVE_FIELD_SIZE,
     .offset = AT(bytes_max),
     .min = 1 << 20,
     .max = INT64_C(1) << 40,
     .doc = "Payloads of live jobs together; `enqueue` is refused above. Preset: 4G, with `durability: memory` 256M."},
    {.name = "keep_completed",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(keep_completed),
     .record = &keep_completed_record,
     .scalar_member = "age",
     .doc = "Which completed jobs are kept, with their results."},
    {.name = "keep_failed",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(keep_failed),
     .record = &keep_failed_record,
     .scalar_member = "age",
     .doc = "Which failed jobs are kept."},
    {.name = "keep_cancelled",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(keep_cancelled),
     .record = &keep_cancelled_record,
     .scalar_member = "age",
     .doc = "Which cancelled jobs are kept."},
    {.name = "id_retention",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(id_retention_ms),
     .min = MINUTE_MS,
     .max = KEEP_MAX,
     .choices = forever_choices,
     .preset = "30d",
     .doc = "How long the id of an ended job is remembered: until then the same job again is not done again."},
    {.name = "job_records",
     .type = REEVE_FIELD_BOOL,
     .offset = AT(job_records),
     .preset = "false",
     .doc = "Publish `job/<queue>/<job>` for each job."},
    {.name = "events",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(events),
     .choices = events_choices,
     .preset = "failures",
     .doc = "Which changes of jobs go to `queue/<queue>/event`."},
    {.name = "unmatched_alarm",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(unmatched_alarm_ms),
     .max = DURATION_MAX,
     .preset = "1m",
     .doc = "A job that waits for so long while no worker could do it raises an alarm. 0 = never."},
    {.name = "schedules",
     .type = REEVE_FIELD_RECORDS,
     .offset = AT(schedules),
     .record = &reeve_schedule_record,
     .min = 0,
     .max = SCHEDULES_MAX,
     .doc = "Jobs by the clock."},
};
#undef AT
const struct reeve_record reeve_queue_spec_record = {
    .name = "queue",
    .size = sizeof(struct reeve_queue_spec),
    .fields = queue_fields,
    .fields_len = REEVE_ARRAY_LEN(queue_fields),
    .doc = "What a queue promises and bounds, and what it keeps.",
    .check = check_queue,
};
