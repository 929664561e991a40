// Stand-in for alarm.c: open alarms in a short list. Must not: be linked beside the real one.
#include "fake_rooms.h"

#include <stdio.h>
#include <string.h>

struct fake_alarm fake_alarms[FAKE_ALARMS];
size_t fake_alarms_len;

static struct fake_alarm *find(const char *kind, const char *subject)
{
    for (size_t i = 0; i < fake_alarms_len; i++) {
        if (strcmp(fake_alarms[i].kind, kind) == 0 && strcmp(fake_alarms[i].subject, subject) == 0) {
            return &fake_alarms[i];
        }
    }
    return NULL;
}

void alarm_open(struct manager *manager, const char *kind, const char *subject, enum alarm_severity severity,
                struct reeve_value *detail, const char *fmt, ...)
{
    (void)manager;
    (void)severity;
    reeve_value_free(detail);
    struct fake_alarm *alarm = find(kind, subject);
    if (alarm == NULL) {
        assert_true(fake_alarms_len < FAKE_ALARMS);
        alarm = &fake_alarms[fake_alarms_len++];
        *alarm = (struct fake_alarm){0};
        (void)snprintf(alarm->kind, sizeof alarm->kind, "%s", kind);
        (void)snprintf(alarm->subject, sizeof alarm->subject, "%s", subject);
    }
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(alarm->message, sizeof alarm->message, fmt, args); /* cut where too long */
    va_end(args);
    alarm->open = true;
    alarm->count++;
}

void alarm_close(struct manager *manager, const char *kind, const char *subject)
{
    struct fake_alarm *alarm = find(kind, subject);
    (void)manager;
    if (alarm != NULL) {
        alarm->open = false;
    }
}

bool alarm_is_open(const struct manager *manager, const char *kind, const char *subject)
{
    const struct fake_alarm *alarm = find(kind, subject);
    (void)manager;
    return alarm != NULL && alarm->open;
}

const char *alarm_subject(const char *node, const char *worker, char buf[REEVE_NAME_SIZE])
{
    (void)snprintf(buf, REEVE_NAME_SIZE, "%.30s_%.30s", node, worker); /* short names in tests */
    return buf;
}

struct reeve_value *alarms_value(const struct alarms *alarms)
{
    struct reeve_value *list = reeve_value_list();
    (void)alarms;
    for (size_t i = 0; i < fake_alarms_len; i++) {
        struct reeve_value *alarm = reeve_value_map();
        if (!fake_alarms[i].open) {
            reeve_value_free(alarm);
            continue;
        }
        reeve_put_str(alarm, "kind", fake_alarms[i].kind);
        reeve_put_str(alarm, "subject", fake_alarms[i].subject);
        reeve_put_str(alarm, "message", fake_alarms[i].message);
        (void)reeve_value_add(list, alarm); /* remembered: reeve_value_built() */
    }
    return list;
}
