// The record table of a worker spec and its rules across fields: what can be written, bounds, presets, documentation.
// Must not: look at the host; a spec is checked where it is written and may run elsewhere.
#include "spec_internal.h"

#include <reeve/units.h>

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#define DURATION_MAX     (INT64_C(366) * 24 * 3600 * 1000) // longer is a mistyped unit
#define MEMORY_LIMIT_MIN (INT64_C(1) << 20)                // below it no program gets as far as main()
#define TEXT_MAX         4096                              // a path
#define LEASE_MIN        1000                              // ms: a third of it is a heartbeat
#define LABELS_MAX       32 // labels travel in the retained status, which has 8 KiB [topic-5]
#define LABEL_LEN_MAX    63

static const struct reeve_choice desired_choices[] = {
    {"running", REEVE_DESIRED_RUNNING},
    {"stopped", REEVE_DESIRED_STOPPED},
    {NULL, 0},
};
static const struct reeve_choice policy_choices[] = {
    {"always", REEVE_RESTART_ALWAYS},
    {"on-failure", REEVE_RESTART_ON_FAILURE},
    {"never", REEVE_RESTART_NEVER},
    {NULL, 0},
};
static const struct reeve_choice ready_choices[] = {
    {"immediate", REEVE_READY_IMMEDIATE},
    {"notify", REEVE_READY_NOTIFY},
    {"log", REEVE_READY_LOG},
    {"tcp", REEVE_READY_TCP},
    {NULL, 0},
};

// ---- restart ----------------------------------------------------------------------------------------

// A unit test holds these presets against REEVE_BACKOFF_PRESET.
#define AT(member) offsetof(struct reeve_spec_restart, member)
static const struct reeve_field restart_fields[] = {
    {.name = "policy",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(policy),
     .choices = policy_choices,
     .preset = "always",
     .doc = "Which ends start it again: every one, those with an exit code other than 0 or by a signal, or none. "
            "Exit code 125 means do not restart in any case."},
    {.name = "initial",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(initial_ms),
     .max = DURATION_MAX,
     .preset = "100ms",
     .doc = "Back-off after the first failure. 0 = at once, always."},
    {.name = "max",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(max_ms),
     .max = DURATION_MAX,
     .preset = "30s",
     .doc = "Longest back-off."},
    {.name = "factor",
     .type = REEVE_FIELD_REAL,
     .offset = AT(factor),
     .min = 1,
     .max = 100,
     .preset = "2",
     .doc = "Each further failure in a row multiplies the back-off by this."},
    {.name = "jitter",
     .type = REEVE_FIELD_REAL,
     .offset = AT(jitter),
     .min = 0,
     .max = 1,
     .preset = "0.1",
     .doc = "Share of the back-off by which it varies at random, so that many workers do not start in step."},
    {.name = "healthy",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(healthy_ms),
     .max = DURATION_MAX,
     .preset = "10s",
     .doc = "A run that lived this long forgets the failures before it."},
    {.name = "limit",
     .type = REEVE_FIELD_INT,
     .offset = AT(limit),
     .max = REEVE_BACKOFF_WINDOW_MAX,
     .preset = "10",
     .doc = "More ends than this within `window` and it has failed until `reset`. 0 = no limit."},
    {.name = "window",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(window_ms),
     .max = DURATION_MAX,
     .preset = "10m",
     .doc = "Time in which `limit` counts."},
};
#undef AT

static bool given(const struct reeve_value *map, const char *key)
{
    return reeve_value_kind(reeve_value_get(map, key)) != REEVE_NULL;
}

// An error about two fields, unless one of them is wrong by itself.
static bool sound(const struct reeve_errors *errors, const char *path, const char *key)
{
    char buf[REEVE_PATH_SIZE];
    return !reeve_errors_has(errors, reeve_path_join(buf, path, key));
}

