// The worker's output in rotated files: `current`, `.1` (the one before), `.2` ... An entry is a line:
//   2026-11-22T12:46:18.123Z o text        o stdout, e stderr, s the shim's own word
//   2026-11-22T12:46:18.123Z O text        upper case: the line goes on in the next entry of that letter
// Long lines are cut at SHIM_LINE_MAX, and one without newline is written after PARTIAL_MS.
// Must not: block the worker. When the disk refuses, output is read, counted and dropped, and tried again every second.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"

#define RETRY_MS    1000
#define PARTIAL_MS  1000
#define READ_SIZE   (16 * 1024)
#define STAMP_LEN   24 // 2026-11-22T12:46:18.123Z
#define PREFIX_LEN  (STAMP_LEN + 3)
#define FILES_MAX   1000          // more rotated files than this are not kept, each rotation renames all of them
#define DRAIN_BOUND (1024 * 1024) // of a pipe at the end: a stranger that was handed the write end may go on for ever

static_assert(SHIM_LOG_OUT >= SHIM_LINE_MAX + PREFIX_LEN + 1, "an entry fits");

// Days since 1970 into a date; Howard Hinnant's chrono-compatible algorithm, for years of this era.
static void put_stamp(char *at, int64_t wall_ms)
{
    const int64_t seconds = wall_ms / 1000;
    const int64_t days = seconds / 86400 + 719468;
    const int64_t era = days / 146097;
    const int64_t doe = days - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;
    const int64_t month = mp < 10 ? mp + 3 : mp - 9;
    const int64_t year = yoe + era * 400 + (month <= 2);
    const int64_t second = seconds % 86400;
    const unsigned fields[] = {(unsigned)(year % 10000),
                               (unsigned)month,
                               (unsigned)(doy - (153 * mp + 2) / 5 + 1),
                               (unsigned)(second / 3600),
                               (unsigned)(second / 60 % 60),
                               (unsigned)(second % 60),
                               (unsigned)(wall_ms % 1000)};
    static const char layout[STAMP_LEN + 1] = "0000-00-00T00:00:00.000Z";
    static const unsigned char ends[] = {3, 6, 9, 12, 15, 18, 22}; // last digit of each field
    memcpy(at, layout, STAMP_LEN);
    for (size_t i = 0; i < sizeof(ends); i++) {
        char *digit = at + ends[i];
        for (unsigned rest = fields[i]; rest != 0; rest /= 10) {
            *digit-- = (char)('0' + rest % 10);
        }
    }
}

static void fail_log(struct shim *shim, int error)
{
    struct shim_log *log = &shim->log;
    log->failing = true;
    log->error = error;
    log->dropped += log->out_lines;
    log->out_lines = 0;
    log->out_len = 0;
    if (!log->failure_told) {
        log->failure_told = true;
        link_tell(shim, SHIM_LOG_FAILED);
    }
    shim_set_timer(shim, TIMER_LOG_RETRY, RETRY_MS);
}

