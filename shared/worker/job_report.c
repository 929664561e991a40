// Reports: what is to be said, kept until the manager has it on disk, sent again when that takes too long [job-13].
// An entry goes from `unsent` to `sent` when its report was taken by the bus, back when the session or the manager is
// another or the ack is late, and away with the ack.
// Must not: decide about a job.
#include "worker.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_OVERHEAD 160 // keys and numbers of an entry
#define LEASE_PART     3   // reports in a lease, and a third of it is long for an ack

// ---- what is kept
// ------------------------------------------------------------------------------------------------------

static void append(struct job_kept_list *list, struct job_kept *kept)
{
    kept->next = NULL;
    *(list->last == NULL ? &list->first : &list->last->next) = kept;
    list->last = kept;
}

static struct job_kept *pop(struct job_kept_list *list)
{
    struct job_kept *kept = list->first;
    list->first = kept->next;
    if (list->first == NULL) {
        list->last = NULL;
    }
    return kept;
}

void jobs_keep(struct job_link *link, struct job_kept *kept)
{
    kept->seq = 0;
    append(&link->unsent, kept);
    link->kept++;
    link->kept_bytes += kept->data_len + kept->error_len;
}

// The memory of a checkpoint's entry goes, that of an ending is the job's.
static void forget(struct job_link *link, struct job_kept *kept)
{
    struct reeve_job *job = kept->job;
    link->kept--;
    link->kept_bytes -= kept->data_len + kept->error_len;
    free(kept->body);
    kept->body = NULL;
    if (kept == &job->ending) {
        job->unconfirmed = false;
    } else {
        job->stored_waits--;
        free(kept);
    }
}

static void drop_of(struct job_link *link, struct job_kept_list *list, const struct reeve_job *job)
{
    struct job_kept_list rest = {0};
    while (list->first != NULL) {
        struct job_kept *kept = pop(list);
        if (kept->job == job) {
            forget(link, kept);
        } else {
            append(&rest, kept);
        }
    }
    *list = rest;
}

void jobs_unkeep(struct job_link *link, struct reeve_job *job)
{
    if (job->unconfirmed || job->stored_waits > 0) {
        drop_of(link, &link->sent, job);
        drop_of(link, &link->unsent, job);
    }
}

bool jobs_full(const struct job_link *link)
{
    return link->kept >= link->concurrency + link->prefetch + JOBS_KEPT_BEYOND ||
           link->kept_bytes > JOBS_KEPT_BYTES_MAX;
}

static size_t message_max(const struct reeve_worker *worker)
{
    int64_t bytes = worker->settings.broker.message_bytes_max;
    int64_t wire = (int64_t)reeve_limits_wire.bytes_max;
    return (size_t)(bytes > 2 * JOBS_MESSAGE_MARGIN && bytes < wire ? bytes : wire) - JOBS_MESSAGE_MARGIN;
}

size_t jobs_data_max(const struct reeve_worker *worker)
{
    size_t room = message_max(worker) - JOBS_MESSAGE_MARGIN - JOBS_TEXT_BYTES_MAX;
    return room < REEVE_JOB_VALUE_BYTES_MAX ? room : REEVE_JOB_VALUE_BYTES_MAX; // what the manager takes
}

// ---- what may be lost: lines of log, progress
// ----------------------------------------------------------------------------

enum reeve_err jobs_line_add(struct job_link *link, const struct reeve_job *job, const char *text, size_t len)
{
    struct job_line *line = link->lines_len < JOBS_LINES_MAX ? malloc(sizeof *line + job->id_len + len) : NULL;
    if (line == NULL) {
        job->worker->jobs.lines_dropped++;
        return REEVE_LIMIT;
    }
    *line = (struct job_line){.attempt = job->attempt, .id_len = job->id_len, .text_len = len};
    memcpy(line->bytes, job->bytes, job->id_len);
    memcpy(line->bytes + job->id_len, text, len);
    *(link->lines == NULL ? &link->lines : &link->lines_last->next) = line;
    link->lines_last = line;
    link->lines_len++;
    return REEVE_OK;
}

static void lines_pop(struct job_link *link, size_t len)
{
    for (; len > 0; len--) {
        struct job_line *line = link->lines;
        link->lines = line->next;
        link->lines_len--;
        free(line);
    }
}

static void progress_clear(struct job_link *link)
{
    while (link->progress != NULL) {
        struct reeve_job *job = link->progress;
        link->progress = job->progress_next;
        job->progress_next = NULL;
        job->progress_new = false;
        job_settle(job);
    }
}

// ---- a session, an ack, none
// ---------------------------------------------------------------------------------------------

