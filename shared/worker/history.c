// A map for finding and a list in order of arrival for forgetting.
// Bytes are counted as msgpack, which is near enough to what the tree takes to keep the bound honest.
// Must not: know the bus or the worker.
#include "history.h"

#include <reeve/map.h>
#include <stdlib.h>
#include <string.h>

struct history {
    struct reeve_map *by_id; // id -> struct history_entry
    struct history_entry *oldest, *newest;
    size_t bytes;
};

static void entry_free(struct history_entry *entry)
{
    if (entry != NULL) {
        free(entry->id);
        free(entry->code);
        free(entry->message);
        reeve_value_free(entry->result);
        free(entry);
    }
}

struct history *history_new(void)
{
    struct history *history = calloc(1, sizeof *history);
    if (history != NULL) {
        history->by_id = reeve_map_new(HISTORY_LEN_MAX);
    }
    if (history == NULL || history->by_id == NULL) {
        free(history);
        return NULL;
    }
    return history;
}

void history_free(struct history *history)
{
    if (history == NULL) {
        return;
    }
    for (struct history_entry *entry = history->oldest, *next; entry != NULL; entry = next) {
        next = entry->newer;
        entry_free(entry);
    }
    reeve_map_free(history->by_id, NULL);
    free(history);
}

static void forget_oldest(struct history *history)
{
    struct history_entry *entry = history->oldest;
    history->oldest = entry->newer;
    if (history->oldest == NULL) {
        history->newest = NULL;
    }
    history->bytes -= entry->bytes;
    (void)reeve_map_remove(history->by_id, entry->id); /* is `entry` */
    entry_free(entry);
}

static enum reeve_err copy_text(char **ret, const char *text)
{
    *ret = text == NULL ? NULL : strdup(text);
    return text != NULL && *ret == NULL ? REEVE_NOMEM : REEVE_OK;
}

static size_t result_bytes(const struct reeve_value *result)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    if (result == NULL) {
        return 0;
    }
    return reeve_msgpack_write(result, &buf) == REEVE_OK ? buf.len : SIZE_MAX;
}

static struct history_entry *entry_new(const char *id, uint64_t digest, const struct reeve_reply *reply)
{
    struct history_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    size_t bytes = result_bytes(reply->result);
    bool kept = bytes <= HISTORY_RESULT_BYTES;
    entry->digest = digest;
    entry->phase = reply->phase;
    enum reeve_err err = copy_text(&entry->id, id);
    if (err == REEVE_OK) {
        err = copy_text(&entry->code, reply->code);
    }
    if (err == REEVE_OK) {
        err = copy_text(&entry->message, kept ? reply->message : "done before; the result was too large to keep");
    }
    if (err == REEVE_OK && kept && reply->result != NULL) {
        entry->result = reeve_value_clone(reply->result);
        err = entry->result == NULL ? REEVE_NOMEM : REEVE_OK;
    }
    if (err != REEVE_OK) {
        entry_free(entry);
        return NULL;
    }
    entry->bytes =
        sizeof *entry + strlen(id) + (kept ? bytes : 0) + (entry->message == NULL ? 0 : strlen(entry->message));
    return entry;
}

enum reeve_err history_add(struct history *history, const char *id, uint64_t digest, const struct reeve_reply *reply)
{
    if (reeve_map_get(history->by_id, id) != NULL) {
        return REEVE_OK;
    }
    struct history_entry *entry = entry_new(id, digest, reply);
    if (entry == NULL) {
        return REEVE_NOMEM;
    }
    while (history->oldest != NULL &&
           (reeve_map_len(history->by_id) >= HISTORY_LEN_MAX || history->bytes + entry->bytes > HISTORY_BYTES_MAX)) {
        forget_oldest(history);
    }
    enum reeve_err err = reeve_map_put(history->by_id, id, entry, NULL);
    if (err != REEVE_OK) {
        entry_free(entry);
        return err;
    }
    if (history->newest != NULL) {
        history->newest->newer = entry;
    } else {
        history->oldest = entry;
    }
    history->newest = entry;
    history->bytes += entry->bytes;
    return REEVE_OK;
}

const struct history_entry *history_find(const struct history *history, const char *id)
{
    return reeve_map_get(history->by_id, id);
}

size_t history_len(const struct history *history)
{
    return reeve_map_len(history->by_id);
}

size_t history_bytes(const struct history *history)
{
    return history->bytes;
}
