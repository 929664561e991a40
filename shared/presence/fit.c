// The bound of retained records [topic-5] and the small putters that all their writers use.
// Keeps presence publishable: a record that grew too large loses its least important keys, never its state.
// Must not: know which record it works on.
#include "record.h"

#include <reeve/codec.h>
#include <string.h>

size_t presence_size(const struct reeve_value *record)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    return reeve_msgpack_write(record, &buf) == REEVE_OK ? buf.len : SIZE_MAX;
}

static void leave_out(struct reeve_value *record, const char *key)
{
    if (!reeve_value_remove(record, key)) {
        return;
    }
    struct reeve_value *list = reeve_value_get_mut(record, "left_out");
    if (list == NULL) {
        (void)reeve_value_put(record, "left_out", reeve_value_list()); /* remembered: reeve_value_built() */
        list = reeve_value_get_mut(record, "left_out");
    }
    if (list != NULL) {
        (void)reeve_value_add(list, reeve_value_str(key)); /* remembered: reeve_value_built() */
    }
}

struct reeve_value *presence_fit(struct reeve_value *record, const char *const *keys)
{
    REEVE_VALUE_AUTO owned = record;
    if (owned == NULL || reeve_value_built(owned) != REEVE_OK) {
        return NULL;
    }
    size_t size = presence_size(owned);
    for (; size > REEVE_RETAINED_BYTES_MAX && *keys != NULL; keys++) {
        leave_out(owned, *keys);
        size = presence_size(owned);
    }
    bool fits = size <= REEVE_RETAINED_BYTES_MAX && reeve_value_built(owned) == REEVE_OK;
    return fits ? reeve_value_take(&owned) : NULL;
}

void presence_cut(const char *text, char *buf, size_t buf_len)
{
    size_t len = strnlen(text, buf_len);
    if (len < buf_len) {
        memcpy(buf, text, len + 1);
        return;
    }
    len = buf_len - sizeof "...";
    while (len > 0 && ((unsigned char)text[len] & 0xc0U) == 0x80U) { // never inside a UTF-8 sequence
        len--;
    }
    memcpy(buf, text, len);
    memcpy(buf + len, "...", sizeof "...");
}

void presence_put_text(struct reeve_value *map, const char *key, const char *text, size_t len_max)
{
    char cut[PRESENCE_TEXT_MAX + 1];
    REEVE_ASSERT(len_max <= PRESENCE_TEXT_MAX);
    presence_cut(text == NULL ? "" : text, cut, len_max + 1);
    bool readable = reeve_utf8_valid(cut, strlen(cut));
    for (char *at = cut; !readable && *at != '\0'; at++) { // a log line in `why` may hold any byte
        if (((unsigned char)*at & 0x80U) != 0) {
            *at = '?';
        }
    }
    reeve_put_str_opt(map, key, cut);
}

void presence_put_nonzero(struct reeve_value *map, const char *key, int64_t number)
{
    if (number != 0) {
        reeve_put_int(map, key, number);
    }
}

void presence_put_strv(struct reeve_value *map, const char *key, const struct reeve_strv *list)
{
    if (list == NULL || list->len == 0) {
        return;
    }
    struct reeve_value *items = reeve_value_list();
    for (size_t i = 0; items != NULL && i < list->len; i++) {
        (void)reeve_value_add(items, reeve_value_str(list->items[i])); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(map, key, items); /* remembered: reeve_value_built() */
}

void presence_put_clone(struct reeve_value *map, const char *key, const struct reeve_value *value)
{
    if (value != NULL) {
        (void)reeve_value_put(map, key, reeve_value_clone(value)); /* remembered: reeve_value_built() */
    }
}
