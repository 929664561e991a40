// Alarms: opened, counted, renewed, closed; kept in the store, retained while open. See alarm.h.
// Must not: decide that something is wrong, other than that nobody says so any more.
#include "alarm_room.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE  400
#define SUBJECT_PLAIN 46 // of a subject that is cut: the rest is a dash and 16 digits
#define DUPLICATE     "duplicate"

static const struct reeve_choice severities[] = {{"warning", ALARM_WARNING}, {"error", ALARM_ERROR}, {NULL, 0}};

// ---- names ------------------------------------------------------------------------------------------------------

static const char *digested(const char *text, const char *whole, char buf[REEVE_NAME_SIZE])
{
    char name[REEVE_NAME_SIZE];
    (void)reeve_name_from(text, name);
    (void)snprintf(buf, REEVE_NAME_SIZE, "%.*s-%016llx", SUBJECT_PLAIN, name,
                   (unsigned long long)reeve_hash64(whole, strlen(whole)));
    return buf;
}

const char *alarm_subject(const char *node, const char *worker, char buf[REEVE_NAME_SIZE])
{
    char pair[2 * REEVE_NAME_SIZE];
    char whole[2 * REEVE_NAME_SIZE];
    (void)snprintf(pair, sizeof pair, "%s_%s", node, worker); /* names fit */
    (void)snprintf(whole, sizeof whole, "%s/%s", node, worker);
    // a_b of c and b_c of a would be the same: what is ambiguous is told apart by its digest.
    if (strlen(pair) > REEVE_NAME_LEN_MAX || strchr(node, '_') != NULL || reeve_name_check(pair, NULL) != REEVE_OK) {
        return digested(pair, whole, buf);
    }
    (void)snprintf(buf, REEVE_NAME_SIZE, "%s", pair);
    return buf;
}

static const char *valid_subject(const char *subject, char buf[REEVE_NAME_SIZE])
{
    if (reeve_name_check(subject, NULL) != REEVE_OK) {
        return digested(subject, subject, buf);
    }
    (void)snprintf(buf, REEVE_NAME_SIZE, "%s", subject);
    return buf;
}

static const char *key_of(const char *kind, const char *subject, char buf[ALARM_KEY_SIZE])
{
    (void)snprintf(buf, ALARM_KEY_SIZE, "%s/%s", kind, subject); /* names fit */
    return buf;
}

struct alarm *alarm_find(const struct alarms *alarms, const char *kind, const char *subject)
{
    char key[ALARM_KEY_SIZE];
    return reeve_map_get(alarms->map, key_of(kind, subject, key));
}

// ---- records ----------------------------------------------------------------------------------------------------

struct reeve_value *alarm_value(const struct alarms *alarms, const struct alarm *alarm)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "kind", alarm->kind);
    reeve_put_str(value, "subject", alarm->subject);
    reeve_put_str(value, "severity", severities[alarm->severity].text);
    reeve_put_str(value, "message", alarm->message);
    reeve_put_int(value, "count", alarm->count);
    reeve_put_int(value, "opened_at", alarm->opened_at);
    reeve_put_int(value, "changed_at", alarm->changed_at);
    if (alarm->acknowledged_by != NULL) {
        reeve_put_str(value, "acknowledged_by", alarm->acknowledged_by);
        reeve_put_int(value, "acknowledged_at", alarm->acknowledged_at);
        reeve_put_str_opt(value, "note", alarm->note);
    }
    if (alarm->detail != NULL) {
        (void)reeve_value_put(value, "detail", reeve_value_clone(alarm->detail)); /* remembered: reeve_value_built() */
    }
    reeve_put_str(value, "manager", alarms->manager->config.manager.name); // whose it is to remove
    return value;
}

static void publish(struct alarms *alarms, const struct alarm *alarm, struct reeve_value *value)
{
    char topic[REEVE_TOPIC_SIZE];
    (void)snprintf(topic, sizeof topic, "alarm/%s/%s", alarm->kind, alarm->subject); /* names fit */
    manager_publish(alarms->manager, LEAVING_RECORD, topic, value, 0);
}

