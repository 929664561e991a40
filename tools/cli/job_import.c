// Importing jobs; see job_import.h.
// Must not: send a line under two ids: an import that is repeated with its batch id adds nothing twice.
#include "job_import.h"

#include "ask.h"
#include "job_args.h"
#include "job_feed.h"
#include "job_line.h"
#include "job_wait.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/id.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define TOLD_MAX   20   // wrong lines that are named
#define TICK_MS    200  // of the line that tells how far it is
#define STALLED_MS 1000 // silence that needs an explanation

struct input {
    const char *path; // for people
    int fd;
    int flags;         // of fd before, to be put back; -1 = untouched
    bool always;       // a file: there is always something to read
    int64_t size;      // of a file; 0 = not known
    char *data;        // what was read and is no line yet
    size_t start, end; // in data
    size_t cap;
    uint64_t bytes; // read so far
    uint64_t line;  // number of the last one
    bool skipping;  // the rest of a line that is too long
    bool eof;
};

struct waited_id { // of --wait
    uint64_t line;
    char id[REEVE_JOB_ID_SIZE];
};

struct import {
    struct asking asking;
    struct input input;
    struct reeve_value *given; // what the options say of each job
    struct job_line how;
    struct job_feed *feed;
    struct job_wait *wait;
    struct waited_id *ids;
    size_t ids_len;
    bool ids_lost;         // more than can be waited for
    unsigned char *packed; // the next job
    size_t packed_cap, packed_len;
    uv_poll_t poll;
    bool polls, reading; // there is one; it runs
    struct reeve_timer tick;
    struct progress progress;
    struct reeve_value *mistakes; // LIST, the first ones
    uint64_t jobs, wrong;         // lines that are jobs, and that are not
    int64_t room_mono;            // when the queue last took something
    bool stalled_told;
    enum reeve_err err; // of reading
    struct reeve_why why;
};

static void import_done(struct import *import)
{
    job_wait_free(import->wait);
    job_feed_free(import->feed);
    if (import->input.flags >= 0) {
        (void)fcntl(import->input.fd, F_SETFL, import->input.flags); /* others share it; too late to tell */
    }
    asking_done(&import->asking); // closes what is left on the loop
    if (import->input.fd > STDIN_FILENO) {
        (void)close(import->input.fd); /* only read */
    }
    free(import->input.data);
    free(import->packed);
    free(import->ids);
    job_line_done(&import->how);
    reeve_value_free(import->given);
    reeve_value_free(import->mistakes);
}
#define IMPORT_AUTO __attribute__((cleanup(import_done))) struct import

void job_import_tell_ended(const char *id, const struct reeve_value *record, bool result)
{
    const char *state = reeve_get_str(record, "state");
    const char *error = reeve_get_str(record, "error");
    const struct reeve_value *value = reeve_value_get(record, "result");
    REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
    if (record == NULL) {
        output_note("job %s: its end is forgotten already; the queue keeps too few", id);
    } else if (state == NULL || strcmp(state, "completed") != 0) {
        output_note("job %s: %s%s%s", id, state != NULL ? state : "?", error != NULL ? ": " : "",
                    error != NULL ? error : "");
    } else if (result && reeve_value_kind(value) == REEVE_NULL) {
        output_print("job %s: completed\n", id);
    } else if (result && reeve_json_write(value, 0, &json) == REEVE_OK) {
        output_print("%s\n", reeve_buf_str(&json));
    }
}

// ---- wrong lines
// ------------------------------------------------------------------------------------------------------

static void tell_wrong(struct import *import, const char *place, const char *code, const char *text)
{
    struct reeve_value *map;
    if (reeve_value_len(import->mistakes) == TOLD_MAX) {
        return; // the summary has the number
    }
    map = reeve_value_map();
    reeve_put_str(map, "file", import->input.path);
    reeve_put_int(map, "line", strtoll(place, NULL, 10));
    reeve_put_str_opt(map, "code", code);
    reeve_put_str(map, "message", text);
    (void)reeve_value_add(import->mistakes, map); /* remembered: reeve_value_built() */
    progress_end(&import->progress);
    REEVE_BUF_AUTO line = REEVE_BUF_INIT(16u << 10);
    output_escape(&line, import->input.path, strlen(import->input.path));
    reeve_buf_printf(&line, ":%s: ", place);
    output_escape(&line, text, strlen(text));
    (void)fprintf(stderr, "%s\n", reeve_buf_str(&line)); // in the way of compilers
}

