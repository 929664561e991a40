// Log lines of workers, on request: the last ones in a reply, new ones on the worker's `log` topic while somebody asks for
// them. Reads the files that shims write; a line is `<time> <letter> <text>`: o stdout, e stderr, s the shim's own word;
// upper case when the line goes on in the next entry.
// Must not: keep following when nobody renews; publish more than a bounded piece at a time.
#include "daemon.h"

#include <fcntl.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_PRESET 50
#define TAIL_LINES_MAX 2000
#define TAIL_BYTES_MAX (256u << 10)
#define REPLY_BYTES_MAX (400u << 10) // of all workers together; as records lines are up to twice as long, a message has 1 MiB
#define FOLLOW_PRESET_MS 60000
#define FOLLOW_MAX_MS 600000
#define PIECE_BYTES_MAX (64u << 10)
#define READ_BYTES      (8u << 10)
#define LINE_BYTES_MAX 8192

struct log_follow {
    struct worker *worker;
    int fd;
    ino_t inode;
    char partial[LINE_BYTES_MAX];
    size_t partial_len;
    uint64_t seq, dropped;
    struct reeve_timer lease;
};

static void log_path(const struct worker *worker, const char *leaf, char *buf, size_t buf_len)
{
    char dir[4096];
    (void)snprintf(buf, buf_len, "%s/%s", spawn_log_dir(worker, dir, sizeof dir), leaf);
}

// ---- lines ------------------------------------------------------------------------------------------------------

struct line {
    const char *at;
    size_t at_len;
    const char *stream; // "out" "err" "shim" ""
    const char *text;
    size_t text_len;
};

static const char *stream_of(char letter)
{
    switch (letter) {
    case 'o':
    case 'O':
        return "out";
    case 'e':
    case 'E':
        return "err";
    case 's':
        return "shim";
    default:
        return NULL;
    }
}

static struct line split_line(const char *text, size_t len)
{
    struct line line = {.stream = "", .text = text, .text_len = len};
    const char *space = memchr(text, ' ', len);
    size_t at = space != NULL ? (size_t)(space - text) : len;
    const char *stream = at + 2 < len && text[at + 2] == ' ' ? stream_of(text[at + 1]) : NULL;
    if (stream != NULL) {
        line.at = text;
        line.at_len = at;
        line.stream = stream;
        line.text = text + at + 3;
        line.text_len = len - at - 3;
    }
    return line;
}

// Programs write what they like; a string on the wire is UTF-8 without NUL.
static struct reeve_value *text_value(const char *text, size_t len)
{
    char clean[LINE_BYTES_MAX];
    len = len < sizeof clean ? len : sizeof clean - 1;
    if (reeve_utf8_valid(text, len)) {
        return reeve_value_strn(text, len);
    }
    for (size_t i = 0; i < len; i++) {
        bool plain = (text[i] >= 0x20 && text[i] < 0x7f) || text[i] == '\t';
        clean[i] = plain ? text[i] : '?';
    }
    return reeve_value_strn(clean, len);
}

static void add_line(struct reeve_value *list, const char *text, size_t len)
{
    struct line line = split_line(text, len);
    struct reeve_value *map = reeve_value_map();
    if (line.at != NULL) {
        (void)reeve_value_put(map, "at", text_value(line.at, line.at_len)); /* remembered: reeve_value_built() */
        reeve_put_str(map, "stream", line.stream);
    }
    (void)reeve_value_put(map, "text", text_value(line.text, line.text_len)); /* remembered: reeve_value_built() */
    (void)reeve_value_add(list, map);                                         /* remembered: reeve_value_built() */
}

// Start of the last `lines` lines in a text.
static const char *tail_start(const char *text, size_t len, int64_t lines)
{
    const char *at = text + len;
    if (at > text && at[-1] == '\n') {
        at--;
    }
    while (at > text) {
        if (at[-1] == '\n' && --lines <= 0) {
            break;
        }
        at--;
    }
    return at;
}

// The end of the rotated file before, then of the current one.
static void read_tail(const struct worker *worker, size_t bytes_max, struct reeve_buf *text)
{
    char path[4200];
    REEVE_BUF_AUTO current = REEVE_BUF_INIT(bytes_max + 1);
    log_path(worker, "current", path, sizeof path);
    (void)reeve_file_read_tail(path, bytes_max, &current, NULL); /* no log yet: nothing to show */
    if (current.len < bytes_max) {
        log_path(worker, ".1", path, sizeof path);
        (void)reeve_file_read_tail(path, bytes_max - current.len, text, NULL); /* never rotated: nothing to add */
    }
    reeve_buf_append(text, reeve_buf_str(&current), current.len);
}