static void check_restart(const void *object, const struct reeve_value *value, const char *path,
                          struct reeve_errors *errors)
{
    const struct reeve_spec_restart *restart = object;
    char buf[REEVE_PATH_SIZE];
    char initial[REEVE_UNITS_TEXT_LEN];
    char max[REEVE_UNITS_TEXT_LEN];
    if (restart->initial_ms > restart->max_ms && sound(errors, path, "initial") && sound(errors, path, "max")) {
        reeve_errors_add(errors, reeve_value_get(value, "initial"), reeve_path_join(buf, path, "initial"),
                         "%s is above max, which is %s: raise max as well",
                         reeve_duration_format(restart->initial_ms, initial),
                         reeve_duration_format(restart->max_ms, max));
    }
}

static const struct reeve_record restart_record = {
    .name = "restart",
    .size = sizeof(struct reeve_spec_restart),
    .fields = restart_fields,
    .fields_len = REEVE_ARRAY_LEN(restart_fields),
    .doc = "What happens when the worker ends without being asked to.",
    .check = check_restart,
};

// ---- stop, log --------------------------------------------------------------------------------------

#define AT(member) offsetof(struct reeve_spec_stop, member)
static const struct reeve_field stop_fields[] = {
    {.name = "signal",
     .type = REEVE_FIELD_CHOICE,
     .flags = REEVE_FIELD_SCALAR_OK,
     .offset = AT(signal),
     .choices = reeve_signal_choices,
     .preset = "SIGTERM",
     .doc = "Asks the worker to end. A name, with or without SIG, or a number."},
    {.name = "grace",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(grace_ms),
     .max = DURATION_MAX,
     .preset = "10s",
     .doc = "Time from the signal to SIGKILL for the whole process group."},
};
#undef AT
static const struct reeve_record stop_record =
    REEVE_RECORD("stop", struct reeve_spec_stop, stop_fields, "How the worker is asked to end.");

#define AT(member) offsetof(struct reeve_spec_log, member)
static const struct reeve_field log_fields[] = {
    {.name = "max_size",
     .type = REEVE_FIELD_SIZE,
     .offset = AT(max_size_bytes),
     .min = 4096,
     .max = INT64_C(1) << 40,
     .preset = "10M",
     .doc = "Size at which a log file is rotated."},
    {.name = "files",
     .type = REEVE_FIELD_INT,
     .offset = AT(files),
     .min = 1,
     .max = 100,
     .preset = "5",
     .doc = "Log files kept, the current one included."},
};
#undef AT
static const struct reeve_record log_record =
    REEVE_RECORD("log", struct reeve_spec_log, log_fields, "What is kept of the worker's output.");

// ---- ready ------------------------------------------------------------------------------------------

#define AT(member) offsetof(struct reeve_spec_ready, member)
static const struct reeve_field ready_fields[] = {
    {.name = "mode",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(mode),
     .choices = ready_choices,
     .preset = "immediate",
     .doc = "`immediate`: once it is started; `notify`: when it says so (sd_notify, or a line to the s6 descriptor); "
            "`log`, `tcp`: see there. Follows from `log` or `tcp` when it is not given."},
    {.name = "log",
     .type = REEVE_FIELD_STR,
     .offset = AT(log),
     .min = 1,
     .max = 256,
     .doc = "POSIX extended regular expression; ready when a line of its output matches."},
    {.name = "tcp",
     .type = REEVE_FIELD_INT,
     .offset = AT(tcp),
     .min = 1,
     .max = 65535,
     .doc = "Ready when 127.0.0.1 accepts a connection on this port."},
    {.name = "timeout",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(timeout_ms),
     .min = 1,
     .max = DURATION_MAX,
     .preset = "30s",
     .doc = "A run that is not ready by then is ended and counts as a failure."},
};
#undef AT

static void check_regex(const struct reeve_spec_ready *ready, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    char text[128];
    regex_t regex;
    if (ready->log == NULL) {
        return;
    }
    int code = regcomp(&regex, ready->log, REG_EXTENDED | REG_NOSUB);
    if (code == 0) {
        regfree(&regex);
        return;
    }
    (void)regerror(code, &regex, text, sizeof(text));
    reeve_errors_add(errors, reeve_value_get(value, "log"), reeve_path_join(buf, path, "log"),
                     "is no regular expression (%s), expected one such as \"listening on .*:[0-9]+\"", text);
}

