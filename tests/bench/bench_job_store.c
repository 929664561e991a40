// What jobs on disk cost: a stream of jobs (added, active, ended, retained, removed) in turns of several sizes, and a
// backlog that is written, loaded by the next process, and done. JSON on stdout; times are of this thread, waits for
// the disk apart. Must not: be a test; nothing is checked here but that no call fails.
#include "job_store.h"

#include <getopt.h>
#include <pthread.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum phase { ADD, PUT, END, RETAIN, BODY, COMMIT, PHASES };
static const char *const phase_names[PHASES] = {"add", "put", "end", "retain", "body", "commit"};

struct bench {
    const char *dir;
    const char *ids; // ulid, batch, uuid
    int64_t jobs, batch, payload, backlog, keep;
    bool memory, backup;
    struct store *store;
    struct job_store *store_of_jobs;
    int64_t queue, number;
    int64_t cpu_ns[PHASES];
    int64_t *commits; // ns, wall
    size_t commits_len, commits_max;
    uint64_t random;
    char *body;
};

static void must(enum reeve_err err, const struct reeve_why *why)
{
    if (err != REEVE_OK) {
        (void)fprintf(stderr, "bench-job-store: %s\n", why->text); /* on the way out */
        exit(1);
    }
}

static int64_t cpu_ns(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at); /* there on every Linux */
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int64_t rss_kib(const char *field) // VmRSS, VmHWM
{
    char line[128];
    int64_t kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            kib = strtoll(line + strlen(field) + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file); /* read only */
    }
    return kib;
}

static int64_t file_bytes(const struct bench *bench, const char *name)
{
    char path[4200];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", bench->dir, name);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void open_store(struct bench *bench)
{
    struct reeve_why why = {0};
    if (bench->memory) {
        must(job_store_open_memory(4LL << 30, &bench->store_of_jobs, &why), &why);
    } else {
        must(store_open(bench->dir, &bench->store, &why), &why);
        must(job_store_open(bench->store, &bench->store_of_jobs, &why), &why);
    }
    must(job_store_queue(bench->store_of_jobs, "bench", &bench->queue, &why), &why);
}

static void close_store(struct bench *bench)
{
    job_store_close(bench->store_of_jobs);
    store_close(bench->store);
    bench->store = NULL;
}

static uint64_t next_random(struct bench *bench)
{
    bench->random = bench->random * 6364136223846793005u + 1442695040888963407u;
    return bench->random >> 20;
}

static struct reeve_span id_of(struct bench *bench, int64_t number, char buf[80])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    if (strcmp(bench->ids, "uuid") == 0) {
        uint64_t high = next_random(bench);
        (void)snprintf(buf, 80, "%08llx-%04llx-4%03llx-a%03llx-%012llx", (unsigned long long)high & 0xffffffff,
                       (unsigned long long)(high >> 28) & 0xffff, (unsigned long long)number & 0xfff,
                       (unsigned long long)(number >> 12) & 0xfff, (unsigned long long)number);
        return (struct reeve_span){.data = buf, .len = strlen(buf)};
    }
    bool batch = strcmp(bench->ids, "batch") == 0; // a ULID of the command, and the job's index in it
    uint64_t time = 1790000000000u + (uint64_t)number / (batch ? 1000 : 60);
    uint64_t rest = batch ? (uint64_t)number / 1000 * 0x9e3779b97f4a7c15u : (uint64_t)number * 0x9e3779b97f4a7c15u;
    for (int i = 9; i >= 0; i--, time >>= 5) {
        buf[i] = digits[time & 31];
    }
    for (int i = 10; i < 26; i++, rest = rest >> 5 | rest << 59) {
        buf[i] = digits[rest & 31];
    }
    buf[26] = '\0';
    if (batch) {
        (void)snprintf(buf + 26, 16, "-%lld", (long long)(number % 1000));
    }
    return (struct reeve_span){.data = buf, .len = strlen(buf)};
}

