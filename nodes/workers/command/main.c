// reeve-worker-command: any program as a worker. Takes jobs of its queues and runs the command of their type for each.
// docs/command-worker.md has what a command is given and what it can say.
// Must not: know what a command does, or use a shell.
#include <fcntl.h>
#include <reeve/buf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attempt.h"

static struct processes *processes;
static struct commands *commands; // of the configuration that holds now
static struct commands *declared; // of the first one: whose names of types the SDK has
// What is told to managers; filled in before the first session.
static struct reeve_worker_job_type job_types[COMMANDS_MAX + 1];

static enum reeve_err run(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    return attempt_start(worker, processes, commands, job, why);
}

static void cancel(struct reeve_worker *worker, struct reeve_job *job, const char *reason, int64_t grace_ms)
{
    (void)worker; /* there is one */
    attempt_cancel(job, reason, grace_ms);
}

static void declare_types(void)
{
    declared = commands_ref(commands);
    for (size_t i = 0; i < declared->len; i++) {
        const struct command_row *row = &declared->rows[i];
        job_types[i] = (struct reeve_worker_job_type){
            .type = row->type, .run = run, .cancel = cancel, .reconcile = row->command.reconcile.len > 0 ? run : NULL};
    }
}

// ---- configuration
// ---------------------------------------------------------------------------------------------------

static bool has_queue(const struct command_config *config, const char *queue)
{
    for (size_t i = 0; i < command_queues_len(config); i++) {
        if (reeve_str_eq(command_queue_at(config, i).queue, queue)) {
            return true;
        }
    }
    return false;
}

static enum reeve_err serve(struct reeve_worker *worker, const struct command_config *config, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < command_queues_len(config); i++) {
        const struct command_queue queue = command_queue_at(config, i);
        const struct reeve_worker_queue served = {.queue = queue.queue,
                                                  .concurrency = queue.concurrency,
                                                  .prefetch = queue.prefetch > 0 ? queue.prefetch : -1};
        err = reeve_worker_serve(worker, &served, why);
    }
    return err;
}

static enum reeve_err configure(struct reeve_worker *worker, const void *next, const struct reeve_value *tree,
                                struct reeve_why *why)
{
    const struct command_config *now = reeve_worker_config(worker), *config = next;
    struct commands *made = NULL;
    enum reeve_err err = commands_make(config, tree, &made, why);
    if (err == REEVE_OK && !commands_same_types(commands, made)) {
        err = reeve_fail(why, REEVE_UNSUPPORTED,
                         "other types of jobs, or others that are reconciled: restart the worker");
    }
    if (err == REEVE_OK) {
        err = serve(worker, config, why);
    }
    if (err != REEVE_OK) {
        commands_unref(made);
        return err;
    }
    for (size_t i = 0; i < command_queues_len(now); i++) {
        if (!has_queue(config, command_queue_at(now, i).queue)) {
            reeve_worker_unserve(worker, command_queue_at(now, i).queue);
        }
    }
    commands_unref(commands);
    commands = made;
    return REEVE_OK;
}

// ---- begin and end
// ---------------------------------------------------------------------------------------------------

static enum reeve_err start(struct reeve_worker *worker, struct reeve_why *why)
{
    const struct command_config *config = reeve_worker_config(worker);
    enum reeve_err err = commands_make(config, reeve_worker_config_value(worker), &commands, why);
    if (err == REEVE_OK) {
        err = processes_new(reeve_worker_loop(worker), &processes, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    declare_types();
    return serve(worker, config, why);
}

static void stop(struct reeve_worker *worker)
{
    (void)worker; /* there is one */
    processes_stop(processes);
    processes = NULL;
}

// ---- documentation
// ---------------------------------------------------------------------------------------------------

static int print_reference(void)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1 << 20);
    enum reeve_err err = reeve_record_markdown(&command_config_record, 3, &text);
    if (err == REEVE_OK) {
        err = text.err;
    }
    if (err != REEVE_OK || fputs(reeve_buf_str(&text), stdout) == EOF || fflush(stdout) != 0) {
        (void)fprintf(stderr, "reference: %s\n", reeve_err_text(err)); /* stderr is all there is */
        return 1;
    }
    return 0;
}

// A descriptor below 3 that is closed would be given to a pipe, and then to a command as its stdin.
static void hold_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        (void)close(fd); // one more than was needed
    }
}

int main(int argc, char **argv)
{
    static const struct reeve_worker_program program = {
        .type = "command",
        .version = REEVE_VERSION,
        .summary = "runs a command for each job: any program as a worker",
        .jobs = job_types,
        .config_record = &command_config_record,
        .start = start,
        .configure = configure,
        .stop = stop,
    };
    if (argc == 3 && strcmp(argv[1], "--doc") == 0 && strcmp(argv[2], "configuration") == 0) {
        return print_reference();
    }
    hold_standard_descriptors();
    const int code = reeve_worker_main(argc, argv, &program);
    commands_unref(commands);
    commands_unref(declared);
    return code;
}
