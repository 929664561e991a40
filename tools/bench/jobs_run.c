// One system with its producer and workers: started, told, waited for, ended.
// Must not: end anything that it did not start, or leave its folder behind.
#include "child.h"
#include "jobs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEAVE_MS   20000
#define READY_MS   20000
#define STALLED_MS 30000   // nothing is completed for so long
#define LOOK_NS    2000000 // how often ledgers are looked at; what is measured stands in them

volatile bool jobs_interrupted;

static void on_signal(int number)
{
    (void)number;
    jobs_interrupted = true;
}

void jobs_watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL); // these numbers exist
    (void)sigaction(SIGTERM, &action, NULL);
}

void words_add(struct words *words, const char *fmt, ...)
{
    va_list args;
    if (words->len + 1 < REEVE_ARRAY_LEN(words->argv)) { // one that lacks its last words fails by itself
        va_start(args, fmt);
        (void)vsnprintf(words->text[words->len], sizeof words->text[0], fmt, args);
        va_end(args);
        words->argv[words->len] = words->text[words->len];
        words->argv[++words->len] = NULL;
    }
}

// ---- waiting --------------------------------------------------------------------------------------------------

static bool has_ended(pid_t pid, int *ret_status)
{
    return pid > 0 && waitpid(pid, ret_status, WNOHANG) == pid;
}

// A little time passes; an error when the benchmark is to end, or one that takes part has.
static enum reeve_err pass(struct jobs_run *run, struct reeve_why *why)
{
    int status = 0;
    if (run->system->turn != NULL) {
        run->system->turn(run);
    }
    if (jobs_interrupted || (run->bench != NULL && run->bench->interrupted)) {
        jobs_interrupted = true;
        return reeve_fail(why, REEVE_CANCELLED, "interrupted");
    }
    for (size_t i = 0; i < run->servers_len; i++) {
        if (has_ended(run->servers[i].pid, &status)) {
            run->servers[i].pid = 0;
            return reeve_fail(why, REEVE_INTERNAL, "%s: its %s has ended with status %x", run->system->name,
                              run->servers[i].name, (unsigned)status);
        }
    }
    for (size_t i = 0; i < run->workers_len; i++) {
        if (has_ended(run->workers[i].pid, &status)) {
            run->workers[i].pid = 0;
            return reeve_fail(why, REEVE_INTERNAL, "%s: worker %zu has ended with status %x", run->system->name, i,
                              (unsigned)status);
        }
    }
    (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL); // what is measured is not measured by this
    return REEVE_OK;
}

int run_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &len) == 0;
    (void)close(fd); // nothing was written
    return bound ? ntohs(address.sin_port) : -1;
}

static bool listens(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd); // nothing was written
    return good;
}

enum reeve_err run_listening(struct jobs_run *run, struct reeve_why *why)
{
    int64_t deadline_mono = reeve_clock_mono_ms() + READY_MS;
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && !listens(run->port)) {
        err = reeve_clock_mono_ms() < deadline_mono
                  ? pass(run, why)
                  : reeve_fail(why, REEVE_TIMEOUT, "%s does not listen", run->system->name);
    }
    return err;
}

// ---- starting -------------------------------------------------------------------------------------------------

static enum reeve_err start(struct jobs_run *run, const struct words *words, int in_fd, int out_fd, const char *log,
                            pid_t *ret, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    (void)snprintf(path, sizeof path, "%.4000s/%s.log", run->dir, log);
    int log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        return reeve_fail_errno(why, "%s", path);
    }
    enum reeve_err err = child_start(words->argv, in_fd, out_fd >= 0 ? out_fd : log_fd, log_fd, ret, why);
    (void)close(log_fd); // the child's now
    return err;
}

enum reeve_err run_server(struct jobs_run *run, const char *name, const struct words *words, struct reeve_why *why)
{
    enum reeve_err err = start(run, words, -1, -1, name, &run->servers[run->servers_len].pid, why);
    if (err == REEVE_OK) {
        run->servers[run->servers_len++].name = name;
    }
    return err;
}

