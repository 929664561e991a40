// Why a job is where it is [job-9]: everything that holds it, the most important first, in words and with the names
// that somebody needs who wants to change it. Must not: change anything.
#include "queue_room.h"

#include <reeve/clock.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMED_MAX  8      // jobs, workers, types that are named
#define LOOK_MAX   100000 // jobs that are counted or looked through; a longer line is told as "more than"
#define SHORT_TEXT 120

__attribute__((format(printf, 2, 3))) static void say(struct job_explained *to, const char *fmt, ...)
{
    char text[sizeof to->why];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* cut */
    va_end(ap);
    if (to->why[0] == '\0') {
        memcpy(to->why, text, sizeof text);
    }
    (void)reeve_value_add(to->details, reeve_value_str(text)); /* remembered: reeve_value_built() */
}

static void begin(struct job_explained *to)
{
    *to = (struct job_explained){.details = reeve_value_list()};
}

static const char *in_time(int64_t ms, char buf[REEVE_UNITS_TEXT_LEN])
{
    return reeve_duration_human(ms > 0 ? ms : 0, buf);
}

// ---- workers ------------------------------------------------------------------------------------------------------

struct survey {                    // of a queue's links, for one class
    size_t links, able, with_room; // greeted; that may do it; of them with room
    size_t in_hand;                // of those that may
    size_t closed;                 // of those that may: capacity 0
    size_t of_type;
    char types[200]; // of all, without repetition
    char lacks[300]; // "alpha/mm-1 lacks cpus>=4", ...
    size_t lacking;
};

static void append(char *text, size_t size, const char *more, const char *between)
{
    size_t len = strlen(text);
    if (len + strlen(more) + strlen(between) + 5 < size) {
        (void)snprintf(text + len, size - len, "%s%s", len > 0 ? between : "", more); /* fits */
    } else if (len + 5 < size && (len < 3 || strcmp(text + len - 3, "...") != 0)) {
        (void)snprintf(text + len, size - len, " ..."); /* fits */
    }
}

static bool lists(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) {
        if ((at == text || at[-1] == ' ') && (at[len] == '\0' || at[len] == ',')) {
            return true;
        }
    }
    return false;
}

static void note_types(struct survey *survey, const struct reeve_strv *types)
{
    for (size_t i = 0; i < types->len; i++) {
        if (!lists(survey->types, types->items[i])) {
            append(survey->types, sizeof survey->types, types->items[i], ", ");
        }
    }
}

static void note_lack(struct survey *survey, const struct link *link, const struct job_class *class)
{
    const struct fleet *fleet = class->queue->queues->manager->fleet;
    const struct fleet_worker *worker = fleet_worker(fleet, link->node, link->name);
    const struct reeve_requirement *missed = NULL;
    char requirement[REEVE_REQUIREMENT_TEXT_SIZE];
    char text[2 * REEVE_NAME_SIZE + REEVE_REQUIREMENT_TEXT_SIZE + 16];
    if (survey->lacking++ >= NAMED_MAX) {
        return;
    }
    if (worker == NULL) {
        (void)snprintf(text, sizeof text, "%s is not known to the fleet", link->worker); /* fits */
    } else {
        (void)reeve_requirements_met(&class->requirements, fleet_worker_attribute, worker,
                                     &missed); /* which one is asked for */
        (void)snprintf(text, sizeof text, "%s lacks %s", link->worker,
                       missed != NULL ? reeve_requirement_text(missed, requirement) : "nothing"); /* fits */
    }
    append(survey->lacks, sizeof survey->lacks, text, ", ");
}

static struct survey survey_links(const struct job_class *class, bool reconcile)
{
    struct survey survey = {0};
    for (struct reeve_map_iter it = {0}; reeve_map_next(class->queue->links, &it);) {
        const struct link *link = it.value;
        const struct reeve_strv *types = reconcile ? &link->reconciles : &link->types;
        bool of_type = (reconcile ? link->reconciles_any : link->any) || reeve_strv_has(types, class->type);
        if (!link->greeted) {
            continue;
        }
        survey.links++;
        survey.of_type += of_type ? 1 : 0;
        note_types(&survey, types);
        if (dispatch_eligible(link, class, reconcile)) {
            survey.able++;
            survey.in_hand += link->jobs.len;
            survey.closed += link->capacity == 0 ? 1 : 0;
            survey.with_room += (int64_t)link->jobs.len < link->capacity ? 1 : 0;
        } else if (of_type) {
            note_lack(&survey, link, class);
        }
    }
    return survey;
}

