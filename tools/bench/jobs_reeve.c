// Reeve as one of the systems: a site of its own, the manager, one queue with the presets.
// Must not: measure, or set what a site is not installed with.
#include "child.h"
#include "jobs.h"

#include <reeve/clock.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVE_MS      20000
#define MANAGER       "main"
#define PAYLOAD_FRAME 22 // {"number", "pad"} in JSON without the pad's letters

struct asked { // one command to the queue
    bool over;
    enum reeve_phase phase;
    struct reeve_value *result;
    struct reeve_why why;
};

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    struct asked *asked = arg;
    (void)bus;
    if (err == REEVE_OK && !reeve_phase_terminal(reply->phase)) {
        return;
    }
    asked->over = true;
    asked->phase = err == REEVE_OK ? reply->phase : REEVE_PHASE_FAILED;
    asked->result = err == REEVE_OK && reply->result != NULL ? reeve_value_clone(reply->result) : NULL;
    (void)reeve_fail(&asked->why, REEVE_INTERNAL, "%s", // kept for who asked
                     err != REEVE_OK          ? reeve_err_text(err)
                     : reply->message != NULL ? reply->message
                                              : "");
}

static bool is_over(struct bench *bench, const void *arg)
{
    (void)bench;
    return ((const struct asked *)arg)->over;
}

// *ret is the caller's (NULL: thrown away).
static enum reeve_err ask(struct bench *bench, const char *op, struct reeve_value **ret, struct reeve_why *why)
{
    char topic[REEVE_TOPIC_SIZE], id[REEVE_ULID_SIZE];
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_command command = {.args = args};
    struct asked asked = {0};
    (void)reeve_topic_make(topic, SITE_ROOT, "queue/" JOBS_QUEUE "/cmd/%s", op);
    enum reeve_err err = reeve_bus_request(bench->bus, topic, &command, DEADLINE_MS, on_reply, &asked, id, why);
    command.args = NULL; // ours
    reeve_command_done(&command);
    err = err == REEVE_OK ? bench_wait(bench, is_over, &asked, op, why) : err;
    if (!asked.over) {
        reeve_bus_request_cancel(bench->bus, id); // `asked` is ours, and we leave
    }
    if (err == REEVE_OK && asked.phase != REEVE_PHASE_DONE) {
        err = reeve_fail(why, REEVE_INTERNAL, "%s: %s %s", op, reeve_phase_text(asked.phase), asked.why.text);
    }
    if (err == REEVE_OK && ret != NULL) {
        *ret = reeve_value_take(&asked.result);
    }
    reeve_value_free(asked.result);
    return err;
}

// ---- the site -------------------------------------------------------------------------------------------------

static enum reeve_err write_files(struct jobs_run *run, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    const struct site *site = &run->bench->site;
    REEVE_VALUE_AUTO config = reeve_value_map();
    struct reeve_value *manager = reeve_value_map();
    reeve_put_str(manager, "name", MANAGER);
    reeve_put_str(manager, "root", SITE_ROOT);
    reeve_put_str(manager, "state_dir", run->state);
    (void)reeve_value_put(config, "manager", manager); // reeve_value_built()
    site_put_broker(config, "broker", site, SITE_MANAGER);
    enum reeve_err err = site_write_json(site, "manager.json", config, why);
    return err == REEVE_OK ? reeve_file_write_atomic(site_path(site, "worker.password", path),
                                                     site->passwords[SITE_WORKER], PASSWORD_LEN, 0600, why)
                           : err;
}

struct known {
    pid_t pid;
    bool known;
};
static struct known known; // of the manager's status; one run at a time

static void on_manager(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    REEVE_VALUE_AUTO record = NULL;
    (void)bus;
    (void)arg;
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, delivery->topic, &record,
                           NULL) == REEVE_OK) {
        known = (struct known){(pid_t)reeve_get_int(record, "pid", 0), reeve_get_bool(record, "known", false)};
    }
}

static bool manager_knows(struct bench *bench, const void *arg)
{
    (void)bench;
    return known.known && known.pid == *(const pid_t *)arg;
}