static void commit(struct bench *bench)
{
    struct reeve_why why = {0};
    int64_t began = reeve_clock_mono_ns();
    int64_t cpu = cpu_ns();
    must(bench->memory ? job_store_commit(bench->store_of_jobs, &why) : store_commit(bench->store, &why), &why);
    bench->cpu_ns[COMMIT] += cpu_ns() - cpu;
    if (bench->commits_len < bench->commits_max) {
        bench->commits[bench->commits_len++] = reeve_clock_mono_ns() - began;
    }
}

static void add_jobs(struct bench *bench, int64_t first, int64_t count)
{
    struct reeve_why why = {0};
    const struct reeve_span body = {.data = bench->body, .len = (size_t)bench->payload};
    int64_t cpu = cpu_ns();
    for (int64_t number = first; number < first + count; number++) {
        char id[80];
        int64_t known = 0;
        must(job_store_add(bench->store_of_jobs, bench->queue, number, id_of(bench, number, id), body,
                           (uint64_t)number * 0x9e3779b97f4a7c15u, &known, &why),
             &why);
    }
    bench->cpu_ns[ADD] += cpu_ns() - cpu;
}

static void put_jobs(struct bench *bench, int64_t first, int64_t count, enum reeve_job_state state)
{
    struct reeve_why why = {0};
    int64_t cpu = cpu_ns();
    for (int64_t number = first; number < first + count; number++) {
        struct job_row row = {.number = number,
                              .queue = bench->queue,
                              .class = 1,
                              .state = state,
                              .priority = 5,
                              .added_at = 1790000000000 + number / 60};
        if (state == REEVE_JOB_ACTIVE) {
            row.attempt = 1;
            row.started_at = 1790000000003 + number / 60;
            row.worker = (struct reeve_span){.data = "node-a/worker-7", .len = 15};
            row.worker_epoch = 1790000000000;
        }
        must(job_store_put(bench->store_of_jobs, &row, &why), &why);
    }
    bench->cpu_ns[PUT] += cpu_ns() - cpu;
}

static void end_jobs(struct bench *bench, int64_t first, int64_t count)
{
    struct reeve_why why = {0};
    int64_t cpu = cpu_ns();
    for (int64_t number = first; number < first + count; number++) {
        const struct job_ended_row row = {.number = number,
                                          .queue = bench->queue,
                                          .state = REEVE_JOB_COMPLETED,
                                          .attempt = 1,
                                          .added_at = 1790000000000 + number / 60,
                                          .started_at = 1790000000003 + number / 60,
                                          .ended_at = 1790000000005 + number / 60,
                                          .worker = {.data = "node-a/worker-7", .len = 15},
                                          .retained = true};
        must(job_store_end(bench->store_of_jobs, &row, &why), &why);
    }
    bench->cpu_ns[END] += cpu_ns() - cpu;
}

static void retain(struct bench *bench, int64_t rows_max)
{
    struct reeve_why why = {0};
    int64_t rows = 0;
    int64_t cpu = cpu_ns();
    struct job_retention rule = {
        .queue = bench->queue, .now = 1790000000000, .id_retention_ms = 86400000, .rows_max = rows_max};
    rule.keep[REEVE_JOB_COMPLETED].count = bench->keep;
    must(job_store_retain(bench->store_of_jobs, &rule, &rows, &why), &why);
    bench->cpu_ns[RETAIN] += cpu_ns() - cpu;
}

// A backup as the manager makes them, beside the stream.
static void *make_backup(void *arg)
{
    const struct bench *bench = arg;
    char from[4200];
    char to[4200];
    struct reeve_why why = {0};
    int64_t bytes = 0;
    int64_t began = reeve_clock_mono_ns();
    (void)snprintf(from, sizeof from, "%s/%s", bench->dir, STORE_FILE);
    (void)snprintf(to, sizeof to, "%s/backup.db", bench->dir);
    must(store_copy(from, to, &bytes, &why), &why);
    printf("{\"part\": \"backup\", \"mib\": %.1f, \"ms\": %.1f, \"log_mib\": %.1f}\n", (double)bytes / 1048576,
           (double)(reeve_clock_mono_ns() - began) / 1e6, (double)file_bytes(bench, STORE_FILE "-wal") / 1048576);
    (void)unlink(to); /* best effort */
    return NULL;
}