static void tell_unmatched(const struct job_class *class, bool reconcile, const struct survey *survey, char *buf,
                           size_t buf_len)
{
    if (survey->links == 0) {
        (void)snprintf(buf, buf_len, "no worker takes jobs of queue %s", class->queue->name); /* cut */
    } else if (survey->of_type == 0) {
        (void)snprintf(buf, buf_len, "no worker %s type %s (there %s: %s)", reconcile ? "reconciles" : "takes",
                       class->type, survey->links == 1 ? "is one worker" : "are workers",
                       survey->types[0] != '\0' ? survey->types : "none"); /* cut */
    } else {
        (void)snprintf(buf, buf_len, "no worker has what it requires: %s", survey->lacks); /* cut */
    }
}

bool job_unmatched(const struct job_class *class, bool reconcile, char *buf, size_t buf_len)
{
    if (!reconcile && class->stamp == class->queue->stamp && class->links_len > 0) {
        return false;
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(class->queue->links, &it);) {
        if (dispatch_eligible(it.value, class, reconcile)) {
            return false;
        }
    }
    if (buf != NULL) {
        const struct survey survey = survey_links(class, reconcile);
        tell_unmatched(class, reconcile, &survey, buf, buf_len);
    }
    return true;
}

static void tell_room(struct job_explained *to, const struct survey *survey)
{
    if (survey->able == 0) {
        return; // told before
    }
    if (survey->with_room == 0 && survey->closed == survey->able) {
        say(to,
            survey->able == 1
                ? "the %zu worker that may do it takes nothing just now: it is paused or drains"
                : "none of the %zu workers that may do it takes anything just now: they are paused or drain",
            survey->able);
    } else if (survey->with_room == 0) {
        say(to,
            survey->able == 1 ? "the %zu worker that may do it is full: %zu jobs in hand"
                              : "all %zu workers that may do it are full: %zu jobs in hand",
            survey->able, survey->in_hand);
    }
    if (survey->lacking > 0) {
        say(to, "%zu other worker%s may not: %s", survey->lacking, survey->lacking == 1 ? "" : "s", survey->lacks);
    }
}

// ---- limits of the queue ------------------------------------------------------------------------------------------

static void tell_rate(struct job_explained *to, const struct queue *queue)
{
    char in[REEVE_UNITS_TEXT_LEN];
    char window[REEVE_UNITS_TEXT_LEN];
    int64_t now = reeve_clock_mono_ms();
    int64_t count = queue->spec.rate.count;
    int64_t free_at = -1;
    if (count > 0 && queue->starts != NULL && queue->starts_len >= (size_t)count) {
        free_at = queue->starts[queue->starts_at] + queue->spec.rate.per_ms;
    }
    if (count > 0 && free_at >= now) {
        say(to, "rate: %lld starts in %s are used up, the next one may be in %s", (long long)count,
            reeve_duration_format(queue->spec.rate.per_ms, window), in_time(free_at - now + 1, in));
    }
}

// What somebody decided, what nobody can do, what limits hold back, whose hands are full: in this order.
static void tell_start(struct job_explained *to, const struct job_class *class, bool reconcile)
{
    char text[sizeof to->why];
    const struct queue *queue = class->queue;
    const struct survey survey = survey_links(class, reconcile);
    if (queue->paused) {
        say(to, "queue %s is paused: nothing starts until `resume`", queue->name);
    }
    if (survey.able == 0) {
        tell_unmatched(class, reconcile, &survey, text, sizeof text);
        say(to, "%s", text);
    }
    if (queue->spec.concurrency > 0 && queue->counts[REEVE_JOB_ACTIVE] >= queue->spec.concurrency) {
        say(to, "concurrency: %lld of %lld jobs of the queue are active", (long long)queue->counts[REEVE_JOB_ACTIVE],
            (long long)queue->spec.concurrency);
    }
    tell_rate(to, queue);
    tell_room(to, &survey);
}

// ---- dependencies -------------------------------------------------------------------------------------------------