// Those that were sent go first again: in the order in which it happened.
static void unsend(struct job_link *link)
{
    if (link->sent.first == NULL) {
        return;
    }
    link->sent.last->next = link->unsent.first;
    if (link->unsent.first == NULL) {
        link->unsent.last = link->sent.last;
    }
    link->unsent.first = link->sent.first;
    link->sent = (struct job_kept_list){0};
}

static void send_anew(struct job_link *link)
{
    unsend(link);
    for (struct job_kept *kept = link->unsent.first; kept != NULL; kept = kept->next) {
        kept->seq = 0;
    }
}

void jobs_send_again(struct job_link *link)
{
    send_anew(link);
    link->late_ms = 0;
    link->reports_len = 0;
}

void jobs_session_begin(struct job_link *link)
{
    jobs_send_again(link);
    link->seq = 0;
    link->got = 0;
    link->hello_due = true;
    link->hello_acked = false;
    link->hello_seq = 0;
    link->refused_mono = 0;
}

// When the newest report that is confirmed was sent: the lease counts from then [job-14].
static void lease_from(struct job_link *link, int64_t ack)
{
    while (link->reports_len > 0 && link->reports[link->reports_first].seq <= ack) {
        link->lease_mono = link->reports[link->reports_first].mono;
        link->reports_first = (link->reports_first + 1) % JOBS_REPORTS_MAX;
        link->reports_len--;
    }
}

static void confirm(struct job_link *link, struct job_kept *kept)
{
    struct reeve_job *job = kept->job;
    reeve_job_stored *stored = kept->stored;
    void *arg = kept->arg;
    bool tell = stored != NULL && job->phase == JOB_RUNNING;
    forget(link, kept);
    if (tell) {
        stored(job->worker, job, REEVE_OK, arg);
    }
    job_settle(job);
}

void jobs_acked(struct job_link *link, int64_t ack)
{
    lease_from(link, ack);
    link->hello_acked = link->hello_acked || (link->hello_seq > 0 && link->hello_seq <= ack);
    link->late_ms = 0;
    while (link->sent.first != NULL && link->sent.first->seq <= ack) {
        confirm(link, pop(&link->sent));
    }
}

static int64_t lease_of(const struct job_link *link)
{
    return link->lease_ms > 0 ? link->lease_ms : JOBS_LEASE_MS_PRESET;
}

static int64_t late_of(const struct job_link *link)
{
    return link->late_ms > 0 ? link->late_ms : lease_of(link) / LEASE_PART;
}

static int64_t late_due(const struct job_link *link)
{
    return link->sent.first == NULL ? INT64_MAX : link->sent.first->sent_mono + late_of(link);
}

// They keep their `seq`: an ack of the first report that had them is as good as one of the last.
void jobs_late(struct job_link *link, int64_t now_mono)
{
    if (now_mono >= late_due(link)) {
        int64_t next_ms = 2 * late_of(link);
        unsend(link);
        link->late_ms = next_ms < JOBS_LATE_MS_MAX ? next_ms : JOBS_LATE_MS_MAX;
        link->hello_due = link->hello_due || !link->hello_acked;
    }
}

// ---- writing a report
// ------------------------------------------------------------------------------------------------------

struct writing {
    struct reeve_worker *worker;
    struct job_link *link;
    struct reeve_job_report_writer writer;
    size_t entries, lines, kept;
    size_t bytes_max;
};

static void hand_add(struct reeve_buf *buf, const struct reeve_job *job)
{
    reeve_pack_list(buf, 2);
    reeve_pack_span(buf, (struct reeve_span){job->bytes, job->id_len});
    reeve_pack_int(buf, job->attempt);
}

static size_t hand_add_list(struct reeve_buf *buf, const struct job_list *list)
{
    for (const struct reeve_job *job = list->first; job != NULL; job = job->next) {
        hand_add(buf, job);
    }
    return list->len;
}

// What has ended and is not confirmed stands in the hand too: its entry may travel in the next report, and until then
// the manager must not give it to another.
static size_t hand_add_kept(struct reeve_buf *buf, const struct job_kept_list *list)
{
    size_t len = 0;
    for (const struct job_kept *kept = list->first; kept != NULL; kept = kept->next) {
        if (kept == &kept->job->ending) {
            hand_add(buf, kept->job);
            len++;
        }
    }
    return len;
}

static struct reeve_span span_of(const struct reeve_buf *buf)
{
    return (struct reeve_span){buf->data, buf->len};
}