static void read_bodies(struct bench *bench, int64_t first, int64_t count)
{
    struct reeve_why why = {0};
    int64_t cpu = cpu_ns();
    for (int64_t number = first; number < first + count; number++) {
        struct job_body body;
        must(job_store_body(bench->store_of_jobs, number, &body, &why), &why);
    }
    bench->cpu_ns[BODY] += cpu_ns() - cpu;
}

// ---- telling ----------------------------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void reset(struct bench *bench)
{
    memset(bench->cpu_ns, 0, sizeof bench->cpu_ns);
    bench->commits_len = 0;
}

static double commit_ms(const struct bench *bench, double part)
{
    size_t i = (size_t)((double)bench->commits_len * part);
    return bench->commits_len == 0 ? 0 : (double)bench->commits[i < bench->commits_len ? i : i - 1] / 1e6;
}

static void tell(struct bench *bench, const char *name, int64_t jobs, int64_t wall_ns)
{
    int64_t sum = 0;
    printf(
        "{\"part\": \"%s\", \"ids\": \"%s\", \"batch\": %lld, \"payload\": %lld, \"jobs\": %lld, \"cpu_us_per_job\": {",
        name, bench->ids, (long long)bench->batch, (long long)bench->payload, (long long)jobs);
    for (int i = 0; i < PHASES; i++) {
        sum += bench->cpu_ns[i];
        printf("\"%s\": %.2f, ", phase_names[i], (double)bench->cpu_ns[i] / 1e3 / (double)jobs);
    }
    qsort(bench->commits, bench->commits_len, sizeof *bench->commits, compare);
    printf(
        "\"all\": %.2f}, \"jobs_per_s\": %.0f, \"commit_ms\": {\"p50\": %.2f, \"p99\": %.2f, \"p99.9\": %.2f, \"max\": "
        "%.2f}, ",
        (double)sum / 1e3 / (double)jobs, (double)jobs * 1e9 / (double)wall_ns, commit_ms(bench, 0.5),
        commit_ms(bench, 0.99), commit_ms(bench, 0.999), commit_ms(bench, 1));
    printf("\"file_mib\": %.1f, \"log_mib\": %.1f, \"bytes_per_job\": %.0f, \"rss_mib\": %.1f}\n",
           (double)file_bytes(bench, STORE_FILE) / 1048576, (double)file_bytes(bench, STORE_FILE "-wal") / 1048576,
           (double)job_store_bytes(bench->store_of_jobs) / (double)bench->number, (double)rss_kib("VmRSS") / 1024);
    (void)fflush(stdout); /* a report that is lost is seen */
    reset(bench);
}

// ---- parts ------------------------------------------------------------------------------------------------------

// Each turn adds a batch that a worker takes at once, and ends the one of the turn before.
static void stream(struct bench *bench)
{
    int64_t began = reeve_clock_mono_ns();
    int64_t first = bench->number + 1;
    int64_t before = 0;
    for (int64_t done = 0; done < bench->jobs; done += bench->batch) {
        int64_t number = bench->number + 1;
        add_jobs(bench, number, bench->batch);
        put_jobs(bench, number, bench->batch, REEVE_JOB_ACTIVE);
        bench->number += bench->batch;
        if (before >= first) {
            end_jobs(bench, before, bench->batch);
            retain(bench, 2 * bench->batch);
        }
        before = number;
        commit(bench);
    }
    end_jobs(bench, before, bench->batch);
    commit(bench);
    tell(bench, "stream", bench->jobs, reeve_clock_mono_ns() - began);
}

struct loaded {
    int64_t rows, bytes;
};

static void load(const struct job_row *row, void *arg)
{
    struct loaded *loaded = arg;
    loaded->rows++;
    loaded->bytes += row->number + (int64_t)row->key.len;
}