static bool read_spec(const struct job *job, struct reeve_buf *copy, struct reeve_job_spec *ret)
{
    struct reeve_span id, raw;
    *ret = (struct reeve_job_spec){.backoff = {.jitter = -1}};
    if (job_load(job, &id, &raw, NULL) != REEVE_OK) {
        return false;
    }
    reeve_buf_append(copy, raw.data, raw.len); // the next call of the store takes it back
    struct reeve_cursor cursor = REEVE_CURSOR(copy->data, copy->len);
    return copy->err == REEVE_OK && reeve_job_spec_read(&cursor, ret, NULL) == REEVE_OK;
}

// False: it is completed.
static bool open_need(const struct queue *queue, struct reeve_span id, char *buf, size_t buf_len)
{
    int64_t number;
    struct job_ended_row ended;
    const struct job *job = NULL;
    const char *state = "unknown to this queue";
    enum reeve_job_state end = REEVE_JOB_WAITING;
    if (job_store_find(queue->store, queue->number, id, &number, NULL) == REEVE_OK) {
        job = job_index_get(queue->queues->index, number);
        if (job == NULL && job_store_ended(queue->store, number, &ended, NULL) == REEVE_OK) {
            end = ended.state;
        }
        state = reeve_job_state_text(job != NULL ? (enum reeve_job_state)job->state : end);
    }
    bool stuck = end == REEVE_JOB_FAILED || end == REEVE_JOB_CANCELLED;
    (void)snprintf(buf, buf_len, "%.*s (%s%s)", (int)id.len, id.data, state,
                   stuck ? ": retry it or cancel this one" : ""); /* cut */
    return end != REEVE_JOB_COMPLETED;
}

static void tell_needs(struct job_explained *to, const struct job *job)
{
    REEVE_BUF_AUTO copy = REEVE_BUF_INIT(0);
    struct reeve_job_spec spec;
    char all[300] = "";
    size_t open = 0;
    if (!read_spec(job, &copy, &spec)) {
        return;
    }
    struct reeve_cursor cursor = REEVE_CURSOR(spec.after.data, spec.after.len);
    for (size_t n = spec.after.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0 && cursor.err == REEVE_OK; n--) {
        char one[REEVE_JOB_ID_SIZE + 60];
        struct reeve_span id = reeve_cursor_str(&cursor);
        if (open_need(job_queue(job), id, one, sizeof one) && open++ < NAMED_MAX) {
            append(all, sizeof all, one, ", ");
        }
    }
    say(to, "waits for %zu job%s: %s%s", open, open == 1 ? "" : "s", all, open > NAMED_MAX ? ", ..." : "");
}

// ---- keys ---------------------------------------------------------------------------------------------------------

static const struct job *active_holder(const struct job *job)
{
    const struct queue *queue = job_queue(job);
    size_t looked = 0;
    for (struct reeve_map_iter it = {0}; looked++ < LOOK_MAX && reeve_map_next(queue->active, &it);) {
        const struct job *other = it.value;
        if (other->key == job->key && other->holds_key) {
            return other;
        }
    }
    return NULL;
}

static const struct job *delayed_holder(const struct job *job)
{
    const struct job_due *due = &job_queue(job)->queues->due;
    for (size_t i = 0; i < due->len && i < LOOK_MAX; i++) {
        if (due->items[i]->key == job->key && due->items[i]->holds_key) {
            return due->items[i];
        }
    }
    return NULL;
}

static const struct job *listed_holder(const struct job *job)
{
    size_t looked = 0;
    for (struct reeve_map_iter it = {0}; reeve_map_next(job_queue(job)->classes, &it);) {
        const struct job_class *class = it.value;
        for (int i = 0; i <= REEVE_JOB_PRIORITY_MAX + 1; i++) {
            const struct job_list *list = i <= REEVE_JOB_PRIORITY_MAX ? &class->ready[i] : &class->reconcile;
            for (const struct job *other = list->head; other != NULL && looked++ < LOOK_MAX; other = other->next) {
                if (other->key == job->key && other->holds_key) {
                    return other;
                }
            }
        }
    }
    return NULL;
}

// How many stand before it in its list.
static size_t before_in_list(const struct job *job)
{
    size_t len = 0;
    for (const struct job *at = job->prev; at != NULL && len < LOOK_MAX; at = at->prev) {
        len++;
    }
    return len;
}