enum reeve_err run_start_producer(struct jobs_run *run, struct reeve_why *why)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    struct words *words = calloc(1, sizeof *words);
    if (words == NULL || pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        free(words);
        return reeve_fail_errno(why, "pipe");
    }
    (void)snprintf(run->producer.path, sizeof run->producer.path, "%.4000s/sent", run->dir);
    run->system->producer(run, words);
    enum reeve_err err = start(run, words, in[0], out[1], "producer", &run->producer.pid, why);
    (void)close(in[0]); // the child's now
    (void)close(out[1]);
    run->producer.in_fd = in[1];
    run->producer.out_fd = out[0];
    free(words);
    return err;
}

enum reeve_err run_start(struct jobs_run *run, struct reeve_why *why)
{
    run->producer.in_fd = run->producer.out_fd = -1;
    (void)snprintf(run->dir, sizeof run->dir, "%.3000s/reeve-bench-XXXXXX", run->options->dir);
    if (mkdtemp(run->dir) == NULL) {
        run->dir[0] = '\0';
        return reeve_fail_errno(why, "a folder below %s", run->options->dir);
    }
    (void)stpcpy(stpcpy(run->state, run->dir), "/state"); // longer than dir by far
    enum reeve_err err = mkdir(run->state, 0700) == 0 ? REEVE_OK : reeve_fail_errno(why, "%s", run->state);
    err = err == REEVE_OK ? run->system->start(run, why) : err;
    jobs_watch_signals(); // a site that ended may have taken them away
    return err == REEVE_OK ? run_start_producer(run, why) : err;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); // a pipe, or only read
    }
    *fd = -1;
}

void run_end_producer(struct jobs_run *run)
{
    close_fd(&run->producer.in_fd); // which ends it
    close_fd(&run->producer.out_fd);
    child_stop(&run->producer.pid, LEAVE_MS);
}

enum reeve_err run_forget(struct jobs_run *run, struct reeve_why *why)
{
    enum reeve_err err = run_end_workers(run, why);
    run_end_producer(run); // it is not made for a queue that goes away
    run->system->halt(run);
    run->forgotten = run->next;
    err = err == REEVE_OK ? reeve_dir_remove(run->state, why) : err;
    err = err == REEVE_OK ? reeve_dir_make(run->state, 0700, why) : err;
    err = err == REEVE_OK ? run->system->resume(run, why) : err;
    return err == REEVE_OK ? run_start_producer(run, why) : err;
}

void run_stop(struct jobs_run *run)
{
    (void)run_end_workers(run, NULL); // after an error; else there are none
    run_end_producer(run);
    run->system->stop(run);
    for (size_t i = run->servers_len; i > 0; i--) {
        child_stop(&run->servers[i - 1].pid, LEAVE_MS);
    }
    if (run->dir[0] != '\0') {
        (void)reeve_dir_remove(run->dir, NULL); // nothing more can be done about it
    }
}

// ---- workers --------------------------------------------------------------------------------------------------

static enum reeve_err start_worker(struct jobs_run *run, struct party *party, struct reeve_why *why)
{
    char log[24];
    struct words *words = calloc(1, sizeof *words);
    if (words == NULL || run->ledgers_len == REEVE_ARRAY_LEN(run->ledgers)) {
        free(words);
        return reeve_fail(why, REEVE_LIMIT, "too many workers");
    }
    (void)snprintf(log, sizeof log, "worker-%zu", run->ledgers_len);
    (void)snprintf(party->path, sizeof party->path, "%.4000s/ledger-%zu", run->dir, run->ledgers_len);
    memcpy(run->ledgers[run->ledgers_len], party->path, sizeof run->ledgers[0]);
    int fd = open(party->path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        free(words);
        return reeve_fail_errno(why, "%s", party->path);
    }
    party->ledger_fd = fd;
    run->system->worker(run, words, (int)run->ledgers_len);
    run->ledgers_len++;
    enum reeve_err err = start(run, words, -1, -1, log, &party->pid, why);
    free(words);
    return err;
}