void alarm_show(struct alarms *alarms, struct alarm *alarm)
{
    char key[ALARM_KEY_SIZE];
    REEVE_VALUE_AUTO document = alarm_value(alarms, alarm);
    reeve_put_int(document, "owned", alarm->owned ? alarms->manager->started_at : 0);
    reeve_put_bool(document, "reported", alarm->reported);
    (void)store_put(alarms->manager->store, STORE_ALARM, key_of(alarm->kind, alarm->subject, key), document,
                    NULL); /* a failure breaks the turn: all of it is loaded anew */
    publish(alarms, alarm, alarm_value(alarms, alarm));
    alarm->shown_mono = reeve_clock_mono_ms();
    alarm->due_mono = 0;
}

static void show_by(struct alarms *alarms, struct alarm *alarm, int64_t interval_ms)
{
    int64_t due = alarm->shown_mono + interval_ms;
    if (reeve_clock_mono_ms() >= due) {
        alarm_show(alarms, alarm);
    } else if (alarm->due_mono == 0 || due < alarm->due_mono) {
        alarm->due_mono = due;
    }
}

static void alarm_free(void *arg)
{
    struct alarm *alarm = arg;
    if (alarm != NULL) {
        free(alarm->message);
        free(alarm->acknowledged_by);
        free(alarm->note);
        reeve_value_free(alarm->detail);
        free(alarm);
    }
}

static void log_alarm(const struct alarm *alarm, const char *state)
{
    char quoted[MESSAGE_SIZE + 32];
    reeve_log(alarm->severity == ALARM_ERROR && strcmp(state, "opened") == 0 ? REEVE_LOG_ERROR : REEVE_LOG_INFO,
              "alarm", "kind=%s subject=%s state=%s severity=%s message=%s", alarm->kind, alarm->subject, state,
              severities[alarm->severity].text, reeve_log_quote(alarm->message, quoted, sizeof quoted));
}

// ---- opening ----------------------------------------------------------------------------------------------------

static void refuse(struct alarms *alarms, const char *kind, const char *subject)
{
    alarms->refused++;
    if (!alarms->full) {
        alarms->full = true;
        reeve_log(REEVE_LOG_ERROR, "alarm", "kind=%s subject=%s refused: %zu are open, the bound is %d", kind, subject,
                  reeve_map_len(alarms->map), ALARMS_MAX);
    }
}

static struct alarm *add(struct alarms *alarms, const char *kind, const char *subject)
{
    char key[ALARM_KEY_SIZE];
    struct alarm *alarm = calloc(1, sizeof *alarm);
    if (alarm == NULL || reeve_map_put(alarms->map, key_of(kind, subject, key), alarm, NULL) != REEVE_OK) {
        free(alarm);
        return NULL;
    }
    (void)snprintf(alarm->kind, sizeof alarm->kind, "%s", kind);          /* checked */
    (void)snprintf(alarm->subject, sizeof alarm->subject, "%s", subject); /* checked */
    alarm->opened_at = reeve_clock_wall_ms();
    alarm->changed_at = alarm->opened_at;
    return alarm;
}

// A detail beyond the bound is left out, so that the record fits.
static struct reeve_value *bounded(struct reeve_value *detail)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(ALARM_DETAIL_MAX);
    if (detail != NULL && (reeve_value_built(detail) != REEVE_OK || reeve_msgpack_write(detail, &buf) != REEVE_OK)) {
        reeve_value_free(detail);
        detail = reeve_value_map();
        reeve_put_bool(detail, "left_out", true);
    }
    return detail;
}

struct news { // what somebody says of an alarm
    const char *kind, *subject, *message;
    enum alarm_severity severity;
    struct reeve_value *detail; // taken
};

// Whether something else than the count changed. Takes the detail.
static bool take_news(struct alarm *alarm, const struct news *news)
{
    bool changed = false;
    if (!reeve_str_eq(alarm->message, news->message)) {
        char *message = strdup(news->message);
        if (message != NULL) { // else the former text stays
            free(alarm->message);
            alarm->message = message;
            changed = true;
        }
    }
    struct reeve_value *detail = bounded(news->detail);
    if (!reeve_value_equal(alarm->detail, detail)) {
        reeve_value_free(alarm->detail);
        alarm->detail = detail;
        changed = true;
    } else {
        reeve_value_free(detail);
    }
    return changed;
}