static struct reeve_span write_hand(struct worker_jobs *jobs, const struct job_link *link)
{
    reeve_buf_reset(&jobs->hand);
    size_t place = reeve_pack_list_open(&jobs->hand);
    size_t len = hand_add_list(&jobs->hand, &link->waiting) + hand_add_list(&jobs->hand, &link->running) +
                 hand_add_kept(&jobs->hand, &link->sent) + hand_add_kept(&jobs->hand, &link->unsent);
    reeve_pack_list_close(&jobs->hand, place, len);
    return span_of(&jobs->hand);
}

static bool fits(const struct writing *writing, size_t bytes)
{
    return writing->entries < REEVE_JOBS_IN_MESSAGE_MAX &&
           writing->writer.buf->len + bytes + ENTRY_OVERHEAD <= writing->bytes_max;
}

static void write_entry(struct writing *writing, const struct reeve_job_entry *entry)
{
    reeve_job_report_entry(&writing->writer, entry);
    writing->entries++;
}

static void write_lines(struct writing *writing)
{
    for (const struct job_line *line = writing->link->lines;
         line != NULL && fits(writing, line->id_len + line->text_len); line = line->next) {
        write_entry(writing, &(struct reeve_job_entry){.id = {line->bytes, line->id_len},
                                                       .attempt = line->attempt,
                                                       .outcome = REEVE_JOB_OUTCOME_LOG,
                                                       .text = {line->bytes + line->id_len, line->text_len},
                                                       .progress = -1,
                                                       .delay_ms = -1});
        writing->lines++;
    }
}

// Of a job that has ended meanwhile nobody asks how far it was.
static void write_progress(struct writing *writing)
{
    for (const struct reeve_job *job = writing->link->progress; job != NULL; job = job->progress_next) {
        size_t text_len = job->progress_text == NULL ? 0 : strlen(job->progress_text);
        if (job->phase != JOB_RUNNING || !fits(writing, job->id_len + text_len)) {
            continue;
        }
        write_entry(writing, &(struct reeve_job_entry){.id = {job->bytes, job->id_len},
                                                       .attempt = job->attempt,
                                                       .outcome = REEVE_JOB_OUTCOME_PROGRESS,
                                                       .text = {job->progress_text, text_len},
                                                       .progress = job->progress,
                                                       .delay_ms = -1});
    }
}

static void write_kept(struct writing *writing)
{
    for (const struct job_kept *kept = writing->link->unsent.first;
         kept != NULL && fits(writing, kept->job->id_len + kept->data_len + kept->error_len); kept = kept->next) {
        write_entry(writing, &(struct reeve_job_entry){.id = {kept->job->bytes, kept->job->id_len},
                                                       .attempt = kept->job->attempt,
                                                       .outcome = kept->outcome,
                                                       .data = {kept->body, kept->data_len},
                                                       .error = {kept->body + kept->data_len, kept->error_len},
                                                       .progress = -1,
                                                       .delay_ms = kept->delay_ms});
        writing->kept++;
    }
}

static enum reeve_err write_report(struct writing *writing)
{
    struct reeve_worker *worker = writing->worker;
    struct worker_jobs *jobs = &worker->jobs;
    struct job_link *link = writing->link;
    char name[2 * REEVE_NAME_SIZE];
    int name_len = snprintf(name, sizeof name, "%s/%s", worker->settings.node, worker->settings.name);
    struct reeve_job_report head = {.worker = {name, (size_t)name_len},
                                    .epoch = (int64_t)worker->session.epoch,
                                    .seq = link->seq + 1,
                                    .got = link->got,
                                    .capacity = (int64_t)jobs_capacity(worker, link),
                                    .manager_epoch = jobs->manager_epoch,
                                    .hello = link->hello_due};
    if (head.hello) {
        head.types = span_of(&jobs->types);
        head.reconciles = span_of(&jobs->reconciles);
        head.hand = write_hand(jobs, link);
    }
    reeve_buf_reset(&jobs->message);
    reeve_job_report_begin(&writing->writer, &jobs->message, &head);
    write_lines(writing);
    write_progress(writing);
    write_kept(writing);
    enum reeve_err err = reeve_job_report_end(&writing->writer);
    return err == REEVE_OK ? jobs->hand.err : err;
}

// ---- sending
// -----------------------------------------------------------------------------------------------------------------

static void remember_report(struct job_link *link, int64_t now_mono)
{
    if (link->reports_len < JOBS_REPORTS_MAX) { // else an ack of it counts as one of an earlier: the lease ends sooner
        link->reports[(link->reports_first + link->reports_len) % JOBS_REPORTS_MAX] =
            (struct job_sent){.seq = link->seq, .mono = now_mono};
        link->reports_len++;
    }
}