// `key` belongs to mode `mode`, and only to it.
static void check_ready_key(const struct reeve_spec_ready *ready, const struct reeve_value *value, const char *path,
                            const char *key, enum reeve_spec_ready_mode mode, struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    bool mode_given = given(value, "mode") && sound(errors, path, "mode");
    if (mode_given && ready->mode == (int)mode && !given(value, key)) {
        reeve_errors_add(errors, reeve_value_get(value, "mode"), reeve_path_join(buf, path, "mode"),
                         "is %s, but %s.%s is missing", key, "ready", key);
    }
    if (mode_given && ready->mode != (int)mode && given(value, key)) {
        reeve_errors_add(errors, reeve_value_get(value, key), reeve_path_join(buf, path, key),
                         "only counts with mode %s, which is %s", key, ready_choices[ready->mode].text);
    }
}

static void check_ready(const void *object, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors)
{
    const struct reeve_spec_ready *ready = object;
    char buf[REEVE_PATH_SIZE];
    check_regex(ready, value, path, errors);
    check_ready_key(ready, value, path, "log", REEVE_READY_LOG, errors);
    check_ready_key(ready, value, path, "tcp", REEVE_READY_TCP, errors);
    if (!given(value, "mode") && given(value, "log") && given(value, "tcp")) {
        reeve_errors_add(errors, reeve_value_get(value, "tcp"), reeve_path_join(buf, path, "tcp"),
                         "and log are both given: keep one of them");
    }
}

static const struct reeve_record ready_record = {
    .name = "ready",
    .size = sizeof(struct reeve_spec_ready),
    .fields = ready_fields,
    .fields_len = REEVE_ARRAY_LEN(ready_fields),
    .doc = "How a run shows that it is ready, which makes the state `running`.",
    .check = check_ready,
};

// ---- the worker ---------------------------------------------------------------------------------------