// Somebody has seen the lesser one, not this one.
static bool take_severity(struct alarm *alarm, enum alarm_severity severity)
{
    bool changed = alarm->severity != severity;
    if (severity > alarm->severity) {
        free(alarm->acknowledged_by);
        alarm->acknowledged_by = NULL;
        free(alarm->note);
        alarm->note = NULL;
    }
    alarm->severity = severity;
    return changed;
}

// The alarm, open and counted; NULL when there is no room. `ret_new`: it has to be shown by the caller's hand.
static struct alarm *raise_alarm(struct alarms *alarms, const struct news *news, bool *ret_new)
{
    struct alarm *alarm = alarm_find(alarms, news->kind, news->subject);
    *ret_new = alarm == NULL;
    if (alarm == NULL && reeve_map_len(alarms->map) < ALARMS_MAX) {
        alarm = add(alarms, news->kind, news->subject);
        if (alarm != NULL) {
            alarm->severity = news->severity;
        }
    }
    if (alarm == NULL) {
        refuse(alarms, news->kind, news->subject);
        reeve_value_free(news->detail);
        return NULL;
    }
    alarm->count++;
    bool changed = take_news(alarm, news);
    bool severity_changed = take_severity(alarm, news->severity);
    if (changed || severity_changed) {
        alarm->changed_at = reeve_clock_wall_ms();
    }
    if (severity_changed) {
        log_alarm(alarm, "changed");
        alarm->shown_mono = INT64_MIN / 2; // at once
    }
    if (!*ret_new) {
        show_by(alarms, alarm, changed || severity_changed ? ALARM_RENEW_MS : ALARM_COUNT_MS);
    }
    return alarm;
}

void alarm_open(struct manager *manager, const char *kind, const char *subject, enum alarm_severity severity,
                struct reeve_value *detail, const char *fmt, ...)
{
    char message[MESSAGE_SIZE];
    char name[REEVE_NAME_SIZE];
    bool is_new;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap); /* cut */
    va_end(ap);
    REEVE_ASSERT(reeve_name_check(kind, NULL) == REEVE_OK);
    const struct news news = {.kind = kind,
                              .subject = valid_subject(subject, name),
                              .message = message,
                              .severity = severity,
                              .detail = detail};
    struct alarm *alarm = raise_alarm(manager->alarms, &news, &is_new);
    if (alarm == NULL) {
        return;
    }
    bool taken_over = !alarm->owned && !is_new;
    alarm->owned = true;
    if (is_new) {
        log_alarm(alarm, "opened");
    }
    if (is_new || taken_over) {
        alarm_show(manager->alarms, alarm);
    }
}

// ---- closing ----------------------------------------------------------------------------------------------------

static void remove_alarm(struct alarms *alarms, struct alarm *alarm)
{
    char key[ALARM_KEY_SIZE];
    log_alarm(alarm, "closed");
    (void)key_of(alarm->kind, alarm->subject, key);
    (void)store_remove(alarms->manager->store, STORE_ALARM, key, NULL); /* as in alarm_show() */
    publish(alarms, alarm, NULL);
    alarms->full = false;
    alarm_free(reeve_map_remove(alarms->map, key));
}

void alarm_close(struct manager *manager, const char *kind, const char *subject)
{
    char name[REEVE_NAME_SIZE];
    struct alarm *alarm = alarm_find(manager->alarms, kind, valid_subject(subject, name));
    if (alarm == NULL || !alarm->owned) {
        return;
    }
    alarm->owned = false;
    if (alarm->reported) {
        alarm_show(manager->alarms, alarm);
    } else {
        remove_alarm(manager->alarms, alarm);
    }
}

bool alarm_is_open(const struct manager *manager, const char *kind, const char *subject)
{
    char name[REEVE_NAME_SIZE];
    return alarm_find(manager->alarms, kind, valid_subject(subject, name)) != NULL;
}

static void end_report(struct alarms *alarms, struct alarm *alarm)
{
    alarm->reported = false;
    if (alarm->owned) {
        alarm_show(alarms, alarm);
    } else {
        remove_alarm(alarms, alarm);
    }
}

void alarms_tick(struct alarms *alarms)
{
    int64_t now = reeve_clock_mono_ms();
    for (struct reeve_map_iter it = {0}; reeve_map_next(alarms->map, &it);) {
        struct alarm *alarm = it.value;
        if (alarm->reported && now - alarm->heard_mono >= ALARM_DUPLICATE_MS) {
            end_report(alarms, alarm);
        } else if (alarm->due_mono != 0 && now >= alarm->due_mono) {
            alarm_show(alarms, alarm);
        }
    }
}

