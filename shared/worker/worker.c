// The life of a worker: settings, configuration, the program's start, the session, the loop, and everything back.
// What happens in between is in the files beside it.
// Must not: hold rules of the protocol; each is with its concern.
#include "worker.h"

#include <reeve/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void on_signal(int number, void *arg)
{
    struct reeve_worker *worker = arg;
    if (number == SIGHUP) {
        worker_config_reload(worker);
    } else if (worker->leave.phase == LEAVE_NOT) {
        reeve_worker_leave(worker, 0);
    } else {
        worker_leave_hasten(worker);
    }
}

static void make_topics(struct reeve_worker *worker)
{
    struct worker_topics *topics = &worker->topics;
    const struct {
        char *topic;
        const char *leaf;
    } rows[] = {
        {topics->status, "status"},   {topics->lwt, "lwt"},           {topics->event, "event"},
        {topics->metrics, "metrics"}, {topics->progress, "progress"}, {topics->commands, "cmd/+"},
        {topics->job, "job"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        (void)reeve_topic_make(rows[i].topic, worker->settings.root, "worker/%s/%s/%s", worker->settings.node,
                               worker->settings.name, rows[i].leaf); /* returns rows[i].topic */
    }
}

static enum reeve_err init(struct reeve_worker *worker, struct reeve_why *why)
{
    if (uv_loop_init(&worker->loop) != 0) {
        return reeve_fail(why, REEVE_NOMEM, "no event loop");
    }
    worker->loop_made = true;
    worker_session_init(worker);
    worker_leave_init(worker);
    worker_notify_init(worker);
    worker->calls.history = history_new();
    if (worker->calls.history == NULL || worker_posts_init(worker) != REEVE_OK ||
        worker_status_init(worker) != REEVE_OK || worker_jobs_init(worker) != REEVE_OK) {
        return reeve_fail(why, REEVE_NOMEM, "no memory to start");
    }
    make_topics(worker);
    return reeve_signals_new(&worker->loop, on_signal, worker, &worker->signals, why);
}

static enum reeve_err start(struct reeve_worker *worker, struct reeve_why *why)
{
    enum reeve_err err = init(worker, why);
    if (err == REEVE_OK && worker->program->start != NULL) {
        err = worker->program->start(worker, why);
    }
    if (err == REEVE_OK) {
        err = worker_jobs_declare(worker);
    }
    return err == REEVE_OK ? worker_session_open(worker, why) : err;
}

static void finish(struct reeve_worker *worker)
{
    if (worker->loop_made) {
        worker_status_close(worker);
        worker_jobs_close(worker);
        worker_notify_close(worker);
        worker_session_close(worker);
        worker_leave_close(worker);
        worker_posts_close(worker);
        reeve_bus_free(worker->bus);
        reeve_signals_free(worker->signals);
        reeve_loop_finish(&worker->loop);
    }
    worker_jobs_done(worker);
    worker_status_done(worker);
    worker_config_done(worker);
    history_free(worker->calls.history);
}

static int run(struct reeve_worker *worker)
{
    struct reeve_why why = {0};
    char text[sizeof why.place + sizeof why.text + 4];
    char quoted[512];
    enum reeve_err err = start(worker, &why);
    if (err != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "worker", "worker=%s why=%s not started", worker->settings.name,
                  reeve_log_quote(reeve_why_format(&why, text, sizeof text), quoted, sizeof quoted));
        return 1;
    }
    reeve_log(REEVE_LOG_INFO, "worker", "worker=%s node=%s type=%s version=%s run=%lld started", worker->settings.name,
              worker->settings.node, worker->program->type, worker->program->version, (long long)worker->settings.run);
    (void)uv_run(&worker->loop, UV_RUN_DEFAULT); /* until leave.c stops it */
    reeve_log(REEVE_LOG_INFO, "worker", "worker=%s exit=%d left", worker->settings.name, worker->leave.exit_code);
    return worker->leave.exit_code;
}

int reeve_worker_main(int argc, char **argv, const struct reeve_worker_program *program)
{
    int exit_code;
    struct reeve_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        (void)fprintf(stderr, "no memory\n");
        return 1;
    }
    worker->program = program;
    worker_settings_read(&worker->settings, argc, argv, program, &exit_code);
    if (exit_code < 0 && worker_config_load(worker, worker->settings.config_file) != REEVE_OK) {
        exit_code = 2;
    }
    if (exit_code < 0) {
        exit_code = run(worker);
    }
    finish(worker);
    worker_settings_done(&worker->settings);
    free(worker);
    return exit_code;
}

uv_loop_t *reeve_worker_loop(struct reeve_worker *worker)
{
    return &worker->loop;
}

struct reeve_bus *reeve_worker_bus(struct reeve_worker *worker)
{
    return worker->bus;
}

const char *reeve_worker_name(const struct reeve_worker *worker)
{
    return worker->settings.name;
}

const char *reeve_worker_node(const struct reeve_worker *worker)
{
    return worker->settings.node;
}

int64_t reeve_worker_run(const struct reeve_worker *worker)
{
    return worker->settings.run;
}

int64_t reeve_worker_fence(const struct reeve_worker *worker)
{
    return worker->settings.fence;
}

const char *reeve_worker_pool(const struct reeve_worker *worker)
{
    return worker->settings.pool[0] == '\0' ? NULL : worker->settings.pool;
}

const char *reeve_worker_account(const struct reeve_worker *worker)
{
    return worker->settings.account[0] == '\0' ? NULL : worker->settings.account;
}

uint64_t reeve_worker_epoch(const struct reeve_worker *worker)
{
    return worker->session.epoch;
}

void *reeve_worker_data(const struct reeve_worker *worker)
{
    return worker->data;
}

void reeve_worker_set_data(struct reeve_worker *worker, void *data)
{
    worker->data = data;
}