#define AT(member) offsetof(struct reeve_spec, member)
static const struct reeve_field spec_fields[] = {
    {.name = "name",
     .type = REEVE_FIELD_NAME,
     .offset = AT(name),
     .doc = "Name of the worker on its node. Without one the node makes `worker-{type}-{exchange}-{host}-{8 hex}`."},
    {.name = "type",
     .type = REEVE_FIELD_NAME,
     .offset = AT(type),
     .doc = "Kind of worker, for selectors; without `command` the program is `reeve-worker-{type}`."},
    {.name = "command",
     .type = REEVE_FIELD_STRV,
     .flags = REEVE_FIELD_SCALAR_OK | REEVE_FIELD_LIST_ONLY,
     .offset = AT(command),
     .min = 1,
     .max = 256,
     .doc = "Program and arguments, a list such as `[sleep, 10]`. No shell takes part; the program is a path or found "
            "in PATH."},
    {.name = "env",
     .type = REEVE_FIELD_MAP,
     .flags = REEVE_FIELD_SECRET,
     .offset = AT(env),
     .min = 0,
     .max = 256,
     .doc = "Environment variables on top of the daemon's clean environment."},
    {.name = "cwd",
     .type = REEVE_FIELD_STR,
     .offset = AT(cwd),
     .min = 1,
     .max = TEXT_MAX,
     .doc = "Working directory, absolute. Without one the worker gets a directory of its own."},
    {.name = "user",
     .type = REEVE_FIELD_STR,
     .offset = AT(user),
     .min = 1,
     .max = 64,
     .doc = "User to run as; the daemon must be allowed to."},
    {.name = "group",
     .type = REEVE_FIELD_STR,
     .offset = AT(group),
     .min = 1,
     .max = 64,
     .doc = "Group to run as. Without one the user's."},
    {.name = "exchange",
     .type = REEVE_FIELD_NAME,
     .offset = AT(exchange),
     .doc = "Exchange that the worker works on, for selectors and the generated name."},
    {.name = "capabilities",
     .type = REEVE_FIELD_STRV,
     .offset = AT(capabilities),
     .min = 0,
     .max = 64,
     .doc = "What the worker can do, for placement of jobs."},
    {.name = "labels",
     .type = REEVE_FIELD_MAP,
     .offset = AT(labels),
     .min = 0,
     .max = LABELS_MAX,
     .doc = "Free labels for selectors."},
    {.name = "attributes",
     .type = REEVE_FIELD_MAP,
     .offset = AT(attributes),
     .min = 0,
     .max = LABELS_MAX,
     .doc = "Fields of your own, for requirements such as `tier=gold` or `slots>=4`."},
    {.name = "pool", .type = REEVE_FIELD_NAME, .offset = AT(pool), .doc = "Pool that the worker belongs to."},
    {.name = "account", .type = REEVE_FIELD_NAME, .offset = AT(account), .doc = "Account that the worker works for."},
    {.name = "desired",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(desired),
     .choices = desired_choices,
     .preset = "running",
     .doc = "State that the node keeps it in."},
    {.name = "restart",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(restart),
     .record = &restart_record,
     .scalar_member = "policy",
     .doc = "What happens when it ends by itself."},
    {.name = "auto_restart",
     .type = REEVE_FIELD_BOOL,
     .offset = AT(auto_restart),
     .preset = "true",
     .doc = "Short for `restart`: true is `always`, false is `never`. Not together with `restart.policy`."},
    {.name = "stop",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(stop),
     .record = &stop_record,
     .scalar_member = "signal",
     .doc = "How it is asked to end."},
    {.name = "ttl",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(ttl_ms),
     .min = 1,
     .max = DURATION_MAX,
     .doc = "Makes the worker ephemeral: it is stopped this long after its first start, and then removed. "
            "Without it the worker stays."},
    {.name = "cleanup_delay",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(cleanup_delay_ms),
     .max = DURATION_MAX,
     .preset = "30s",
     .doc = "With `ttl`: time from the end of the worker to the removal of its record and logs."},
    {.name = "self_stop_after",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(self_stop_after_ms),
     .min = LEASE_MIN,
     .max = DURATION_MAX,
     .doc =
         "Makes the worker run under a lease: it starts only when a manager grants one, and the node ends it by itself "
         "when the lease was not renewed for this long. Without it the worker needs no manager."},
    {.name = "fence",
     .type = REEVE_FIELD_INT,
     .offset = AT(fence),
     .max = INT64_MAX,
     .preset = "0",
     .doc = "Fencing number of the lease, in the worker's environment as REEVE_FENCE: a resource that remembers the "
            "highest one "
            "refuses who comes with a lower one. `apply` with a lower one is refused."},
    {.name = "memory_limit",
     .type = REEVE_FIELD_SIZE,
     .offset = AT(memory_limit_bytes),
     .max = INT64_C(1) << 50,
     .preset = "0",
     .doc = "Memory of all its processes; above it the worker is killed. 0 = no limit."},
    {.name = "max_memory", .alias_of = "memory_limit"},
    {.name = "cpu_limit",
     .type = REEVE_FIELD_REAL,
     .offset = AT(cpu_limit),
     .max = 4096,
     .preset = "0",
     .doc = "Processor time in cores: 0.5 is half of one. 0 = no limit."},
    {.name = "max_pids",
     .type = REEVE_FIELD_INT,
     .offset = AT(max_pids),
     .max = 4194304,
     .preset = "0",
     .doc = "Processes and threads. 0 = no limit."},
    {.name = "nofile",
     .type = REEVE_FIELD_INT,
     .offset = AT(nofile),
     .max = 1048576,
     .preset = "0",
     .doc = "Open files per process (RLIMIT_NOFILE). 0 = as the daemon has."},
    {.name = "log",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(log),
     .record = &log_record,
     .doc = "What is kept of its output."},
    {.name = "ready",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(ready),
     .record = &ready_record,
     .scalar_member = "mode",
     .doc = "How it shows that it is ready."},
    {.name = "watchdog",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(watchdog_ms),
     .max = DURATION_MAX,
     .preset = "0",
     .doc = "With sd_notify: a run that says nothing for this long is ended and counts as a failure. 0 = off."},
    {.name = "probes",
     .type = REEVE_FIELD_RECORDS,
     .offset = AT(probes),
     .record = &reeve_spec_probe_record,
     .min = 0,
     .max = REEVE_SPEC_PROBES_MAX,
     .doc =
         "How a program that does not speak Reeve is asked whether it works. Results stand in its process record; the "
         "node does nothing about them."},
    {.name = "config",
     .type = REEVE_FIELD_VALUE,
     .flags = REEVE_FIELD_SECRET,
     .offset = AT(config),
     .doc = "Handed to the worker as it is. In a file with `worker:` every other top-level key becomes a part of it."},
};
#undef AT