static int compare_lines(const void *a, const void *b)
{
    const struct waited_id *left = a;
    const struct waited_id *right = b;
    return left->line < right->line ? -1 : left->line > right->line;
}

static void on_rejected(uint64_t line, const char *code, const char *message, void *arg)
{
    struct import *import = arg;
    char place[24];
    const struct waited_id key = {.line = line};
    struct waited_id *waited =
        import->ids != NULL ? bsearch(&key, import->ids, import->ids_len, sizeof key, compare_lines) : NULL;
    if (waited != NULL) {
        waited->id[0] = '\0'; // there is nothing to wait for
    }
    (void)snprintf(place, sizeof place, "%" PRIu64, line);
    tell_wrong(import, place, code, message != NULL ? message : code != NULL ? code : "rejected");
}

// ---- reading
// ------------------------------------------------------------------------------------------------------------

static bool is_readable(const struct input *input)
{
    struct pollfd fd = {.fd = input->fd, .events = POLLIN};
    return input->always || poll(&fd, 1, 0) > 0;
}

// Room behind what is there. False: the line is longer than any may be, and has been dropped.
static bool make_room(struct input *input)
{
    if (input->start > 0) {
        memmove(input->data, input->data + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
    }
    if (input->end + READ_BYTES <= input->cap) {
        return true;
    }
    if (input->end > JOB_LINE_TEXT_MAX) {
        input->end = 0;
        input->skipping = true;
        return true;
    }
    char *data = realloc(input->data, input->cap + READ_BYTES);
    if (data == NULL) {
        return false;
    }
    input->data = data;
    input->cap += READ_BYTES;
    return true;
}

// Once. False: nothing came.
static bool read_more(struct import *import)
{
    struct input *input = &import->input;
    if (!make_room(input)) {
        import->err = reeve_fail(&import->why, REEVE_NOMEM, "out of memory");
        return false;
    }
    ssize_t len = read(input->fd, input->data + input->end, READ_BYTES);
    if (len < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            import->err = reeve_fail_errno(&import->why, "%s", input->path);
        }
        return false;
    }
    input->eof = len == 0;
    input->end += (size_t)len;
    input->bytes += (size_t)len;
    return true;
}

// The next whole line, without its end; the last one may have none.
static bool next_line(struct input *input, const char **ret_text, size_t *ret_len)
{
    const char *from = input->data + input->start;
    size_t left = input->end - input->start;
    const char *end = left > 0 ? memchr(from, '\n', left) : NULL;
    if (end == NULL && !(input->eof && left > 0)) {
        return false;
    }
    *ret_text = from;
    *ret_len = end != NULL ? (size_t)(end - from) : left;
    input->start += *ret_len + (end != NULL ? 1 : 0);
    input->line++;
    return true;
}

static void note_id(struct import *import, struct reeve_span id)
{
    if (import->wait == NULL || import->ids_lost) {
        return;
    }
    if (import->ids_len == JOB_WAIT_MAX) {
        import->ids_lost = true;
        return;
    }
    struct waited_id *waited = &import->ids[import->ids_len++];
    waited->line = import->input.line;
    (void)snprintf(waited->id, sizeof waited->id, "%.*s", (int)id.len, id.data);
}

static bool reserve_packed(struct import *import, size_t len)
{
    size_t want = JOB_LINE_BOUND(&import->how, len);
    if (want <= import->packed_cap) {
        return true;
    }
    free(import->packed);
    import->packed = malloc(want);
    import->packed_cap = import->packed != NULL ? want : 0;
    if (import->packed == NULL) {
        import->err = reeve_fail(&import->why, REEVE_NOMEM, "out of memory");
    }
    return import->packed != NULL;
}