static void tell_key(struct job_explained *to, const struct job *job)
{
    char id[REEVE_JOB_ID_SIZE] = "another job";
    char key[64];
    struct reeve_span found, raw;
    const struct job *holder = active_holder(job);
    holder = holder != NULL ? holder : delayed_holder(job);
    holder = holder != NULL ? holder : listed_holder(job);
    if (holder != NULL && job_load(holder, &found, &raw, NULL) == REEVE_OK && found.len < sizeof id) {
        (void)snprintf(id, sizeof id, "%.*s", (int)found.len, found.data); /* fits */
    }
    const char *state = holder != NULL ? reeve_job_state_text((enum reeve_job_state)holder->state) : "waiting";
    bool active = holder != NULL && holder->text != NULL;
    (void)reeve_log_quote(job->key->text, key, sizeof key); /* cut */
    say(to, "its key %s is held by %s (%s%s%s)", key, id, state, active ? " at " : "",
        active ? holder->text->worker : "");
    size_t before = before_in_list(job);
    if (before > 0) {
        say(to, "%s%zu job%s of its key %s before it", before >= LOOK_MAX ? "more than " : "", before,
            before == 1 ? "" : "s", before == 1 ? "is" : "are");
    }
}

// ---- by state -----------------------------------------------------------------------------------------------------

static void tell_line(struct job_explained *to, const struct job *job)
{
    size_t own = before_in_list(job);
    size_t before = own;
    for (int i = job->priority + 1; i <= REEVE_JOB_PRIORITY_MAX; i++) {
        before += job->class->ready[i].len;
    }
    if (before > 0) {
        say(to, "%s%zu job%s of its kind %s before it", own >= LOOK_MAX ? "more than " : "", before,
            before == 1 ? "" : "s", before == 1 ? "is" : "are");
    }
}

static void explain_waiting(struct job_explained *to, const struct job *job)
{
    bool needs = job->wait != NULL && job->wait->left > 0;
    if (needs) {
        tell_needs(to, job);
    } else if (job->key != NULL && !job->holds_key) {
        tell_key(to, job);
    }
    tell_start(to, job->class, false);
    if (!needs && job->listed && (job->key == NULL || job->holds_key)) {
        tell_line(to, job);
    }
    if (to->why[0] == '\0') {
        say(to, "nothing holds it: it is about to be handed out");
    }
}

static const char *last_error(const struct job *job, char buf[SHORT_TEXT + 20])
{
    struct reeve_span error;
    char text[SHORT_TEXT];
    if (job_store_note(job_queue(job)->store, job->number, JOB_NOTE_ERROR, &error, NULL) != REEVE_OK ||
        error.len == 0) {
        return "";
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)error.len, error.data); /* cut */
    (void)snprintf(buf, SHORT_TEXT + 20, " with \"%s\"", text);            /* fits */
    return buf;
}

static int64_t attempts_of(const struct job *job)
{
    REEVE_BUF_AUTO copy = REEVE_BUF_INIT(0);
    struct reeve_job_spec spec;
    return read_spec(job, &copy, &spec) && spec.attempts > 0 ? spec.attempts : job_queue(job)->spec.attempts;
}

static void explain_delayed(struct job_explained *to, const struct job *job)
{
    char at[REEVE_CLOCK_TEXT_LEN];
    char in[REEVE_UNITS_TEXT_LEN];
    char error[SHORT_TEXT + 20];
    (void)reeve_clock_format(job->run_at, at);
    (void)in_time(job->due_mono - reeve_clock_mono_ms(), in);
    if (job->attempt == 0) {
        say(to, "delayed until %s, in %s", at, in);
    } else {
        say(to, "attempt %u failed%s (%u of %lld that may fail); the next one at %s, in %s", job->attempt,
            last_error(job, error), job->failures, (long long)attempts_of(job), at, in);
    }
    if (job->holds_key && job->key->waiting.len > 0) {
        say(to, "%zu jobs of its key wait for it", job->key->waiting.len);
    }
    if (job_queue(job)->paused) {
        say(to, "queue %s is paused: it does not start then either, until `resume`", job_queue(job)->name);
    }
}

static void tell_deadline(struct job_explained *to, const struct job *job)
{
    REEVE_BUF_AUTO copy = REEVE_BUF_INIT(0);
    struct reeve_job_spec spec;
    char in[REEVE_UNITS_TEXT_LEN];
    bool own = read_spec(job, &copy, &spec) && spec.timeout_ms > 0;
    int64_t timeout = own ? spec.timeout_ms : job_queue(job)->spec.timeout_ms;
    int64_t left = job->started_at + timeout - reeve_clock_wall_ms();
    if (timeout > 0) {
        say(to, left > 0 ? "its time is over in %s" : "its time is over: its worker ends it (%s)",
            left > 0 ? in_time(left, in) : "timeout");
    }
}