// ---- what others report -----------------------------------------------------------------------------------------

// A daemon says it in words, a worker in numbers.
static const char *words_of(const struct reeve_value *record, const char *subject, char buf[MESSAGE_SIZE])
{
    const char *message = reeve_get_str(record, "message");
    const char *node = reeve_get_str(record, "node");
    if (message != NULL) {
        (void)snprintf(buf, MESSAGE_SIZE, "%s", message); /* cut */
    } else {
        (void)snprintf(buf, MESSAGE_SIZE,
                       "two workers on node %s hold the name %s; the one with the lower epoch has left",
                       node != NULL ? node : "?", subject);
    }
    return buf;
}

static struct reeve_value *detail_of(const struct reeve_value *record)
{
    static const char *const said[] = {"kind", "subject", "message", "at"};
    struct reeve_value *detail = reeve_value_clone(record);
    for (size_t i = 0; detail != NULL && i < REEVE_ARRAY_LEN(said); i++) {
        (void)reeve_value_remove(detail, said[i]); /* absent is fine */
    }
    return detail;
}

static void take_report(struct alarms *alarms, const char *subject, const struct reeve_value *record)
{
    char message[MESSAGE_SIZE];
    bool is_new;
    const struct news news = {.kind = DUPLICATE,
                              .subject = subject,
                              .message = words_of(record, subject, message),
                              .severity = ALARM_ERROR,
                              .detail = detail_of(record)};
    struct alarm *alarm = raise_alarm(alarms, &news, &is_new);
    if (alarm == NULL) {
        return;
    }
    alarm->reported = true;
    alarm->heard_mono = reeve_clock_mono_ms();
    if (is_new) {
        log_alarm(alarm, "opened");
    }
    alarm_show(alarms, alarm); // in any case: what the broker keeps now is theirs, and may expire
}

// What is kept under this manager's name and is not open is from a store that was lost or restored.
static void take_record(struct alarms *alarms, const struct reeve_topic *topic, const struct reeve_value *record,
                        bool retained)
{
    struct alarm *alarm = alarm_find(alarms, topic->client, topic->leaf);
    const char *manager = reeve_get_str(record, "manager");
    if (manager == NULL && strcmp(topic->client, DUPLICATE) == 0) {
        take_report(alarms, topic->leaf, record);
    } else if (retained && alarm == NULL && reeve_str_eq(manager, alarms->manager->config.manager.name)) {
        struct alarm gone = {0};
        (void)snprintf(gone.kind, sizeof gone.kind, "%s", topic->client);
        (void)snprintf(gone.subject, sizeof gone.subject, "%.*s", REEVE_NAME_LEN_MAX, topic->leaf);
        publish(alarms, &gone, NULL);
    }
}

static void on_alarm(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct alarms *alarms = arg;
    struct reeve_topic topic = reeve_topic_parse(alarms->manager->config.manager.root, delivery->topic);
    REEVE_VALUE_AUTO record = NULL;
    if (alarms->manager->leaving || topic.kind != REEVE_TOPIC_ALARM || reeve_name_check(topic.leaf, NULL) != REEVE_OK) {
        return;
    }
    if (delivery->payload_len == 0) { // somebody removed one that is not over
        const struct alarm *alarm = alarm_find(alarms, topic.client, topic.leaf);
        if (alarm != NULL) {
            publish(alarms, alarm, alarm_value(alarms, alarm));
        }
        return;
    }
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &record, NULL) !=
            REEVE_OK ||
        reeve_value_kind(record) != REEVE_MAP) {
        alarms->manager->counters.malformed++;
        return;
    }
    take_record(alarms, &topic, record, delivery->retained);
}

// ---- loading ----------------------------------------------------------------------------------------------------

struct loading {
    struct alarms *alarms;
    enum reeve_err err;
};

static char *copy_of(const struct reeve_value *value, const char *key)
{
    const char *text = reeve_get_str(value, key);
    return text != NULL ? strdup(text) : NULL;
}