struct reeve_value *logs_tail(const struct worker *worker, int64_t lines, size_t bytes_max)
{
    struct reeve_value *list = reeve_value_list();
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(bytes_max + 1);
    read_tail(worker, bytes_max, &text);
    const char *start = reeve_buf_str(&text);
    const char *end = start + text.len;
    const char *at = lines > 0 ? tail_start(start, text.len, lines) : end;
    if (at == start && text.len >= bytes_max) { // cut at its front
        const char *newline = memchr(at, '\n', text.len);
        at = newline != NULL ? newline + 1 : end;
    }
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        add_line(list, at, (size_t)(stop - at));
        at = stop + 1;
    }
    return list;
}

// The worker's own last words: what the shim noted about it is said elsewhere.
void logs_last_line(const struct worker *worker, char *buf, size_t buf_len)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    read_tail(worker, 2048, &text);
    buf[0] = '\0';
    size_t end = text.len;
    while (end > 0) {
        const char *at = tail_start(text.data, end, 1);
        struct line line = split_line(at, strcspn(at, "\n"));
        if (strcmp(line.stream, "shim") != 0) {
            (void)snprintf(buf, buf_len, "%.*s", (int)line.text_len, line.text);
            return;
        }
        end = (size_t)(at - text.data);
    }
}

// ---- following ----------------------------------------------------------------------------------------------------

static void follow_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    free(arg);
}

void logs_follow_stop(struct worker *worker)
{
    struct log_follow *follow = worker->follow;
    if (follow == NULL) {
        return;
    }
    worker->follow = NULL;
    follow->worker = NULL;
    if (follow->fd >= 0) {
        close(follow->fd);
    }
    if (worker->run != NULL && worker->probe == NULL) {
        run_watch_log(worker->run, false);
    }
    reeve_timer_close(&follow->lease, follow_closed);
}

static void lease_over(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct log_follow *follow = arg;
    if (follow->worker != NULL) {
        logs_follow_stop(follow->worker);
    }
}

static void publish_lines(struct log_follow *follow, struct reeve_value *lines)
{
    struct worker *worker = follow->worker;
    struct daemon *daemon = worker->daemon;
    char topic[REEVE_TOPIC_SIZE];
    REEVE_VALUE_AUTO piece = reeve_value_map();
    reeve_put_int(piece, "seq", (int64_t)++follow->seq);
    reeve_put_int(piece, "run", worker->last_run);
    reeve_put_int(piece, "dropped", (int64_t)follow->dropped);
    (void)reeve_value_put(piece, "lines", lines); /* remembered: reeve_value_built() */
    (void)reeve_topic_make(topic, daemon->config.node.root, "worker/%s/%s/log", daemon->config.node.name, worker->name);
    // QoS 1 for its acknowledgements: the bus has little bulk on its way at once, and only they say when it has arrived.
    const struct reeve_bus_message message = {.topic = topic, .qos = 1, .class = REEVE_BUS_BULK};
    if (reeve_bus_publish_value(daemon->bus, &message, piece, NULL) != REEVE_OK) {
        follow->dropped += reeve_value_len(lines);
    }
}

static void take_bytes(struct log_follow *follow, const char *data, size_t len, struct reeve_value *lines)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            add_line(lines, follow->partial, follow->partial_len);
            follow->partial_len = 0;
        } else if (follow->partial_len < sizeof follow->partial) {
            follow->partial[follow->partial_len++] = data[i];
        }
    }
}

static bool reopen(struct log_follow *follow, bool from_start)
{
    char path[4200];
    struct stat status;
    log_path(follow->worker, "current", path, sizeof path);
    if (follow->fd >= 0) {
        close(follow->fd);
    }
    follow->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (follow->fd < 0) {
        return false;
    }
    follow->inode = fstat(follow->fd, &status) == 0 ? status.st_ino : 0;
    return lseek(follow->fd, 0, from_start ? SEEK_SET : SEEK_END) >= 0;
}

static bool was_rotated(const struct log_follow *follow)
{
    char path[4200];
    struct stat status;
    log_path(follow->worker, "current", path, sizeof path);
    return follow->fd < 0 || (stat(path, &status) == 0 && status.st_ino != follow->inode);
}

// A message per read: what matters more has to get in between on a slow link.
static ssize_t publish_read(struct log_follow *follow)
{
    char data[READ_BYTES];
    ssize_t len = read(follow->fd, data, sizeof data);
    struct reeve_value *lines = len > 0 ? reeve_value_list() : NULL;
    if (len > 0) {
        take_bytes(follow, data, (size_t)len, lines);
    }
    if (reeve_value_len(lines) > 0) {
        publish_lines(follow, lines);
    } else {
        reeve_value_free(lines);
    }
    return len;
}

static void read_new(struct log_follow *follow)
{
    size_t taken = 0;
    for (ssize_t len; follow->fd >= 0 && taken < PIECE_BYTES_MAX && (len = publish_read(follow)) > 0;) {
        taken += (size_t)len;
    }
    // More than a piece: the reader is slower than the writer. Go on at the end and say how much was left out.
    if (taken >= PIECE_BYTES_MAX) {
        off_t here = lseek(follow->fd, 0, SEEK_CUR);
        off_t end = lseek(follow->fd, 0, SEEK_END);
        follow->dropped += (uint64_t)(end - here) / 80; // lines of a usual length
        follow->partial_len = 0;
    }
}