static void explain_active(struct job_explained *to, const struct job *job)
{
    char since[REEVE_CLOCK_TEXT_LEN];
    char ago[REEVE_UNITS_TEXT_LEN];
    const struct job_text *text = job->text;
    int64_t now = reeve_clock_mono_ms();
    say(to, "%s at %s since %s, for %s, attempt %u",
        (job->flags & JOB_FLAG_RECONCILING) != 0 ? "is reconciled" : "active", text->worker,
        reeve_clock_format(job->started_at, since), in_time(reeve_clock_wall_ms() - job->started_at, ago),
        job->attempt);
    if (text->progress >= 0) {
        say(to, "progress %.0f %%%s%s", text->progress * 100, text->progress_text[0] != '\0' ? ": " : "",
            text->progress_text);
    }
    if ((job->flags & JOB_FLAG_CANCEL) != 0) {
        say(to, "it is to be cancelled: its worker was told");
    }
    if ((job->flags & JOB_FLAG_NO_RETURN) != 0) {
        say(to, "it is past its point of no return: it is not cancelled, and not done again when its worker is lost");
    }
    tell_deadline(to, job);
    if (job->link == NULL || !job->link->greeted) {
        say(to, "its worker was asked what it has in hand and has not answered yet");
    } else if (now - job->link->heard_mono > job_queue(job)->spec.lease_ms / 2) {
        char lease[REEVE_UNITS_TEXT_LEN];
        say(to, "its worker was last heard %s ago, its lease is %s", in_time(now - job->link->heard_mono, ago),
            in_time(job_queue(job)->spec.lease_ms, lease));
    }
}

static void explain_unknown(struct job_explained *to, const struct job *job)
{
    char in[REEVE_UNITS_TEXT_LEN];
    char error[SHORT_TEXT + 20];
    say(to,
        "past its point of no return attempt %u was lost or failed%s: whether it was done is not known, so a worker "
        "that "
        "reconciles %s has to look",
        job->attempt, last_error(job, error), job->class->type);
    if ((job->flags & JOB_FLAG_PARKED) != 0) {
        say(to, "%u workers died with it in hand: it is not tried again until `retry`", job->deaths);
        return;
    }
    if (job->heap_at != 0) {
        say(to, "the next look is in %s", in_time(job->due_mono - reeve_clock_mono_ms(), in));
    }
    tell_start(to, job->class, true);
}

void job_explain(const struct job *job, struct job_explained *ret)
{
    static void (*const by_state[REEVE_JOB_STATE_COUNT])(struct job_explained * to, const struct job *job) = {
        [REEVE_JOB_WAITING] = explain_waiting,
        [REEVE_JOB_DELAYED] = explain_delayed,
        [REEVE_JOB_ACTIVE] = explain_active,
        [REEVE_JOB_UNKNOWN] = explain_unknown,
    };
    begin(ret);
    REEVE_ASSERT(by_state[job->state] != NULL); // a live job
    by_state[job->state](ret, job);
}

void job_explain_ended(const struct job_ended_row *row, struct job_explained *ret)
{
    char at[REEVE_CLOCK_TEXT_LEN];
    (void)reeve_clock_format(row->ended_at, at);
    begin(ret);
    if (row->error.len > 0) {
        say(ret, "%s at %s: %.*s", reeve_job_state_text(row->state), at, (int)row->error.len, row->error.data);
    } else {
        say(ret, "%s at %s", reeve_job_state_text(row->state), at);
    }
    if (row->worker.len > 0) {
        say(ret, "%lld attempt%s, the last one at %.*s", (long long)row->attempt, row->attempt == 1 ? "" : "s",
            (int)row->worker.len, row->worker.data);
    } else if (row->retained) {
        say(ret, row->attempt == 0 ? "it never was started" : "%lld attempts", (long long)row->attempt);
    }
    if (row->deaths > 0) {
        say(ret, "%lld worker%s died with it in hand", (long long)row->deaths, row->deaths == 1 ? "" : "s");
    }
    if (!row->retained) {
        say(ret, "only its id is known any more");
    } else if (row->state == REEVE_JOB_FAILED) {
        say(ret, "it stays until `retry` or `remove`");
    }
}
