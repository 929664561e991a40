// The record table of `probes`: how a program that does not speak Reeve is asked from outside.
// Must not: ask; the daemon does.
#include "spec_internal.h"

#include <stdio.h>
#include <string.h>

#define INTERVAL_MIN 100
#define DAY_MS       (INT64_C(24) * 3600 * 1000)
#define URL_MAX      1024

#define AT(member) offsetof(struct reeve_spec_probe, member)
static const struct reeve_field probe_fields[] = {
    {.name = "name",
     .type = REEVE_FIELD_NAME,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(name),
     .doc = "Name of the check in the process record."},
    {.name = "tcp",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_SCALAR_OK,
     .offset = AT(tcp),
     .min = 1,
     .max = REEVE_ENDPOINT_HOST_SIZE,
     .doc = "`host:port`, or a port of 127.0.0.1: good when a connection is accepted."},
    {.name = "http",
     .type = REEVE_FIELD_STR,
     .offset = AT(http),
     .min = 1,
     .max = URL_MAX,
     .doc = "`http://host:port/path`: good when GET answers 200 to 399, or `status`."},
    {.name = "status",
     .type = REEVE_FIELD_INT,
     .offset = AT(status),
     .min = 0,
     .max = 599,
     .preset = "0",
     .doc = "With `http`: the one status that is good. 0 = any from 200 to 399."},
    {.name = "exec",
     .type = REEVE_FIELD_STRV,
     .flags = REEVE_FIELD_SCALAR_OK | REEVE_FIELD_LIST_ONLY,
     .offset = AT(exec),
     .min = 1,
     .max = 64,
     .doc = "Program and arguments, run as the worker's user: good when it ends with exit code 0."},
    {.name = "interval",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(interval_ms),
     .min = INTERVAL_MIN,
     .max = DAY_MS,
     .preset = "10s",
     .doc = "From the end of one try to the next."},
    {.name = "timeout",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(timeout_ms),
     .min = 10,
     .max = 600000,
     .preset = "2s",
     .doc = "A try that takes longer has failed; of `exec` the whole process group is killed."},
    {.name = "threshold",
     .type = REEVE_FIELD_INT,
     .offset = AT(threshold),
     .min = 1,
     .max = 1000,
     .preset = "3",
     .doc = "Failures in a row until the check counts as failing. One success makes it good again."},
    {.name = "start_after",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(start_after_ms),
     .min = 0,
     .max = DAY_MS,
     .preset = "0",
     .doc = "First try this long after the run is ready."},
};
#undef AT

static bool given(const struct reeve_value *map, const char *key)
{
    return reeve_value_kind(reeve_value_get(map, key)) != REEVE_NULL;
}

static void check_address(const char *text, const struct reeve_value *value, const char *path, const char *key,
                          struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    char host[REEVE_ENDPOINT_HOST_SIZE];
    int64_t port;
    const char *rest;
    struct reeve_why why = {0};
    enum reeve_err err = REEVE_OK;
    if (text != NULL) {
        err = strcmp(key, "http") == 0 ? reeve_http_url_parse(text, host, &port, &rest, &why)
                                       : reeve_endpoint_parse(text, host, &port, &why);
    }
    if (err != REEVE_OK) {
        reeve_errors_add(errors, reeve_value_get(value, key), reeve_path_join(buf, path, key), "%s", why.text);
    }
}

static void check_probe(const void *object, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors)
{
    const struct reeve_spec_probe *probe = object;
    char buf[REEVE_PATH_SIZE];
    const int kinds = given(value, "tcp") + given(value, "http") + given(value, "exec");
    if (kinds != 1) {
        reeve_errors_add(errors, value, path, "has %s, expected exactly one of tcp, http and exec",
                         kinds == 0 ? "nothing to ask" : "several things to ask");
    }
    check_address(probe->tcp, value, path, "tcp", errors);
    check_address(probe->http, value, path, "http", errors);
    if (probe->status != 0 && !given(value, "http")) {
        reeve_errors_add(errors, reeve_value_get(value, "status"), reeve_path_join(buf, path, "status"),
                         "only counts with http, which is not given");
    } else if (probe->status != 0 && probe->status < 100) {
        reeve_errors_add(errors, reeve_value_get(value, "status"), reeve_path_join(buf, path, "status"),
                         "is no HTTP status, expected 100 to 599, or 0");
    }
    if (probe->exec.len > 0 && probe->exec.items[0][0] == '\0') {
        reeve_errors_add(errors, reeve_value_get(value, "exec"), reeve_path_join(buf, path, "exec[0]"),
                         "is empty, expected a program");
    }
}

const struct reeve_record reeve_spec_probe_record = {
    .name = "probe",
    .size = sizeof(struct reeve_spec_probe),
    .fields = probe_fields,
    .fields_len = REEVE_ARRAY_LEN(probe_fields),
    .doc = "A question to a program from outside.",
    .check = check_probe,
};

void reeve_spec_probes_check(const struct reeve_records *probes, const struct reeve_value *value, const char *path,
                             struct reeve_errors *errors)
{
    const struct reeve_spec_probe *items = probes->items;
    for (size_t i = 0; i < probes->len; i++) {
        for (size_t j = 0; j < i; j++) {
            if (items[i].name != NULL && reeve_str_eq(items[i].name, items[j].name)) {
                char name[48];
                char buf[REEVE_PATH_SIZE];
                (void)snprintf(name, sizeof(name), "probes[%zu].name", i);
                reeve_errors_add(errors, reeve_value_at(value, i), reeve_path_join(buf, path, name),
                                 "%s is the name of probes[%zu] as well", items[i].name, j);
                break;
            }
        }
    }
}
