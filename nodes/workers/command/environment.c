// A list of KEY=value in which each key stands once: later ones replace earlier ones.
// Must not: hand on what nobody named: credentials of the worker are in its environment.
#include "environment.h"

#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"

#define PATH_PRESET "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
// By this a node daemon finds what is left of a run when worker and guards are gone: it has to reach every process.
#define RUN_TOKEN "REEVE_RUN_TOKEN"

struct environment {
    struct reeve_strv list;
    enum reeve_err err; // the first one
    struct reeve_why *why;
};

// Where its entry is; NULL when it has none.
static char **find(const struct environment *environment, const char *key)
{
    const size_t len = strlen(key);
    for (size_t i = 0; i < environment->list.len; i++) {
        if (strncmp(environment->list.items[i], key, len) == 0 && environment->list.items[i][len] == '=') {
            return &environment->list.items[i];
        }
    }
    return NULL;
}

static void set(struct environment *environment, const char *key, const char *value)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(TEMPLATE_ARG_MAX);
    if (environment->err != REEVE_OK || value == NULL) {
        return;
    }
    reeve_buf_printf(&text, "%s=%s", key, value);
    if (text.err == REEVE_LIMIT) {
        environment->err = reeve_fail_at(environment->why, REEVE_LIMIT, key,
                                         "longer than the %d bytes that a variable may have", TEMPLATE_ARG_MAX);
    } else if (text.err != REEVE_OK) {
        environment->err = text.err;
    }
    if (environment->err != REEVE_OK) {
        return;
    }
    char **entry = find(environment, key);
    if (entry == NULL) {
        environment->err = reeve_strv_add(&environment->list, text.data);
    } else {
        free(*entry);
        *entry = reeve_buf_take(&text, NULL); /* has content: not NULL */
    }
}

static void set_number(struct environment *environment, const char *key, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)number); /* fits */
    set(environment, key, text);
}

static void set_base(struct environment *environment, const struct command *command)
{
    const char *path = getenv("PATH"), *lang = getenv("LANG");
    set(environment, "PATH", path != NULL ? path : PATH_PRESET);
    set(environment, "HOME", getenv("HOME"));
    set(environment, "LANG", lang != NULL ? lang : "C.UTF-8");
    for (size_t i = 0; i < command->inherit.len; i++) {
        set(environment, command->inherit.items[i], getenv(command->inherit.items[i]));
    }
    for (size_t i = 0; i < reeve_value_len(command->env); i++) {
        set(environment, reeve_value_key(command->env, i), reeve_value_text(reeve_value_at(command->env, i)));
    }
    set(environment, RUN_TOKEN, getenv(RUN_TOKEN));
}

static void set_checkpoint(struct environment *environment, const struct reeve_value *checkpoint)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    if (checkpoint == NULL || environment->err != REEVE_OK) {
        return;
    }
    environment->err = reeve_json_write(checkpoint, 0, &text);
    set(environment, "REEVE_JOB_CHECKPOINT", reeve_buf_str(&text));
}

enum reeve_err environment_make(const struct command *command, const struct template_values *job, bool reconciling,
                                struct reeve_strv *ret, struct reeve_why *why)
{
    struct environment environment = {.why = why};
    set_base(&environment, command);
    set(&environment, "REEVE_JOB_ID", job->id);
    set(&environment, "REEVE_JOB_TYPE", job->type);
    set(&environment, "REEVE_JOB_QUEUE", job->queue);
    set_number(&environment, "REEVE_JOB_ATTEMPT", job->attempt);
    set_number(&environment, "REEVE_JOB_FENCE",
               job->attempt); // the attempt only grows: it is the fencing number [job-4]
    set_number(&environment, "REEVE_JOB_ACK_FD", GUARD_ACK_FD);
    set(&environment, "REEVE_JOB_RECONCILE", reconciling ? "1" : NULL);
    set_checkpoint(&environment, job->checkpoint);
    if (environment.err != REEVE_OK) {
        reeve_strv_done(&environment.list);
        return environment.err == REEVE_LIMIT ? environment.err
                                              : reeve_fail(why, environment.err, "the environment can't be made");
    }
    *ret = environment.list;
    return REEVE_OK;
}

enum reeve_err environment_input(const struct command *command, const struct reeve_value *payload, char **ret,
                                 size_t *ret_len, struct reeve_why *why)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    const enum reeve_kind kind = reeve_value_kind(payload);
    size_t len = 0;
    *ret = NULL;
    *ret_len = 0;
    if (command->input == INPUT_NONE) {
        return REEVE_OK;
    }
    if (command->input == INPUT_JSON && payload == NULL) {
        reeve_buf_puts(&text, "null\n");
    } else if (command->input == INPUT_JSON) {
        enum reeve_err err = reeve_json_write(payload, 0, &text);
        if (err != REEVE_OK) {
            return reeve_fail(why, err, "the payload can't be written as JSON");
        }
        reeve_buf_puts(&text, "\n");
    } else if (kind == REEVE_STR || kind == REEVE_BIN) {
        const void *data = reeve_value_data(payload, &len);
        reeve_buf_append(&text, data, len);
    } else if (kind != REEVE_NULL) {
        return reeve_fail(why, REEVE_INVALID, "`stdin: raw` takes a payload that is text or binary, not a %s",
                          reeve_kind_text(kind));
    }
    *ret = reeve_buf_take(&text, ret_len);
    return *ret == NULL || text.err != REEVE_OK ? reeve_fail(why, REEVE_NOMEM, "no memory for the payload") : REEVE_OK;
}