static void load_alarm(struct alarms *alarms, struct alarm *alarm, const struct reeve_value *value)
{
    int64_t now = reeve_clock_mono_ms();
    const char *severity = reeve_get_str(value, "severity");
    alarm->severity = reeve_str_eq(severity, "warning") ? ALARM_WARNING : ALARM_ERROR;
    alarm->message = copy_of(value, "message");
    if (reeve_value_kind(reeve_value_get(value, "detail")) == REEVE_MAP) {
        alarm->detail = reeve_value_clone(reeve_value_get(value, "detail"));
    }
    alarm->count = reeve_get_int(value, "count", 1);
    alarm->opened_at = reeve_get_int(value, "opened_at", alarm->opened_at);
    alarm->changed_at = reeve_get_int(value, "changed_at", alarm->opened_at);
    alarm->acknowledged_by = copy_of(value, "acknowledged_by");
    alarm->acknowledged_at = reeve_get_int(value, "acknowledged_at", 0);
    alarm->note = copy_of(value, "note");
    alarm->owned = reeve_get_int(value, "owned", 0) != 0;
    alarm->reported = reeve_get_bool(value, "reported", false);
    alarm->heard_mono = now;
    alarm->shown_mono = now;
    // Who opened it in a former life may not know of it: it has to be seen again, by anybody.
    if (strcmp(alarm->kind, DUPLICATE) == 0 && reeve_get_int(value, "owned", 0) != alarms->manager->started_at) {
        alarm->owned = false;
        alarm->reported = true;
    }
}

static void load_one(const char *key, const struct reeve_value *value, void *arg)
{
    struct loading *loading = arg;
    const char *kind = reeve_get_str(value, "kind");
    const char *subject = reeve_get_str(value, "subject");
    (void)key;
    if (kind == NULL || subject == NULL || reeve_name_check(kind, NULL) != REEVE_OK ||
        reeve_name_check(subject, NULL) != REEVE_OK) {
        loading->err = REEVE_CORRUPT;
        return;
    }
    struct alarm *alarm = add(loading->alarms, kind, subject);
    if (alarm == NULL) {
        loading->err = REEVE_NOMEM;
        return;
    }
    load_alarm(loading->alarms, alarm, value);
    if (alarm->message == NULL) {
        alarm->message = strdup(""); // NULL: out of memory, and every reader takes that for no message
    }
}

enum reeve_err alarms_load(struct alarms *alarms, struct reeve_why *why)
{
    struct loading loading = {.alarms = alarms};
    struct reeve_map *map =
        reeve_map_new((size_t)2 * ALARMS_MAX); // what is stored is taken, whatever the bound was then
    if (map == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "alarms: out of memory");
    }
    reeve_map_free(alarms->map, alarm_free);
    alarms->map = map;
    enum reeve_err err = store_each(alarms->manager->store, STORE_ALARM, "", load_one, &loading, why);
    if (err == REEVE_OK && loading.err != REEVE_OK) {
        err = reeve_fail(why, loading.err, "alarms: %s",
                         loading.err == REEVE_NOMEM ? "out of memory" : "one that is stored has no name");
    }
    return err;
}

void alarms_publish(struct alarms *alarms)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(alarms->map, &it);) {
        publish(alarms, it.value, alarm_value(alarms, it.value));
    }
}

enum reeve_err alarms_new(struct manager *manager, struct alarms **ret, struct reeve_why *why)
{
    struct alarms *alarms = calloc(1, sizeof *alarms);
    if (alarms == NULL || (alarms->map = reeve_map_new((size_t)2 * ALARMS_MAX)) == NULL) {
        free(alarms);
        return reeve_fail(why, REEVE_NOMEM, "alarms: out of memory");
    }
    alarms->manager = manager;
    enum reeve_err err = manager_subscribe(manager, "alarm/+/+", 0, on_alarm, alarms, why);
    if (err != REEVE_OK) {
        alarms_free(alarms);
        return err;
    }
    *ret = alarms;
    return REEVE_OK;
}

void alarms_free(struct alarms *alarms)
{
    if (alarms != NULL) {
        reeve_map_free(alarms->map, alarm_free);
        free(alarms);
    }
}

size_t alarms_len(const struct alarms *alarms)
{
    return reeve_map_len(alarms->map);
}

uint64_t alarms_refused(const struct alarms *alarms)
{
    return alarms->refused;
}
