// Ops on alarms: list them, acknowledge one. An acknowledged alarm stays open: it closes when its cause is gone.
// Must not: close anything.
#include "alarm_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_BYTES_MAX (512u << 10) // of one reply
#define NEAR_MAX       1000         // names that are compared for "did you mean"

struct alarms_args {
    char *kind;
    bool open_only;
    int64_t offset, limit;
};
static const struct reeve_field alarms_fields[] = {
    {.name = "kind",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct alarms_args, kind),
     .min = 1,
     .max = REEVE_NAME_LEN_MAX,
     .doc = "Of this kind; globs are allowed."},
    {.name = "open_only",
     .type = REEVE_FIELD_BOOL,
     .offset = offsetof(struct alarms_args, open_only),
     .preset = "false",
     .doc = "Only those that nobody has acknowledged."},
    {.name = "offset",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct alarms_args, offset),
     .min = 0,
     .max = 2LL * ALARMS_MAX,
     .preset = "0",
     .doc = "So many are passed over."},
    {.name = "limit",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct alarms_args, limit),
     .min = 1,
     .max = 500,
     .preset = "200",
     .doc = "So many at most."},
};
const struct reeve_record op_alarms_args = REEVE_RECORD("alarms", struct alarms_args, alarms_fields,
                                                        "Which alarms are listed, errors first, then the newest.");

struct acknowledge_args {
    char *kind, *subject, *by, *note;
};
static const struct reeve_field acknowledge_fields[] = {
    {.name = "kind",
     .type = REEVE_FIELD_NAME,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = offsetof(struct acknowledge_args, kind),
     .doc = "Kind of the alarm."},
    {.name = "subject",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = offsetof(struct acknowledge_args, subject),
     .min = 1,
     .max = 2 * REEVE_NAME_LEN_MAX + 1,
     .doc = "Its subject as listed, or `node/worker`."},
    {.name = "by",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = offsetof(struct acknowledge_args, by),
     .min = 1,
     .max = 128,
     .doc = "The person who has seen it."},
    {.name = "note",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct acknowledge_args, note),
     .min = 1,
     .max = 1000,
     .doc = "What that person has to say about it."},
};

static bool blank(const char *text)
{
    return text[strspn(text, " \t\r\n\xc2\xa0")] == '\0';
}

static void check_person(const void *object, const struct reeve_value *value, const char *path,
                         struct reeve_errors *errors)
{
    const struct acknowledge_args *args = object;
    char place[REEVE_PATH_SIZE];
    if (args->by != NULL && blank(args->by)) {
        reeve_errors_add(errors, reeve_value_get(value, "by"), reeve_path_join(place, path, "by"),
                         "is blank, expected the name of a person");
    }
}

const struct reeve_record op_acknowledge_args = {.name = "acknowledge",
                                                 .size = sizeof(struct acknowledge_args),
                                                 .fields = acknowledge_fields,
                                                 .fields_len = REEVE_ARRAY_LEN(acknowledge_fields),
                                                 .doc = "Which alarm, and who has seen it.",
                                                 .check = check_person};

// ---- listing ----------------------------------------------------------------------------------------------------

struct row {
    const struct alarm *alarm;
};

static int compare(const void *a, const void *b)
{
    const struct alarm *x = ((const struct row *)a)->alarm;
    const struct alarm *y = ((const struct row *)b)->alarm;
    if (x->severity != y->severity) {
        return x->severity > y->severity ? -1 : 1;
    }
    if (x->opened_at != y->opened_at) {
        return x->opened_at > y->opened_at ? -1 : 1;
    }
    int kinds = strcmp(x->kind, y->kind);
    return kinds != 0 ? kinds : strcmp(x->subject, y->subject);
}

// Borrowed, in order; the caller frees the array. NULL when out of memory.
static struct row *sorted(const struct alarms *alarms, const struct alarms_args *args, size_t *ret_len)
{
    struct row *list = calloc(reeve_map_len(alarms->map) + 1, sizeof *list);
    *ret_len = 0;
    for (struct reeve_map_iter it = {0}; list != NULL && reeve_map_next(alarms->map, &it);) {
        const struct alarm *alarm = it.value;
        bool meant = (args->kind == NULL || reeve_glob_match(args->kind, alarm->kind)) &&
                     !(args->open_only && alarm->acknowledged_by != NULL);
        if (meant) {
            list[(*ret_len)++].alarm = alarm;
        }
    }
    if (list != NULL) {
        qsort(list, *ret_len, sizeof *list, compare);
    }
    return list;
}

struct reeve_value *alarms_value(const struct alarms *alarms)
{
    const struct alarms_args all = {0};
    size_t len;
    struct row *list = sorted(alarms, &all, &len);
    struct reeve_value *values = list != NULL ? reeve_value_list() : NULL;
    for (size_t i = 0; values != NULL && i < len; i++) {
        (void)reeve_value_add(values, alarm_value(alarms, list[i].alarm)); /* remembered: reeve_value_built() */
    }
    free(list);
    return values;
}