static bool open_current(struct shim_log *log)
{
    log->fd = openat(log->dir, "current", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    struct stat st;
    if (log->fd < 0 || fstat(log->fd, &st) != 0) {
        return false;
    }
    log->size = st.st_size;
    return true;
}

static bool open_dir(struct shim *shim)
{
    shim->log.dir = open(shim->plan.log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return shim->log.dir >= 0 && open_current(&shim->log);
}

static void close_files(struct shim_log *log)
{
    if (log->fd >= 0) {
        (void)close(log->fd); // each write() was checked
    }
    if (log->dir >= 0) {
        (void)close(log->dir);
    }
    log->fd = -1;
    log->dir = -1;
}

void log_open(struct shim *shim)
{
    if (!open_dir(shim)) {
        fail_log(shim, errno);
    }
}

// .N-1 -> .N ... current -> .1; a gap in the row is fine.
static bool rotate(struct shim *shim)
{
    struct shim_log *log = &shim->log;
    const int64_t keep = shim->plan.log_files_max < FILES_MAX ? shim->plan.log_files_max : FILES_MAX;
    char from[24];
    char to[24];
    for (int64_t i = keep; i > 1; i--) {
        (void)snprintf(from, sizeof(from), ".%lld", (long long)(i - 1));
        (void)snprintf(to, sizeof(to), ".%lld", (long long)i);
        (void)renameat(log->dir, from, log->dir, to);
    }
    const int moved = keep > 0 ? renameat(log->dir, "current", log->dir, ".1") : unlinkat(log->dir, "current", 0);
    if (moved != 0 && errno != ENOENT) {
        return false;
    }
    (void)close(log->fd); // each write() was checked
    return open_current(log);
}

static bool write_all(struct shim_log *log, const char *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        const ssize_t got = write(log->fd, data + done, len - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            const int error = got == 0 ? ENOSPC : errno;
            log->torn = ftruncate(log->fd, log->size) != 0; // without a torn line, if the disk lets us
            errno = error;
            return false;
        }
        done += (size_t)got;
    }
    log->size += (int64_t)len;
    return true;
}

void log_flush(struct shim *shim)
{
    struct shim_log *log = &shim->log;
    if (log->out_len == 0) {
        return;
    }
    if (!write_all(log, log->out, log->out_len)) {
        fail_log(shim, errno);
        return;
    }
    log->out_len = 0;
    log->out_lines = 0;
    link_log_grew(shim);
}

// Room in the buffer and below the bound of the file. False = logs fail.
static bool make_room(struct shim *shim, size_t len)
{
    struct shim_log *log = &shim->log;
    const bool file_full = log->size + (int64_t)(log->out_len + len) > shim->plan.log_bytes_max;
    if (file_full || log->out_len + len > sizeof(log->out)) {
        log_flush(shim);
    }
    if (!log->failing && file_full && log->size > 0 && !rotate(shim)) {
        fail_log(shim, errno);
    }
    return !log->failing;
}

static void put_entry(struct shim *shim, char letter, const char *text, size_t len)
{
    struct shim_log *log = &shim->log;
    const size_t total = PREFIX_LEN + len + 1;
    if (log->failing || !make_room(shim, total)) {
        log->dropped += letter != 's';
        return;
    }
    char *at = log->out + log->out_len;
    put_stamp(at, shim_wall_ms());
    at[STAMP_LEN] = ' ';
    at[STAMP_LEN + 1] = letter;
    at[STAMP_LEN + 2] = ' ';
    memcpy(at + PREFIX_LEN, text, len);
    at[total - 1] = '\n';
    log->out_len += total;
    log->out_lines += letter != 's';
}

static char goes_on(char letter)
{
    return (char)(letter - 'a' + 'A');
}

static void put_partial(struct shim *shim, struct shim_stream *stream)
{
    if (stream->len > 0) {
        put_entry(shim, goes_on(stream->letter), stream->line, stream->len);
        stream->len = 0;
    }
}

// Bytes up to a newline, or as many as fit; returns how many were taken.
static size_t take_line(struct shim *shim, struct shim_stream *stream, const char *data, size_t len)
{
    const char *newline = memchr(data, '\n', len);
    const size_t here = newline != NULL ? (size_t)(newline - data) : len;
    const size_t room = sizeof(stream->line) - stream->len;
    const size_t part = here < room ? here : room;
    memcpy(stream->line + stream->len, data, part);
    stream->len += part;
    if (part < here || (newline == NULL && stream->len == sizeof(stream->line))) {
        put_partial(shim, stream);
        return part;
    }
    if (newline == NULL) {
        return part;
    }
    put_entry(shim, stream->letter, stream->line, stream->len);
    stream->len = 0;
    return part + 1;
}

// One read. Returns its result; at the end of the pipe the stream is closed.
static ssize_t read_stream(struct shim *shim, struct shim_stream *stream)
{
    static char data[READ_SIZE];
    const ssize_t got = read(stream->fd, data, sizeof(data));
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return got;
    }
    if (got <= 0) {
        (void)close(stream->fd);
        stream->fd = -1;
        return 0;
    }
    for (size_t at = 0; at < (size_t)got;) {
        at += take_line(shim, stream, data + at, (size_t)got - at);
    }
    if (stream->len > 0) {
        shim_set_timer(shim, TIMER_LOG_PARTIAL, PARTIAL_MS);
    }
    return got;
}

void log_on_stream(struct shim *shim, struct shim_stream *stream)
{
    (void)read_stream(shim, stream);
    log_flush(shim);
}

void log_partial(struct shim *shim)
{
    put_partial(shim, &shim->log.streams[0]);
    put_partial(shim, &shim->log.streams[1]);
    log_flush(shim);
}

void log_note(struct shim *shim, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (len > 0) {
        put_entry(shim, 's', text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
        log_flush(shim);
    }
}

void log_retry(struct shim *shim)
{
    struct shim_log *log = &shim->log;
    close_files(log);
    if (!open_dir(shim)) {
        fail_log(shim, errno);
        return;
    }
    const char *reason = strerrordesc_np(log->error);
    log->failing = false;
    if (log->torn && write_all(log, "\n", 1)) {
        log->torn = false;
    }
    log_note(shim, "log: %llu lines dropped: %s", (unsigned long long)log->dropped, reason != NULL ? reason : "?");
    if (!log->failing) {
        log->failure_told = false;
        log->dropped_before = log->dropped;
        log->dropped = 0;
        link_tell(shim, SHIM_LOG_FAILED); // says recovered
    }
}

void log_drain(struct shim *shim)
{
    if (shim->log.failing) {
        log_retry(shim); // its last words would else be lost for a second's sake
    }
    for (int i = 0; i < 2; i++) {
        struct shim_stream *stream = &shim->log.streams[i];
        for (ssize_t total = 0, got = 1; stream->fd >= 0 && got > 0 && total < DRAIN_BOUND; total += got) {
            got = read_stream(shim, stream);
        }
        if (stream->len > 0) { // its last words, without a newline
            put_entry(shim, stream->letter, stream->line, stream->len);
            stream->len = 0;
        }
    }
    log_flush(shim);
}