static enum reeve_err await_ready(struct jobs_run *run, struct reeve_why *why)
{
    int64_t deadline_mono = reeve_clock_mono_ms() + READY_MS;
    size_t ready = 0;
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && ready < run->workers_len) {
        ready = 0;
        for (size_t i = 0; i < run->workers_len; i++) {
            struct job_ledger_head head = {0};
            ready += job_ledger_look(run->workers[i].ledger_fd, &head) && head.ready != 0 ? 1 : 0;
        }
        err = reeve_clock_mono_ms() < deadline_mono
                  ? pass(run, why)
                  : reeve_fail(why, REEVE_TIMEOUT, "%s: its workers are not ready", run->system->name);
    }
    return err;
}

enum reeve_err run_workers(struct jobs_run *run, int64_t count, struct reeve_why *why)
{
    enum reeve_err err = run_end_workers(run, why);
    for (int64_t i = 0; err == REEVE_OK && i < count; i++) {
        struct party *party = &run->workers[run->workers_len++];
        *party = (struct party){.in_fd = -1, .out_fd = -1, .ledger_fd = -1};
        err = start_worker(run, party, why);
    }
    return err == REEVE_OK ? await_ready(run, why) : err;
}

enum reeve_err run_end_workers(struct jobs_run *run, struct reeve_why *why)
{
    (void)why;
    for (size_t i = 0; i < run->workers_len; i++) {
        if (run->workers[i].pid > 0) {
            (void)kill(run->workers[i].pid, SIGTERM); // all at once; a child of ours, not waited for yet
        }
    }
    for (size_t i = 0; i < run->workers_len; i++) {
        struct party *party = &run->workers[i];
        struct job_ledger_head head = {0};
        child_stop(&party->pid, LEAVE_MS);
        run->gone += party->ledger_fd >= 0 && job_ledger_look(party->ledger_fd, &head) ? head.completed : 0;
        close_fd(&party->ledger_fd);
    }
    run->workers_len = 0;
    return REEVE_OK;
}

// ---- orders ---------------------------------------------------------------------------------------------------

enum reeve_err run_order(struct jobs_run *run, struct batch *batch, struct reeve_why *why)
{
    char line[128];
    batch->first = run->next;
    run->next += batch->count;
    int len = batch->rate > 0
                  ? snprintf(line, sizeof line, "paced %lld %lld %lld %lld\n", (long long)batch->first,
                             (long long)batch->count, (long long)batch->payload_bytes, (long long)batch->rate)
                  : snprintf(line, sizeof line, "bulk %lld %lld %lld\n", (long long)batch->first,
                             (long long)batch->count, (long long)batch->payload_bytes);
    return write(run->producer.in_fd, line, (size_t)len) == len
               ? REEVE_OK
               : reeve_fail_errno(why, "%s: the producer has ended", run->system->name);
}

enum reeve_err run_await_acked(struct jobs_run *run, struct batch *batch, struct reeve_why *why)
{
    char text[512];
    size_t len = 0;
    unsigned long long first, count, began, acked;
    int64_t deadline_mono =
        reeve_clock_mono_ms() + 4 * STALLED_MS + (batch->rate > 0 ? batch->count * 1000 / batch->rate : 0);
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && (len == 0 || text[len - 1] != '\n')) {
        struct pollfd poll_fd = {run->producer.out_fd, POLLIN, 0};
        ssize_t got = poll(&poll_fd, 1, 0) > 0 ? read(poll_fd.fd, text + len, sizeof text - 1 - len) : -1;
        len += got > 0 ? (size_t)got : 0;
        if (got == 0 || reeve_clock_mono_ms() > deadline_mono) {
            return reeve_fail(why, REEVE_TIMEOUT, "%s: the producer %s", run->system->name,
                              got == 0 ? "has ended" : "hangs");
        }
        err = got > 0 ? REEVE_OK : pass(run, why);
    }
    text[len] = '\0';
    if (err == REEVE_OK && (sscanf(text, "done %llu %llu %llu %llu", &first, &count, &began, &acked) != 4 ||
                            first != (unsigned long long)batch->first || count != (unsigned long long)batch->count)) {
        text[strcspn(text, "\n")] = '\0';
        return reeve_fail(why, REEVE_INTERNAL, "%s: the producer says '%.300s'", run->system->name, text);
    }
    if (err == REEVE_OK) {
        batch->began_ns = began;
        batch->acked_ns = acked;
    }
    return err;
}

