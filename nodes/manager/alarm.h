// Alarms: what somebody should know until it is over. Retained as `alarm/<kind>/<subject>` while open, stored, numbered by how
// often they came; acknowledged by a named person, closed by whoever opened them when the cause is gone (tombstone).
//   alarm.c  opening, closing, what others report      alarm_ops.c  alarms, acknowledge
// `alarm/duplicate/<name>` [session-7] is also published by the daemon or worker that left its name to another, and is taken in here.
// Nobody is left then who could say that it is over: it closes when no second holder reported itself for ALARM_DUPLICATE_MS (counted
// anew after a restart of the manager), and, if a room opened it too, when that room has closed it.
// Must not: judge; health, pools and accounts open and close them.
#ifndef REEVE_MANAGER_ALARM_H
#define REEVE_MANAGER_ALARM_H

#include <reeve/message.h>

struct manager;
struct alarms;

#define ALARMS_MAX         10000  // more are refused, counted, logged once
#define ALARM_DUPLICATE_MS 600000 // a second holder that was not seen for so long is gone
#define ALARM_RENEW_MS     5000   // text and detail of an open alarm are renewed at most so often,
#define ALARM_COUNT_MS     60000  // its count alone so often
#define ALARM_DETAIL_MAX   4096   // bytes of `detail`; larger ones are left out, so that the record fits [topic-5]

enum alarm_severity { ALARM_WARNING, ALARM_ERROR };

enum reeve_err alarms_new(struct manager *manager, struct alarms **ret, struct reeve_why *why);
void alarms_free(struct alarms *alarms);
enum reeve_err alarms_load(struct alarms *alarms, struct reeve_why *why); // from the store; also after a failed turn
void alarms_publish(struct alarms *alarms);                               // all of them, on a new session
void alarms_tick(struct alarms *alarms);                                  // once a second
size_t alarms_len(const struct alarms *alarms);
uint64_t alarms_refused(const struct alarms *alarms); // found no room

// `kind` is a name (flapping crash_loop duplicate account_invalid pool_unplaceable update_undone unhealthy ...); `subject` is made a
// name by alarm_subject(), and by this where it is none. Open already: counted, text and detail renewed when they differ, no new event;
// a severity that rises asks for a new acknowledgement. `detail` is taken (MAP or NULL).
void alarm_open(struct manager *manager, const char *kind, const char *subject, enum alarm_severity severity,
                struct reeve_value *detail, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void alarm_close(struct manager *manager, const char *kind, const char *subject); // not open = nothing
bool alarm_is_open(const struct manager *manager, const char *kind, const char *subject);
// `<node>_<worker>` for a worker; cut with a digest where it is too long for a level, or where another pair could read the
// same. Returns buf.
const char *alarm_subject(const char *node, const char *worker, char buf[REEVE_NAME_SIZE]);
struct reeve_value *alarms_value(const struct alarms *alarms); // LIST; caller frees

#endif