static void take_line(struct import *import, const char *text, size_t len)
{
    struct reeve_why why = {0};
    char place[24];
    if (import->input.skipping || len > JOB_LINE_TEXT_MAX) {
        import->input.skipping = false;
        import->wrong++;
        (void)snprintf(place, sizeof place, "%" PRIu64, import->input.line);
        (void)reeve_fail(&why, REEVE_LIMIT, "longer than %u bytes", JOB_LINE_TEXT_MAX);
        tell_wrong(import, place, reeve_err_text(REEVE_LIMIT), why.text);
        return;
    }
    if (job_line_is_blank(text, len) || !reserve_packed(import, len)) {
        return;
    }
    struct reeve_job_spec job;
    enum reeve_err err = job_line_pack(&import->how, text, len, import->input.line, import->packed, &job, &why);
    if (err == REEVE_OK) {
        import->packed_len = job.raw.len;
        import->jobs++;
        note_id(import, job.id);
        if (job.key.len > 0 || job.after.len > 0) { // `after` names jobs of lines before
            job_feed_keep_order(import->feed);
        }
    } else {
        import->packed_len = 0;
        import->wrong++;
        tell_wrong(import, why.place, reeve_err_text(err), why.text);
    }
}

// ---- from input to queue
// ------------------------------------------------------------------------------------------------

static void pump(struct import *import);

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status; // an error shows when it is read
    (void)events;
    pump(poll->data);
}

static void listen_on_input(struct import *import, bool on)
{
    if (import->polls && import->reading != on) {
        import->reading = on;
        (void)(on ? uv_poll_start(&import->poll, UV_READABLE | UV_DISCONNECT, on_readable)
                  : uv_poll_stop(&import->poll)); /* fails on a closed handle only */
    }
}

static bool is_stopped(const struct import *import)
{
    return import->err != REEVE_OK || job_feed_failed(import->feed, NULL) != REEVE_OK;
}

// Until the queue takes no more now, or nothing is there to read: then what there is goes out, however little.
static void pump(struct import *import)
{
    const char *text;
    size_t len;
    while (!is_stopped(import)) {
        if (import->packed_len > 0) {
            if (!job_feed_add(import->feed, import->packed, import->packed_len, import->input.line)) {
                listen_on_input(import, false); // on_room goes on
                return;
            }
            import->packed_len = 0;
        }
        if (next_line(&import->input, &text, &len)) {
            take_line(import, text, len);
        } else if (import->input.eof) {
            listen_on_input(import, false);
            job_feed_flush(import->feed);
            return;
        } else if (!is_readable(&import->input) || !read_more(import)) {
            job_feed_flush(import->feed);
            listen_on_input(import, true);
            return;
        }
    }
    listen_on_input(import, false);
}

static void on_room(void *arg)
{
    struct import *import = arg;
    import->room_mono = reeve_clock_mono_ms();
    import->stalled_told = false;
    pump(import);
}

static double share_of(const struct import *import)
{
    const struct input *input = &import->input;
    uint64_t done = input->bytes - (input->end - input->start);
    return input->size > 0 ? (double)done / (double)input->size : -1;
}

static uint64_t answered(const struct import *import)
{
    const struct job_feed_counts *counts = job_feed_counts(import->feed);
    return counts->accepted + counts->duplicates + counts->rejected;
}

// A full queue is waited for as long as it takes, unless somebody said how long.
static void on_tick(struct reeve_timer *timer, void *arg)
{
    struct import *import = arg;
    const char *waits_for = job_feed_waits_for(import->feed);
    int64_t silent_ms = reeve_clock_mono_ms() - import->room_mono;
    progress_show(&import->progress, answered(import), share_of(import), waits_for);
    if (waits_for != NULL && silent_ms >= STALLED_MS && !import->stalled_told && isatty(STDERR_FILENO) != 1) {
        import->stalled_told = true;
        output_note("%s; waiting", waits_for);
    }
    if (waits_for != NULL && opt_given(import->asking.inv, OPT_TIMEOUT) &&
        silent_ms >= import->asking.site.timeout_ms) {
        import->err = reeve_fail(&import->why, REEVE_TIMEOUT, "nothing was taken within the timeout: %s", waits_for);
    }
    reeve_timer_start(timer, TICK_MS, 0);
}

static bool is_over(void *arg)
{
    const struct import *import = arg;
    return is_stopped(import) || (import->input.eof && import->input.start == import->input.end &&
                                  import->packed_len == 0 && job_feed_idle(import->feed));
}

