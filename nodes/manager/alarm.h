// Alarms: what somebody should know until it is over. Retained as `alarm/<kind>/<subject>` while open, stored, numbered by how
// often they came; acknowledged by a named person, closed by whoever opened them when the cause is gone (tombstone).
// Must not: judge; health, pools and accounts open and close them.
#ifndef REEVE_MANAGER_ALARM_H
#define REEVE_MANAGER_ALARM_H

#include <reeve/message.h>

struct manager;
struct alarms;

#define ALARMS_MAX 10000

enum alarm_severity { ALARM_WARNING, ALARM_ERROR };

enum reeve_err alarms_new(struct manager *manager, struct alarms **ret, struct reeve_why *why);
void alarms_free(struct alarms *alarms);
enum reeve_err alarms_load(struct alarms *alarms, struct reeve_why *why); // from the store; also after a failed turn
void alarms_publish(struct alarms *alarms);                               // all of them, on a new session

// `kind` is a name (flapping crash_loop duplicate account_invalid pool_unplaceable update_undone unhealthy ...); `subject` is made a
// name by alarm_subject(). Open already: counted, text and detail renewed when they differ, no new event. `detail` is taken
// (MAP or NULL).
void alarm_open(struct manager *manager, const char *kind, const char *subject, enum alarm_severity severity,
                struct reeve_value *detail, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void alarm_close(struct manager *manager, const char *kind, const char *subject); // not open = nothing
bool alarm_is_open(const struct manager *manager, const char *kind, const char *subject);
// `<node>_<worker>` for a worker; cut with a digest where it is too long for a level. Returns buf.
const char *alarm_subject(const char *node, const char *worker, char buf[REEVE_NAME_SIZE]);
struct reeve_value *alarms_value(const struct alarms *alarms); // LIST; caller frees

#endif