static void backlog(struct bench *bench)
{
    struct loaded loaded = {0};
    struct reeve_why why = {0};
    int64_t first = bench->number + 1;
    int64_t began = reeve_clock_mono_ns();
    for (int64_t done = 0; done < bench->backlog; done += bench->batch) {
        add_jobs(bench, bench->number + 1, bench->batch);
        put_jobs(bench, bench->number + 1, bench->batch, REEVE_JOB_WAITING);
        bench->number += bench->batch;
        commit(bench);
    }
    tell(bench, "backlog-add", bench->backlog, reeve_clock_mono_ns() - began);
    if (!bench->memory) {
        close_store(bench);
        began = reeve_clock_mono_ns();
        open_store(bench);
    }
    int64_t opened = reeve_clock_mono_ns();
    must(job_store_each_live(bench->store_of_jobs, load, &loaded, &why), &why);
    int64_t read_all = reeve_clock_mono_ns();
    printf("{\"part\": \"start\", \"rows\": %lld, \"open_ms\": %.1f, \"each_live_ms\": %.1f, \"rss_mib\": %.1f}\n",
           (long long)loaded.rows, (double)(opened - began) / 1e6, (double)(read_all - opened) / 1e6,
           (double)rss_kib("VmRSS") / 1024);
    pthread_t thread;
    bool backup = bench->backup && pthread_create(&thread, NULL, make_backup, bench) == 0;
    stream(bench); // beside the backlog
    if (backup) {
        (void)pthread_join(thread, NULL); /* it is joinable */
    }
    began = reeve_clock_mono_ns();
    for (int64_t number = first; number < first + bench->backlog; number += bench->batch) {
        read_bodies(bench, number, bench->batch);
        put_jobs(bench, number, bench->batch, REEVE_JOB_ACTIVE);
        if (number > first) {
            end_jobs(bench, number - bench->batch, bench->batch);
            retain(bench, 2 * bench->batch);
        }
        commit(bench);
    }
    end_jobs(bench, first + bench->backlog - bench->batch, bench->batch);
    commit(bench);
    tell(bench, "backlog-do", bench->backlog, reeve_clock_mono_ns() - began);
}

static int usage(void)
{
    (void)fprintf(stderr,
                  "bench-job-store [--jobs N] [--batch N] [--payload BYTES] [--ids ulid|batch|uuid] [--backlog N]\n"
                  "                [--keep N] [--memory] [--backup] --dir DIR (made, must not be there)\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"jobs", 1, NULL, 'j'},   {"batch", 1, NULL, 'b'},   {"payload", 1, NULL, 'p'}, {"ids", 1, NULL, 'i'},
        {"dir", 1, NULL, 'd'},    {"backlog", 1, NULL, 'l'}, {"memory", 0, NULL, 'm'},  {"keep", 1, NULL, 'k'},
        {"backup", 0, NULL, 'u'}, {"backup", 0, NULL, 'u'},  {NULL, 0, NULL, 0}};
    struct bench bench = {
        .ids = "ulid", .jobs = 200000, .batch = 100, .payload = 100, .keep = 10000, .random = 88172645463325252u};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int64_t number = optarg != NULL ? strtoll(optarg, NULL, 10) : 0;
        switch (c) {
        case 'j':
            bench.jobs = number;
            break;
        case 'b':
            bench.batch = number;
            break;
        case 'p':
            bench.payload = number;
            break;
        case 'i':
            bench.ids = optarg;
            break;
        case 'd':
            bench.dir = optarg;
            break;
        case 'l':
            bench.backlog = number;
            break;
        case 'k':
            bench.keep = number;
            break;
        case 'm':
            bench.memory = true;
            break;
        case 'u':
            bench.backup = true;
            break;
        default:
            return usage();
        }
    }
    if (bench.dir == NULL || bench.batch < 1 || bench.jobs < bench.batch || mkdir(bench.dir, 0700) != 0) {
        return usage();
    }
    bench.commits_max = (size_t)((bench.jobs + bench.backlog) / bench.batch + 16);
    bench.commits = calloc(bench.commits_max, sizeof *bench.commits);
    bench.body = calloc(1, (size_t)bench.payload + 1);
    if (bench.commits == NULL || bench.body == NULL) {
        return 1;
    }
    memset(bench.body, 'x', (size_t)bench.payload);
    open_store(&bench);
    stream(&bench);
    if (bench.backlog > 0) {
        backlog(&bench);
    }
    close_store(&bench);
    (void)reeve_dir_remove(bench.dir, NULL); /* what is left is in the caller's folder */
    free(bench.commits);
    free(bench.body);
    return 0;
}