void logs_grew(struct worker *worker)
{
    struct log_follow *follow = worker->follow;
    if (follow == NULL) {
        return;
    }
    read_new(follow);
    if (was_rotated(follow) && reopen(follow, true)) {
        read_new(follow);
    }
}

static enum reeve_err follow(struct worker *worker, int64_t lease_ms, struct reeve_why *why)
{
    if (worker->follow == NULL) {
        struct log_follow *follow = calloc(1, sizeof *follow);
        if (follow == NULL) {
            return reeve_fail(why, REEVE_NOMEM, "out of memory");
        }
        follow->worker = worker;
        follow->fd = -1;
        worker->follow = follow;
        reeve_timer_init(worker->daemon->loop, &follow->lease, lease_over, follow);
        (void)reopen(follow, false);
    }
    if (worker->run != NULL) {
        run_watch_log(worker->run, true);
    }
    reeve_timer_start(&worker->follow->lease, lease_ms, 0);
    return REEVE_OK;
}

// ---- the op ---------------------------------------------------------------------------------------------------------

static enum reeve_err read_tail_arg(const struct pending *pending, int64_t *ret_lines, struct reeve_why *why)
{
    const struct reeve_value *tail = reeve_value_get(pending->command.args, "tail");
    struct reeve_why reason;
    *ret_lines = reeve_value_number(tail, TAIL_PRESET);
    if (reeve_value_kind(tail) == REEVE_STR && reeve_parse_i64(reeve_value_text(tail), ret_lines, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "args.tail: %s", reason.text);
    }
    if (*ret_lines < 0 || *ret_lines > TAIL_LINES_MAX) {
        return reeve_fail(why, REEVE_INVALID, "args.tail: %lld given, expected 0 to %d", (long long)*ret_lines, TAIL_LINES_MAX);
    }
    return REEVE_OK;
}

static enum reeve_err read_follow_arg(const struct pending *pending, int64_t *ret_ms, struct reeve_why *why)
{
    const struct reeve_value *value = reeve_value_get(pending->command.args, "follow");
    struct reeve_why reason;
    *ret_ms = 0;
    if (reeve_value_kind(value) == REEVE_BOOL) {
        *ret_ms = reeve_value_truth(value, false) ? FOLLOW_PRESET_MS : 0;
        return REEVE_OK;
    }
    if (value == NULL) {
        return REEVE_OK;
    }
    if (reeve_value_kind(value) != REEVE_STR || reeve_duration_parse(reeve_value_text(value), ret_ms, &reason) != REEVE_OK ||
        *ret_ms > FOLLOW_MAX_MS) {
        return reeve_fail(why, REEVE_INVALID, "args.follow: expected true or a duration up to 10m");
    }
    return REEVE_OK;
}

enum reeve_err op_logs_prepare(struct pending *pending, struct reeve_why *why)
{
    int64_t number;
    enum reeve_err err = read_tail_arg(pending, &number, why);
    if (err == REEVE_OK) {
        err = read_follow_arg(pending, &number, why);
    }
    if (err == REEVE_OK && pending->targets_len > 16) {
        err = reeve_fail(why, REEVE_LIMIT, "%zu workers fit; `logs` answers for 16 at most", pending->targets_len);
    }
    return err;
}

void op_logs_act(struct pending *pending)
{
    int64_t lines = TAIL_PRESET;
    int64_t lease_ms = 0;
    (void)read_tail_arg(pending, &lines, NULL);      /* checked in prepare */
    (void)read_follow_arg(pending, &lease_ms, NULL); /* checked in prepare */
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *workers = reeve_value_map();
    for (size_t i = 0; i < pending->targets_len; i++) {
        struct worker *worker = target_worker(pending, &pending->targets[i]);
        struct reeve_why why;
        if (lease_ms > 0 && follow(worker, lease_ms, &why) != REEVE_OK) {
            reeve_log(REEVE_LOG_WARNING, "logs", "worker=%s follow=\"%s\" ignoring", worker->name, why.text);
        }
        // Several workers share one message: the more there are, the less each may say.
        size_t share = REPLY_BYTES_MAX / pending->targets_len;
        share = share < TAIL_BYTES_MAX ? share : TAIL_BYTES_MAX;
        (void)reeve_value_put(workers, worker->name,
                              logs_tail(worker, lines, share)); /* remembered: reeve_value_built() */
    }
    reeve_put_int(result, "follow_ms", lease_ms);
    (void)reeve_value_put(result, "workers", workers); /* remembered: reeve_value_built() */
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, NULL, result);
}