static enum reeve_err by_ledgers(struct jobs_run *run, int64_t *ret, uint64_t *ret_ns)
{
    uint64_t completed = run->gone, last_ns = 0;
    for (size_t i = 0; i < run->workers_len; i++) {
        struct job_ledger_head head = {0};
        if (job_ledger_look(run->workers[i].ledger_fd, &head)) {
            completed += head.completed;
            last_ns = head.completed_ns > last_ns ? head.completed_ns : last_ns;
        }
    }
    *ret = (int64_t)completed;
    *ret_ns = last_ns;
    return REEVE_OK;
}

enum reeve_err run_await_completed(struct jobs_run *run, struct batch *batch, struct reeve_why *why)
{
    int64_t completed = -1, before = -1, stalled_mono = reeve_clock_mono_ms() + STALLED_MS;
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && completed < run->next) {
        err = run->system->completed != NULL ? run->system->completed(run, &completed, &batch->completed_ns, why)
                                             : by_ledgers(run, &completed, &batch->completed_ns);
        stalled_mono = completed != before ? reeve_clock_mono_ms() + STALLED_MS : stalled_mono;
        before = completed;
        if (err == REEVE_OK && completed < run->next) {
            err = reeve_clock_mono_ms() < stalled_mono
                      ? pass(run, why)
                      : reeve_fail(why, REEVE_TIMEOUT, "%s: %lld of %lld jobs are completed, and no more",
                                   run->system->name, (long long)completed, (long long)run->next);
        }
    }
    return err;
}

// ---- disk -----------------------------------------------------------------------------------------------------

// Up to the last byte that is not zero.
static int64_t filled_bytes(const char *path)
{
    static unsigned char block[1u << 16];
    int64_t filled = 0, at = 0;
    FILE *file = fopen(path, "re");
    for (size_t len; file != NULL && (len = fread(block, 1, sizeof block, file)) > 0; at += (int64_t)len) {
        for (size_t i = len; i > 0; i--) {
            if (block[i - 1] != 0) {
                filled = at + (int64_t)i;
                break;
            }
        }
    }
    if (file != NULL) {
        (void)fclose(file); // was only read
    }
    return filled;
}

static int64_t bytes_below(const char *dir, bool preallocated, int depth)
{
    int64_t bytes = 0;
    DIR *list = depth < 4 ? opendir(dir) : NULL;
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        char path[SITE_PATH_SIZE];
        struct stat file;
        (void)snprintf(path, sizeof path, "%.3800s/%s", dir, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(path, &file) != 0) {
            continue;
        }
        bytes += S_ISDIR(file.st_mode) ? bytes_below(path, preallocated, depth + 1)
                 : preallocated        ? filled_bytes(path)
                                       : (int64_t)file.st_size;
    }
    if (list != NULL) {
        (void)closedir(list); // was only read
    }
    return bytes;
}

int64_t run_disk_bytes(const struct jobs_run *run)
{
    return bytes_below(run->state, run->system->preallocates, 0);
}

int64_t run_written_bytes(const struct jobs_run *run)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < run->servers_len; i++) {
        char path[64], line[128];
        long long number = 0;
        (void)snprintf(path, sizeof path, "/proc/%d/io", (int)run->servers[i].pid);
        FILE *file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            bytes += sscanf(line, "write_bytes: %lld", &number) == 1 ? number : 0;
        }
        if (file != NULL) {
            (void)fclose(file); // was only read
        }
    }
    return bytes;
}
