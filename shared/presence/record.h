// Inside presence: what the writers share (bound, cutting) and how the registry reads what they wrote.
// Readers fill witnesses only: time of arrival and old epochs are the registry's business.
// Must not: be included from outside shared/presence.
#ifndef REEVE_PRESENCE_RECORD_H
#define REEVE_PRESENCE_RECORD_H

#include <reeve/presence.h>

// Bounds of a heartbeat that a record may announce: below, a site drowns in statuses; above, nobody would ever look
// stale.
#define PRESENCE_HEARTBEAT_MIN_MS 100
#define PRESENCE_HEARTBEAT_MAX_MS 3600000

// Text of a record that comes from outside its writer (reasons, paths): more is cut.
#define PRESENCE_TEXT_MAX 1024

// Leave out `keys` (NULL-terminated), one after the other, until the record has at most REEVE_RETAINED_BYTES_MAX bytes
// as msgpack; the ones left out stand in `left_out`. Frees `record` and returns NULL when memory ran out or when it is
// too large even then.
struct reeve_value *presence_fit(struct reeve_value *record, const char *const *keys);
size_t presence_size(const struct reeve_value *record); // bytes as msgpack; SIZE_MAX when it can't be written

// Copy at most buf_len - 1 bytes; cut text ends in "..." on a UTF-8 boundary. buf_len >= 8.
void presence_cut(const char *text, char *buf, size_t buf_len);
// reeve_put_str() with a bound. Text that is no UTF-8 could not be read by anybody: its high bytes become '?'. NULL and
// "" are left out.
void presence_put_text(struct reeve_value *map, const char *key, const char *text, size_t len_max);
void presence_put_nonzero(struct reeve_value *map, const char *key, int64_t number);
void presence_put_strv(struct reeve_value *map, const char *key, const struct reeve_strv *list);    // empty = left out
void presence_put_clone(struct reeve_value *map, const char *key, const struct reeve_value *value); // NULL = left out

// INVALID names the first key that is missing or wrong [payload-2].
enum reeve_err presence_read_epoch(const struct reeve_value *record, struct reeve_witness *ret, struct reeve_why *why);
enum reeve_err presence_read_node_status(const struct reeve_value *record, struct reeve_witness *ret,
                                         struct reeve_why *why);
enum reeve_err presence_read_worker_status(const struct reeve_value *record, struct reeve_witness *ret,
                                           struct reeve_why *why);
enum reeve_err presence_read_lwt(const struct reeve_value *record, struct reeve_witness *ret, struct reeve_why *why);
enum reeve_err presence_read_process(const struct reeve_value *record, struct reeve_process_witness *ret,
                                     struct reeve_why *why);

#endif