// A connection that is lost comes back by itself; what was on its way is sent again. Too long is when no answer came
// for the timeout.
static enum reeve_err run(struct import *import, struct reeve_why *why)
{
    struct session *session = &import->asking.session;
    enum reeve_err err;
    import->room_mono = reeve_clock_mono_ms();
    progress_begin(&import->progress, "jobs");
    on_tick(&import->tick, import);
    pump(import);
    while ((err = session_run(session, is_over, import, 0, why)) == REEVE_OFFLINE) {
        if (!import->stalled_told) {
            import->stalled_told = true;
            progress_end(&import->progress);
            output_note("%s: %s; going on when it is back", session->site->broker.url, session->why.text);
        }
        session->lost = false;
    }
    reeve_timer_stop(&import->tick);
    listen_on_input(import, false);
    progress_end(&import->progress);
    if (err == REEVE_OK && import->err != REEVE_OK) {
        *why = import->why;
        return import->err;
    }
    return err == REEVE_OK ? job_feed_failed(import->feed, why) : err;
}

// ---- the end
// --------------------------------------------------------------------------------------------------------------

static void show_ended(const char *id, const struct reeve_value *record, void *arg)
{
    (void)arg;
    job_import_tell_ended(id, record, false);
}

static enum reeve_err wait_for_all(struct import *import, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    if (import->ids_lost) {
        return reeve_fail(why, REEVE_LIMIT,
                          "--wait is for at most %d jobs; all were added, `reeve queue show %s` tells more",
                          JOB_WAIT_MAX, import->asking.inv->args[0]);
    }
    for (size_t i = 0; err == REEVE_OK && i < import->ids_len; i++) {
        err = import->ids[i].id[0] != '\0' ? job_wait_add(import->wait, import->ids[i].id) : REEVE_OK;
    }
    return err == REEVE_OK ? job_wait_run(import->asking.inv, import->wait, why)
                           : reeve_fail(why, err, "out of memory");
}

static void put_waited(const struct import *import, struct reeve_value *map)
{
    static const enum reeve_job_state states[] = {REEVE_JOB_COMPLETED, REEVE_JOB_FAILED, REEVE_JOB_CANCELLED};
    for (size_t i = 0; import->wait != NULL && i < REEVE_ARRAY_LEN(states); i++) {
        reeve_put_int(map, reeve_job_state_text(states[i]), (int64_t)job_wait_count(import->wait, states[i]));
    }
}

static int tell_json(const struct import *import, int exit_code, enum reeve_err err, const struct reeve_why *why)
{
    const struct job_feed_counts *counts = job_feed_counts(import->feed);
    REEVE_VALUE_AUTO map = reeve_value_map();
    reeve_put_str(map, "op", "enqueue");
    reeve_put_str(map, "queue", import->asking.inv->args[0]);
    reeve_put_bool(map, "ok", exit_code == EXIT_DONE);
    reeve_put_bool(map, "complete", is_over((void *)(uintptr_t)import) && !is_stopped(import));
    reeve_put_str(map, "batch_id", import->how.batch_id);
    reeve_put_int(map, "lines", (int64_t)import->input.line);
    reeve_put_int(map, "accepted", (int64_t)counts->accepted);
    reeve_put_int(map, "duplicates", (int64_t)counts->duplicates);
    reeve_put_int(map, "rejected", (int64_t)(counts->rejected + import->wrong));
    reeve_put_int(map, "commands", (int64_t)counts->commands);
    reeve_put_int(map, "sent_again", (int64_t)counts->sent_again);
    reeve_put_str_opt(map, "durability", job_feed_durability(import->feed));
    reeve_put_int(map, "ms", reeve_clock_mono_ms() - import->progress.started_mono);
    (void)reeve_value_put(map, "mistakes", reeve_value_clone(import->mistakes)); /* remembered: reeve_value_built() */
    put_waited(import, map);
    if (err != REEVE_OK) {
        struct reeve_value *error = reeve_value_map();
        reeve_put_str(error, "code", reeve_err_text(err));
        reeve_put_str(error, "message", why->text);
        reeve_put_int(error, "exit", exit_code);
        (void)reeve_value_put(map, "error", error); /* remembered: reeve_value_built() */
    }
    int written = output_json(map, false);
    return written != EXIT_DONE ? written : exit_code;
}