static enum reeve_err start_manager(struct jobs_run *run, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    struct words *words = calloc(1, sizeof *words);
    if (words == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    words_add(words, "%s/reeve-manager", run->bin_dir);
    words_add(words, "--config");
    words_add(words, "%s", site_path(&run->bench->site, "manager.json", path));
    enum reeve_err err = run_server(run, "manager", words, why);
    free(words);
    return err == REEVE_OK ? bench_wait(run->bench, manager_knows, &run->servers[1].pid, "the manager is there", why)
                           : err;
}

static enum reeve_err resume(struct jobs_run *run, struct reeve_why *why)
{
    enum reeve_err err = start_manager(run, why);
    return err == REEVE_OK ? ask(run->bench, "apply", NULL, why) : err; // with the presets; also when it is there
}

static enum reeve_err start(struct jobs_run *run, struct reeve_why *why)
{
    known = (struct known){0};
    run->bench = calloc(1, sizeof *run->bench);
    if (run->bench == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = bench_start(run->bench, run->bin_dir, run->dir, why);
    err = err == REEVE_OK ? write_files(run, why) : err;
    err = err == REEVE_OK ? control_new(run->bench, why) : err;
    err = err == REEVE_OK ? control_listen(run->bench, "manager/" MANAGER "/status", on_manager, NULL, why) : err;
    err = err == REEVE_OK ? control_connect(run->bench, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    run->servers[run->servers_len].pid = run->bench->site.broker; // the site's to end
    run->servers[run->servers_len++].name = "broker";
    run->port = run->bench->site.port;
    return resume(run, why);
}

static void halt(struct jobs_run *run)
{
    if (run->servers_len > 1) {
        child_stop(&run->servers[1].pid, LEAVE_MS);
        run->servers_len = 1;
    }
}

static void stop(struct jobs_run *run)
{
    halt(run);
    run->servers_len = 0;
    if (run->bench != NULL) {
        bench_stop(run->bench);
    }
    free(run->bench);
    run->bench = NULL;
}

static void turn(struct jobs_run *run)
{
    (void)uv_run(&run->bench->loop, UV_RUN_NOWAIT); // whether something is left to do does not matter
}

// ---- who takes part -------------------------------------------------------------------------------------------

static void producer(struct jobs_run *run, struct words *words)
{
    char path[SITE_PATH_SIZE];
    REEVE_VALUE_AUTO config = reeve_value_map();
    site_put_broker(config, "broker", &run->bench->site, SITE_PRODUCER);
    reeve_put_str(config, "root", SITE_ROOT);
    reeve_put_str(config, "queue", JOBS_QUEUE);
    reeve_put_str(config, "sent", run->producer.path);
    (void)site_write_json(&run->bench->site, "producer.json", config, NULL); // without it the producer says so
    words_add(words, "%s/reeve-bench-job-producer", run->bin_dir);
    words_add(words, "%s", site_path(&run->bench->site, "producer.json", path));
}

static void worker(struct jobs_run *run, struct words *words, int number)
{
    char path[SITE_PATH_SIZE], leaf[32];
    const struct site *site = &run->bench->site;
    REEVE_VALUE_AUTO config = reeve_value_map();
    reeve_put_str(config, "queue", JOBS_QUEUE);
    reeve_put_str(config, "ledger", run->ledgers[number]);
    reeve_put_int(config, "concurrency", run->options->concurrency);
    reeve_put_int(config, "prefetch", run->options->prefetch);
    reeve_put_str_opt(config, "plant", run->options->plant);
    (void)snprintf(leaf, sizeof leaf, "worker-%d.json", number);
    (void)site_write_json(site, leaf, config, NULL); // without it the worker says so
    words_add(words, "%s/reeve-bench-job-worker", run->bin_dir);
    words_add(words, "--broker");
    words_add(words, "mqtt://127.0.0.1:%d", run->port);
    const char *const options[][2] = {
        {"user", site_username(SITE_WORKER)}, {"root", SITE_ROOT}, {"node", SITE_NODE}, {"log-level", "warning"}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(options); i++) {
        words_add(words, "--%s", options[i][0]);
        words_add(words, "%s", options[i][1]);
    }
    words_add(words, "--name");
    words_add(words, "job-%d", number);
    words_add(words, "--password-file");
    words_add(words, "%s", site_path(site, "worker.password", path));
    words_add(words, "--config");
    words_add(words, "%s", site_path(site, leaf, path));
}

// The manager's own word, since a worker does not learn when its report is on disk.
static enum reeve_err completed(struct jobs_run *run, int64_t *ret, uint64_t *ret_ns, struct reeve_why *why)
{
    uint64_t handled = 0;
    for (size_t i = 0; i < run->ledgers_len;
         i++) { // asked only when the workers are done with all: asking costs the manager
        struct job_ledger_head head = {0};
        FILE *file = fopen(run->ledgers[i], "re");
        handled += file != NULL && fread(&head, sizeof head, 1, file) == 1 ? head.handled : 0;
        if (file != NULL) {
            (void)fclose(file); // was only read
        }
    }
    *ret = (int64_t)handled < run->next ? (int64_t)handled : run->next - 1;
    if ((int64_t)handled < run->next && run->options->plant == NULL) {
        return REEVE_OK;
    }
    REEVE_VALUE_AUTO described = NULL;
    enum reeve_err err = ask(run->bench, "describe", &described, why);
    const struct reeve_value *status = reeve_value_get(described, "status");
    static const char *const left[] = {"waiting", "delayed", "active", "unknown",
                                       "failed"}; // anything else is completed
    int64_t live = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(left); i++) {
        live += reeve_get_int(status, left[i], 1);
    }
    if (err == REEVE_OK) {
        *ret = run->next - live;
        *ret_ns = job_now_ns();
    }
    return err;
}

// ---- the CLI --------------------------------------------------------------------------------------------------

static enum reeve_err write_lines(const struct batch *batch, const char *path, struct reeve_why *why)
{
    FILE *file = fopen(path, "we");
    size_t pad = batch->payload_bytes > PAYLOAD_FRAME ? (size_t)batch->payload_bytes - PAYLOAD_FRAME : 0;
    char *letters = calloc(1, pad + 1);
    if (file == NULL || letters == NULL) {
        free(letters);
        return reeve_fail_errno(why, "%s", path);
    }
    memset(letters, 'x', pad);
    for (int64_t i = 0; i < batch->count; i++) {
        (void)fprintf(file, "{\"type\":\"noop\",\"payload\":{\"number\":%lld,\"pad\":\"%s\"}}\n", // ferror() below
                      (long long)(batch->first + i), letters);
    }
    free(letters);
    bool good = ferror(file) == 0;
    return fclose(file) == 0 && good ? REEVE_OK : reeve_fail_errno(why, "%s", path);
}

static enum reeve_err import(struct jobs_run *run, struct batch *batch, struct reeve_why *why)
{
    char lines[SITE_PATH_SIZE], program[SITE_PATH_SIZE];
    const struct site *site = &run->bench->site;
    const char *const argv[] = {
        site_program(site, "reeve", program), "--site",  site->dir, "job", "add", JOBS_QUEUE, "--file",
        site_path(site, "jobs.jsonl", lines), "--brief", "--quiet", NULL};
    batch->first = run->next;
    enum reeve_err err = write_lines(batch, lines, why);
    if (err == REEVE_OK) {
        run->next += batch->count;
        batch->began_ns = job_now_ns();
        err = child_run(argv, NULL, STDERR_FILENO, why);
        batch->acked_ns = job_now_ns();
    }
    return err;
}

const struct jobs_system jobs_reeve = {.name = "reeve",
                                       .peer = "reeve",
                                       .what = "a queue of Reeve, durability commit: acknowledged is on disk",
                                       .jobs = 200000,
                                       .start = start,
                                       .stop = stop,
                                       .producer = producer,
                                       .worker = worker,
                                       .completed = completed,
                                       .turn = turn,
                                       .import = import,
                                       .halt = halt,
                                       .resume = resume};
