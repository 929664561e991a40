// The worker's configuration: from a file at start and on SIGHUP, from the command `configure` later.
// Checked against the program's record table first; a configuration that is refused changes nothing.
// Must not: show secrets, or configuration that has no table to say which parts are secret.
#include "worker.h"

#include <reeve/codec.h>
#include <reeve/log.h>
#include <reeve/record.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_config(const struct reeve_record *record, void *config)
{
    if (config != NULL) {
        reeve_record_done(record, config);
        free(config);
    }
}

// Decode by the program's table. *ret is NULL for a program without one.
static enum reeve_err decode(const struct reeve_worker_program *program, const struct reeve_value *tree, void **ret,
                             struct reeve_errors *errors)
{
    const struct reeve_record *record = program->config_record;
    *ret = NULL;
    if (record == NULL) {
        return REEVE_OK;
    }
    void *config = calloc(1, record->size);
    if (config == NULL) {
        return REEVE_NOMEM;
    }
    enum reeve_err err = reeve_record_decode(record, tree, "", config, errors);
    if (err != REEVE_OK) {
        free(config);
        return err;
    }
    *ret = config;
    return REEVE_OK;
}

static enum reeve_err keep(struct reeve_worker *worker, void *config, struct reeve_value *tree)
{
    free_config(worker->program->config_record, worker->config);
    reeve_value_free(worker->config_tree);
    worker->config = config;
    worker->config_tree = tree;
    return REEVE_OK;
}

static void print_errors(const struct reeve_errors *errors)
{
    for (size_t i = 0; i < errors->len; i++) {
        char line[sizeof errors->items[0]];
        (void)fprintf(stderr, "%s\n", reeve_error_format(errors, i, line, sizeof line)); /* stderr is all there is */
    }
}

enum reeve_err worker_config_load(struct reeve_worker *worker, const char *path)
{
    REEVE_VALUE_AUTO tree = NULL;
    REEVE_AUTO_FREE struct reeve_errors *errors = malloc(sizeof *errors);
    struct reeve_why why = {0};
    void *config;
    if (errors == NULL) {
        return REEVE_NOMEM;
    }
    enum reeve_err err = REEVE_OK;
    if (path != NULL) {
        err = reeve_file_read_value(path, &reeve_limits_file, &tree, &why);
    } else {
        tree = reeve_value_map();
    }
    if (err != REEVE_OK) {
        char text[sizeof why.place + sizeof why.text + 4];
        (void)fprintf(stderr, "%s\n", reeve_why_format(&why, text, sizeof text)); /* stderr is all there is */
        return err;
    }
    reeve_errors_init(errors, path);
    err = decode(worker->program, tree, &config, errors);
    print_errors(errors);
    return err == REEVE_OK ? keep(worker, config, reeve_value_take(&tree)) : err;
}

enum reeve_err worker_config_apply(struct reeve_worker *worker, const struct reeve_value *tree, bool dry_run,
                                   struct reeve_why *why)
{
    const struct reeve_worker_program *program = worker->program;
    REEVE_AUTO_FREE struct reeve_errors *errors = malloc(sizeof *errors);
    REEVE_VALUE_AUTO copy = reeve_value_clone(tree);
    void *config;
    if (errors == NULL || copy == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the configuration");
    }
    if (program->config_record == NULL && program->configure == NULL) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "a worker of type %s takes no configuration", program->type);
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = decode(program, copy, &config, errors);
    if (err != REEVE_OK) {
        return err == REEVE_NOMEM ? reeve_fail(why, err, "no memory for the configuration")
                                  : reeve_errors_result(errors, why);
    }
    if (!dry_run && program->configure != NULL) {
        err = program->configure(worker, config, copy, why);
    }
    if (dry_run || err != REEVE_OK) {
        free_config(program->config_record, config);
        return err;
    }
    return keep(worker, config, reeve_value_take(&copy));
}

void worker_config_reload(struct reeve_worker *worker)
{
    const char *path = worker->settings.config_file;
    REEVE_VALUE_AUTO tree = NULL;
    struct reeve_why why = {0};
    char text[sizeof why.place + sizeof why.text + 4];
    char quoted[512];
    enum reeve_err err = path == NULL ? reeve_fail(&why, REEVE_UNSUPPORTED, "there is no configuration file")
                                      : reeve_file_read_value(path, &reeve_limits_file, &tree, &why);
    if (err == REEVE_OK) {
        err = worker_config_apply(worker, tree, false, &why);
    }
    if (err == REEVE_OK) {
        reeve_log(REEVE_LOG_INFO, "config", "file=%s reloaded", path);
    } else {
        reeve_log(REEVE_LOG_WARNING, "config", "why=%s kept the old one, ignoring",
                  reeve_log_quote(reeve_why_format(&why, text, sizeof text), quoted, sizeof quoted));
    }
}

struct reeve_value *worker_config_shown(const struct reeve_worker *worker)
{
    struct reeve_value *shown = NULL;
    if (worker->config == NULL ||
        reeve_record_encode(worker->program->config_record, worker->config, 0, &shown) != REEVE_OK) {
        return NULL;
    }
    return shown;
}

void worker_config_done(struct reeve_worker *worker)
{
    free_config(worker->program->config_record, worker->config);
    reeve_value_free(worker->config_tree);
}

const void *reeve_worker_config(const struct reeve_worker *worker)
{
    return worker->config;
}

const struct reeve_value *reeve_worker_config_value(const struct reeve_worker *worker)
{
    return worker->config_tree;
}