// As many from `offset` on as are asked for and fit into a reply.
static struct reeve_value *page(const struct alarms *alarms, const struct alarms_args *args, const struct row *list,
                                size_t len)
{
    struct reeve_value *values = reeve_value_list();
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(LIST_BYTES_MAX);
    for (size_t i = (size_t)args->offset; i < len && i < (size_t)(args->offset + args->limit); i++) {
        struct reeve_value *value = alarm_value(alarms, list[i].alarm);
        if (reeve_msgpack_write(value, &bytes) != REEVE_OK) {
            reeve_value_free(value);
            break;
        }
        (void)reeve_value_add(values, value); /* remembered: reeve_value_built() */
    }
    return values;
}

enum reeve_err op_alarms_run(struct call *call, struct reeve_why *why)
{
    const struct alarms *alarms = call->manager->alarms;
    const struct alarms_args *args = call->args;
    size_t len;
    struct row *list = sorted(alarms, args, &len);
    if (list == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    struct reeve_value *values = page(alarms, args, list, len);
    size_t shown = reeve_value_len(values);
    struct reeve_value *result = reeve_value_map();
    free(list);
    reeve_put_int(result, "total", (int64_t)len);
    reeve_put_int(result, "offset", args->offset);
    (void)reeve_value_put(result, "alarms", values); /* remembered: reeve_value_built() */
    return call_done(call, result, "%zu of %zu alarm%s", shown, len, len == 1 ? "" : "s");
}

// ---- acknowledging ----------------------------------------------------------------------------------------------

// As listed, or `node/worker`.
static struct alarm *find_said(const struct alarms *alarms, const struct acknowledge_args *args)
{
    char name[REEVE_NAME_SIZE];
    char node[REEVE_NAME_SIZE];
    const char *slash = strchr(args->subject, '/');
    if (slash == NULL) {
        return alarm_find(alarms, args->kind, args->subject);
    }
    (void)snprintf(node, sizeof node, "%.*s", (int)(slash - args->subject), args->subject); /* cut = not found */
    return alarm_find(alarms, args->kind, alarm_subject(node, slash + 1, name));
}

static enum reeve_err no_such_alarm(const struct alarms *alarms, const struct acknowledge_args *args,
                                    struct reeve_why *why)
{
    char said[ALARM_KEY_SIZE * 2];
    const char **names = calloc(NEAR_MAX + 1, sizeof *names);
    size_t len = 0;
    for (struct reeve_map_iter it = {0}; names != NULL && len < NEAR_MAX && reeve_map_next(alarms->map, &it);) {
        names[len++] = it.key;
    }
    (void)snprintf(said, sizeof said, "%s/%s", args->kind, args->subject); /* bounded by the table */
    enum reeve_err err =
        names != NULL ? not_found(why, "open alarm", said, names) : reeve_fail(why, REEVE_NOMEM, "out of memory");
    free(names);
    return err;
}

static struct reeve_value *acknowledged_value(const struct alarms *alarms, const struct alarm *alarm)
{
    struct reeve_value *result = reeve_value_map();
    (void)reeve_value_put(result, "alarm", alarm_value(alarms, alarm)); /* remembered: reeve_value_built() */
    return result;
}

enum reeve_err op_acknowledge_run(struct call *call, struct reeve_why *why)
{
    struct alarms *alarms = call->manager->alarms;
    const struct acknowledge_args *args = call->args;
    struct alarm *alarm = find_said(alarms, args);
    if (alarm == NULL) {
        return no_such_alarm(alarms, args, why);
    }
    if (call->command.dry_run) {
        return call_done(call, acknowledged_value(alarms, alarm), "%s would acknowledge %s of %s", args->by,
                         alarm->kind, alarm->subject);
    }
    char *by = strdup(args->by);
    char *note = args->note != NULL ? strdup(args->note) : NULL;
    if (by == NULL || (args->note != NULL && note == NULL)) {
        free(by);
        free(note);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    free(alarm->acknowledged_by);
    free(alarm->note);
    alarm->acknowledged_by = by;
    alarm->note = note;
    alarm->acknowledged_at = reeve_clock_wall_ms();
    alarm->changed_at = alarm->acknowledged_at;
    char quoted[300];
    reeve_log(REEVE_LOG_INFO, "alarm", "kind=%s subject=%s state=acknowledged by=%s", alarm->kind, alarm->subject,
              reeve_log_quote(by, quoted, sizeof quoted));
    alarm_show(alarms, alarm);
    return call_done(call, acknowledged_value(alarms, alarm),
                     "%s of %s is acknowledged by %s; it stays open until it is over", alarm->kind, alarm->subject, by);
}