static void check_program(const struct reeve_spec *spec, const struct reeve_value *value, const char *path,
                          struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    if (!given(value, "type") && !given(value, "command")) {
        reeve_errors_add(errors, value, path,
                         "has neither type nor command, expected for example command: [sleep, 10]");
    }
    if (spec->command.len > 0 && spec->command.items[0][0] == '\0') {
        reeve_errors_add(errors, reeve_value_at(reeve_value_get(value, "command"), 0),
                         reeve_path_join(buf, path, "command[0]"), "is empty, expected a program");
    }
    if (spec->cwd != NULL && spec->cwd[0] != '/') {
        reeve_errors_add(errors, reeve_value_get(value, "cwd"), reeve_path_join(buf, path, "cwd"),
                         "is relative, expected an absolute path such as /srv/worker");
    }
}

static bool env_name_valid(const char *name)
{
    if (!isalpha((unsigned char)name[0]) && name[0] != '_') {
        return false;
    }
    for (; *name != '\0'; name++) {
        if (!isalnum((unsigned char)*name) && *name != '_') {
            return false;
        }
    }
    return true;
}

static void check_env(const struct reeve_value *env, const char *path, struct reeve_errors *errors)
{
    char map_path[REEVE_PATH_SIZE];
    char buf[REEVE_PATH_SIZE];
    (void)reeve_path_join(map_path, path, "env");
    if (reeve_value_kind(env) != REEVE_MAP) {
        return;
    }
    for (size_t i = 0; i < reeve_value_len(env); i++) {
        const char *name = reeve_value_key(env, i);
        if (!env_name_valid(name)) {
            reeve_errors_add_at(errors, reeve_value_key_mark(env, i), reeve_path_join(buf, map_path, name),
                                "is no name of a variable, expected letters, digits and _, no digit first");
        }
    }
}

// One word that can stand in a selector: no white space, nothing to escape.
static bool word_valid(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f || text[i] == ',' || text[i] == '=') {
            return false;
        }
    }
    return len > 0 && len <= LABEL_LEN_MAX;
}

// Labels and attributes: `value` is what was given, `words` what was decoded of it.
static void check_words(const struct reeve_value *words, const struct reeve_value *value, const char *path,
                        const char *key, struct reeve_errors *errors)
{
    char map_path[REEVE_PATH_SIZE];
    char buf[REEVE_PATH_SIZE];
    const struct reeve_value *given_map = reeve_value_get(value, key);
    (void)reeve_path_join(map_path, path, key);
    for (size_t i = 0; i < reeve_value_len(words); i++) {
        const char *name = reeve_value_key(words, i);
        const char *text = reeve_value_text(reeve_value_at(words, i));
        if (!word_valid(name)) {
            reeve_errors_add_at(errors, reeve_value_key_mark(given_map, i), reeve_path_join(buf, map_path, name),
                                "is no %s, expected 1 to %d characters without space, ',' and '='",
                                key[0] == 'l' ? "label" : "attribute", LABEL_LEN_MAX);
        } else if (!word_valid(text)) {
            reeve_errors_add(errors, reeve_value_at(given_map, i), reeve_path_join(buf, map_path, name),
                             "has no usable value, expected 1 to %d characters without space, ',' and '='",
                             LABEL_LEN_MAX);
        }
    }
}