static void put_rejected(const struct import *import, struct reeve_buf *text)
{
    uint64_t rejected = job_feed_counts(import->feed)->rejected + import->wrong;
    if (rejected > 0) {
        reeve_buf_printf(text, ", %" PRIu64 " rejected", rejected);
    }
    if (rejected > reeve_value_len(import->mistakes) && reeve_value_len(import->mistakes) == TOLD_MAX) {
        reeve_buf_printf(text, " (the first %d are named)", TOLD_MAX);
    }
}

static void tell_text(const struct import *import)
{
    const struct job_feed_counts *counts = job_feed_counts(import->feed);
    const struct invocation *inv = import->asking.inv;
    int64_t ms = reeve_clock_mono_ms() - import->progress.started_mono;
    bool memory = strcmp(job_feed_durability(import->feed), "memory") == 0;
    char took[REEVE_UNITS_TEXT_LEN];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    reeve_buf_printf(&text, "%" PRIu64 " job%s %s, %s", counts->accepted, counts->accepted == 1 ? "" : "s",
                     opt_given(inv, OPT_DRY_RUN) ? "would be added" : "added", memory ? "in memory only" : "on disk");
    if (counts->duplicates > 0) {
        reeve_buf_printf(&text, ", %" PRIu64 " there already", counts->duplicates);
    }
    put_rejected(import, &text);
    reeve_buf_printf(&text, "; %s", reeve_duration_human(ms, took));
    if (ms >= 100) {
        reeve_buf_printf(&text, ", %.0f/s", (double)answered(import) * 1000 / (double)ms);
    }
    output_print("queue %s: %s\n", inv->args[0], reeve_buf_str(&text));
    if (import->wait != NULL && job_wait_len(import->wait) > 0) {
        output_print("queue %s: %zu of %zu completed, %zu failed, %zu cancelled\n", inv->args[0],
                     job_wait_count(import->wait, REEVE_JOB_COMPLETED), job_wait_len(import->wait),
                     job_wait_count(import->wait, REEVE_JOB_FAILED), job_wait_count(import->wait, REEVE_JOB_CANCELLED));
    }
}

static void tell_failed(const struct import *import, enum reeve_err err, const struct reeve_why *why)
{
    const struct invocation *inv = import->asking.inv;
    if (err == REEVE_NOENT) {
        output_note("job add: %s; `reeve queue create %s` makes it", why->text, inv->args[0]);
    } else {
        output_note("job add: %s", why->text);
    }
    if (!is_stopped(import) && is_over((void *)(uintptr_t)import)) {
        return; // it was complete, and the waiting was not
    }
    output_note("stopped at %s:%" PRIu64 "; the same again with --batch-id %s goes on and adds nothing twice",
                import->input.path, import->input.line, import->how.batch_id);
}

static int tell(const struct import *import, enum reeve_err err, const struct reeve_why *why)
{
    bool rejected = job_feed_counts(import->feed)->rejected + import->wrong > 0;
    bool ended_well = import->wait == NULL || job_wait_exit(import->wait) == EXIT_DONE;
    int exit_code = err != REEVE_OK ? output_exit_of(err) : rejected || !ended_well ? EXIT_REFUSED : EXIT_DONE;
    if (opt_given(import->asking.inv, OPT_JSON)) {
        exit_code = tell_json(import, exit_code, err, why);
    } else if (!opt_given(import->asking.inv, OPT_QUIET)) {
        tell_text(import);
        exit_code = fflush(stdout) == 0 ? exit_code : EXIT_REFUSED;
    }
    if (err != REEVE_OK) {
        tell_failed(import, err, why);
    }
    return exit_code;
}

// ---- the beginning
// ----------------------------------------------------------------------------------------------------------

static enum reeve_err check_options(const struct invocation *inv, struct reeve_why *why)
{
    static const enum option_id others[] = {OPT_ID, OPT_PRINT_MQTT, OPT_NO_WAIT};
    size_t files = 0;
    for (size_t at = 0; opt_next(inv, OPT_FILE, &at) != NULL;) {
        files++;
    }
    if (files > 1) {
        return reeve_fail(why, REEVE_INVALID, "--file: one at a time; `cat` makes one of several");
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(others); i++) {
        if (opt_given(inv, others[i])) {
            return reeve_fail(why, REEVE_INVALID, "--%s and --file: which of them?", option_table[others[i]].name);
        }
    }
    const char *payload = opt_value(inv, OPT_PAYLOAD);
    return payload != NULL && strcmp(payload, "-") == 0 && strcmp(opt_value(inv, OPT_FILE), "-") == 0
               ? reeve_fail(why, REEVE_INVALID, "--payload - and --file -: which of them is standard input?")
               : REEVE_OK;
}