static void was_sent(const struct writing *writing, int64_t now_mono)
{
    struct job_link *link = writing->link;
    struct worker_jobs *jobs = &writing->worker->jobs;
    link->seq++;
    remember_report(link, now_mono);
    if (link->hello_due) {
        link->hello_due = false;
        link->hello_acked = false;
        link->hello_seq = link->seq;
    }
    lines_pop(link, writing->lines);
    progress_clear(link);
    link->talked_mono = now_mono;
    for (size_t i = 0; i < writing->kept; i++) {
        struct job_kept *kept = pop(&link->unsent);
        jobs->resent += kept->sent_mono != 0 ? 1 : 0;
        kept->seq = kept->seq == 0 ? link->seq : kept->seq;
        kept->sent_mono = now_mono;
        append(&link->sent, kept);
    }
    link->report_due = false;
    link->report_at = 0;
    link->reported_mono = now_mono;
    link->refused_mono = 0;
    jobs->reports++;
}

static void on_result(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    struct reeve_worker *worker = arg;
    (void)bus;                                         /* the worker's */
    if (err == REEVE_DENIED || err == REEVE_INVALID) { // said with each report, which is seldom while none gets through
        reeve_log(REEVE_LOG_ERROR, "jobs", "worker=%s err=%s why=\"%s\" reports of jobs are refused",
                  worker->settings.name, reeve_err_text(err), why->text);
    }
}

// False: nothing more goes out now.
static bool send_one(struct reeve_worker *worker, struct job_link *link, int64_t now_mono)
{
    struct writing writing = {.worker = worker, .link = link, .bytes_max = message_max(worker)};
    struct worker_jobs *jobs = &worker->jobs;
    bool hello = link->hello_due; // its hand may leave no room for entries
    if (hello) {
        send_anew(link); // whoever takes it may have missed what was before, and confirms all up to it
    }
    enum reeve_err err = write_report(&writing);
    if (err == REEVE_OK) {
        struct reeve_bus_message message = {.topic = link->topic,
                                            .payload = jobs->message.data,
                                            .payload_len = jobs->message.len,
                                            .qos = 1,
                                            .class = REEVE_BUS_STATE, // of this session: the next one begins anew
                                            .result = on_result,
                                            .arg = worker};
        err = jobs->send(worker, &message);
    }
    if (err != REEVE_OK) {
        link->refused_mono = now_mono;
        reeve_log(err == REEVE_OFFLINE ? REEVE_LOG_DEBUG : REEVE_LOG_WARNING, "jobs", "queue=%s err=%s report retrying",
                  link->queue, reeve_err_text(err));
        return false;
    }
    was_sent(&writing, now_mono);
    return hello || writing.entries > 0;
}

static int64_t period_of(const struct reeve_worker *worker, const struct job_link *link)
{
    bool busy = link->waiting.len + link->running.len > 0;
    return busy ? lease_of(link) / (LEASE_PART + 1) : worker->settings.heartbeat_ms;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool has_news(const struct job_link *link)
{
    return link->hello_due || link->report_due || link->unsent.first != NULL;
}

int64_t jobs_report_due(const struct reeve_worker *worker, const struct job_link *link)
{
    const struct worker_jobs *jobs = &worker->jobs;
    if (!link->used || !jobs->ready || worker->status.hanging || worker->session.renewing) {
        return INT64_MAX; // the session that is to come begins with a hello
    }
    if (link->refused_mono != 0) {
        return link->refused_mono + JOBS_RETRY_MS;
    }
    if (has_news(link)) {
        return 0;
    }
    int64_t due = link->reported_mono + period_of(worker, link);
    due = link->report_at != 0 ? earlier(due, link->report_at) : due;
    bool talk = link->progress != NULL || link->lines != NULL;
    due = talk ? earlier(due, link->talked_mono + JOBS_TALK_MS) : due;
    return earlier(due, late_due(link));
}

void jobs_report(struct reeve_worker *worker, struct job_link *link, int64_t now_mono)
{
    if (now_mono < jobs_report_due(worker, link)) {
        return;
    }
    // Nobody has answered the last hello: whoever answers now needs one.
    link->hello_due =
        link->hello_due || (!link->hello_acked && now_mono >= link->reported_mono + period_of(worker, link));
    while (send_one(worker, link, now_mono) && link->unsent.first != NULL) {
    }
}

void jobs_kept_free(struct job_link *link)
{
    jobs_send_again(link);
    while (link->unsent.first != NULL) {
        struct job_kept *kept = pop(&link->unsent);
        struct reeve_job *job = kept->job;
        forget(link, kept);
        job_settle(job);
    }
    lines_pop(link, link->lines_len);
    progress_clear(link);
}