static void check_capabilities(const struct reeve_spec *spec, const struct reeve_value *value, const char *path,
                               struct reeve_errors *errors)
{
    for (size_t i = 0; i < spec->capabilities.len; i++) {
        char name[48];
        char buf[REEVE_PATH_SIZE];
        const struct reeve_value *list = reeve_value_get(value, "capabilities");
        const struct reeve_value *entry = reeve_value_kind(list) == REEVE_LIST ? reeve_value_at(list, i) : list;
        if (!word_valid(spec->capabilities.items[i])) {
            (void)snprintf(name, sizeof(name), "capabilities[%zu]", i);
            reeve_errors_add(errors, entry, reeve_path_join(buf, path, name),
                             "is no capability, expected 1 to %d characters without space, ',' and '='", LABEL_LEN_MAX);
        }
    }
}

static void check_restart_spelling(const struct reeve_value *value, const char *path, struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    const struct reeve_value *restart = reeve_value_get(value, "restart");
    enum reeve_kind kind = reeve_value_kind(restart);
    bool policy = kind == REEVE_STR || (kind == REEVE_MAP && given(restart, "policy"));
    if (policy && given(value, "auto_restart")) {
        reeve_errors_add(errors, reeve_value_get(value, "auto_restart"), reeve_path_join(buf, path, "auto_restart"),
                         "says the same as restart.policy, which is given too: keep one of them");
    }
}

static void check_limits(const struct reeve_spec *spec, const struct reeve_value *value, const char *path,
                         struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    char text[REEVE_UNITS_TEXT_LEN];
    const char *key = given(value, "max_memory") ? "max_memory" : "memory_limit";
    if (spec->memory_limit_bytes > 0 && spec->memory_limit_bytes < MEMORY_LIMIT_MIN) {
        reeve_errors_add(errors, reeve_value_get(value, key), reeve_path_join(buf, path, key),
                         "%s is too little for any program, expected at least 1M, or 0 for no limit",
                         reeve_size_format(spec->memory_limit_bytes, text));
    }
    if (given(value, "cleanup_delay") && !given(value, "ttl")) {
        reeve_errors_warn(errors, reeve_value_get(value, "cleanup_delay"), reeve_path_join(buf, path, "cleanup_delay"),
                          "only counts with ttl, which is not given");
    }
}

// A fence alone is a number that nothing watches over; allowed, since `acquire` gives one as well.
static void check_lease(const struct reeve_spec *spec, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    if (spec->self_stop_after_ms > 0 && spec->fence == 0 && sound(errors, path, "fence")) {
        reeve_errors_warn(errors, reeve_value_get(value, "self_stop_after"),
                          reeve_path_join(buf, path, "self_stop_after"),
                          "is given without a fence: whoever renews the lease has to name fence 0");
    }
}

static void check_spec(const void *object, const struct reeve_value *value, const char *path,
                       struct reeve_errors *errors)
{
    const struct reeve_spec *spec = object;
    char buf[REEVE_PATH_SIZE];
    check_program(spec, value, path, errors);
    check_env(reeve_value_get(value, "env"), path, errors);
    check_words(spec->labels, value, path, "labels", errors);
    check_words(spec->attributes, value, path, "attributes", errors);
    check_lease(spec, value, path, errors);
    reeve_spec_probes_check(&spec->probes, reeve_value_get(value, "probes"), path, errors);
    check_capabilities(spec, value, path, errors);
    check_restart_spelling(value, path, errors);
    check_limits(spec, value, path, errors);
    if (spec->config != NULL && reeve_value_kind(spec->config) != REEVE_MAP) {
        reeve_errors_add(errors, reeve_value_get(value, "config"), reeve_path_join(buf, path, "config"),
                         "%s given, expected a map", reeve_kind_text(reeve_value_kind(spec->config)));
    }
}

const struct reeve_record reeve_spec_record = {
    .name = "worker",
    .size = sizeof(struct reeve_spec),
    .fields = spec_fields,
    .fields_len = REEVE_ARRAY_LEN(spec_fields),
    .doc = "What a worker is and how it is to be run.",
    .check = check_spec,
};