static enum reeve_err open_input(struct import *import, struct reeve_why *why)
{
    struct input *input = &import->input;
    const char *path = opt_value(import->asking.inv, OPT_FILE);
    struct stat status;
    bool is_stdin = strcmp(path, "-") == 0;
    input->path = is_stdin ? "standard input" : path;
    input->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0 || fstat(input->fd, &status) != 0) {
        return reeve_fail_errno(why, "%s", path);
    }
    if (S_ISDIR(status.st_mode)) {
        return reeve_fail(why, REEVE_INVALID, "%s is a directory, expected a file with a job a line", path);
    }
    input->always = S_ISREG(status.st_mode);
    input->size = input->always ? status.st_size : 0;
    return REEVE_OK;
}

// Not for files, and for devices such as /dev/null.
static void init_poll(struct import *import)
{
    struct input *input = &import->input;
    int flags = fcntl(input->fd, F_GETFL);
    if (input->always) {
        return;
    }
    import->polls = uv_poll_init(&import->asking.session.loop, &import->poll, input->fd) == 0;
    import->poll.data = import;
    input->always = !import->polls;
    input->flags = import->polls ? flags : -1; // libuv has changed them
}

static enum reeve_err begin_asking(struct import *import, struct reeve_why *why)
{
    const struct invocation *inv = import->asking.inv;
    struct session *session = &import->asking.session;
    bool waits = opt_given(inv, OPT_WAIT) && !opt_given(inv, OPT_DRY_RUN);
    enum reeve_err err = asking_begin(&import->asking, inv, why);
    if (err == REEVE_OK) {
        reeve_timer_init(&session->loop, &import->tick, on_tick, import);
        init_poll(import);
        const struct job_feed_options options = {.session = session,
                                                 .queue = inv->args[0],
                                                 .timeout_ms = import->asking.site.timeout_ms,
                                                 .dry_run = opt_given(inv, OPT_DRY_RUN),
                                                 .on_room = on_room,
                                                 .on_rejected = on_rejected,
                                                 .arg = import};
        err = job_feed_new(&options, &import->feed, why);
    }
    if (err == REEVE_OK && waits) {
        import->ids = calloc(JOB_WAIT_MAX, sizeof *import->ids);
        err = import->ids != NULL ? job_wait_new(session, inv->args[0], show_ended, import, &import->wait, why)
                                  : reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    return err == REEVE_OK ? asking_open_to_give(&import->asking, why) : err;
}

static enum reeve_err begin(struct import *import, struct reeve_why *why)
{
    const struct invocation *inv = import->asking.inv;
    char ulid[REEVE_ULID_SIZE];
    const char *batch_id = opt_value(inv, OPT_BATCH_ID);
    enum reeve_err err = check_options(inv, why);
    if (err == REEVE_OK) {
        err = job_args_put_spec(inv, inv->args_len > 1 ? inv->args[1] : NULL, import->given, why);
    }
    if (err == REEVE_OK) {
        err = job_line_init(&import->how, import->given, batch_id != NULL ? batch_id : reeve_ulid_new(ulid), why);
    }
    if (err == REEVE_OK) {
        err = open_input(import, why);
    }
    return err == REEVE_OK ? begin_asking(import, why) : err;
}

int job_import(const struct invocation *inv)
{
    IMPORT_AUTO import = {.asking = {.inv = inv},
                          .input = {.fd = -1, .flags = -1},
                          .given = reeve_value_map(),
                          .mistakes = reeve_value_list()};
    struct reeve_why why = {0};
    enum reeve_err err = begin(&import, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    err = run(&import, &why);
    if (err == REEVE_OK && import.wait != NULL) {
        err = wait_for_all(&import, &why);
    }
    return tell(&import, err, &why);
}
