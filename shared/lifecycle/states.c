// The words of the lifecycle: states, events, availability, liveness, and back.
// Each table is made from the list in the header, so that a word exists once.
// Must not: decide anything.
#include <assert.h>

#include <reeve/lifecycle.h>
#include <reeve/str.h>

static const char *const state_texts[] = {
#define X(id, text) [REEVE_STATE_##id] = text,
    REEVE_STATE_LIST(X)
#undef X
};
static_assert(REEVE_ARRAY_LEN(state_texts) == REEVE_STATE_COUNT, "a text per state");

static const char *const event_texts[] = {
#define X(id, text) [REEVE_EVENT_##id] = text,
    REEVE_EVENT_LIST(X)
#undef X
};
static_assert(REEVE_ARRAY_LEN(event_texts) == REEVE_EVENT_COUNT, "a text per event");

static const char *const availability_texts[] = {
    [REEVE_AVAILABILITY_NONE] = "",
    [REEVE_AVAILABILITY_IDLE] = "idle",
    [REEVE_AVAILABILITY_PROCESSING] = "processing",
    [REEVE_AVAILABILITY_PAUSED] = "paused",
    [REEVE_AVAILABILITY_DRAINING] = "draining",
    [REEVE_AVAILABILITY_OFFLINE] = "offline",
};
static_assert(REEVE_ARRAY_LEN(availability_texts) == REEVE_AVAILABILITY_OFFLINE + 1, "a text per availability");

static const char *const liveness_texts[] = {
    [REEVE_ABSENT] = "absent", [REEVE_LIVE] = "live", [REEVE_STALE] = "stale",
    [REEVE_DEAD] = "dead",     [REEVE_LEFT] = "left",
};
static_assert(REEVE_ARRAY_LEN(liveness_texts) == REEVE_LEFT + 1, "a text per liveness");

static const char *const source_texts[] = {
    [REEVE_SOURCE_OBSERVED] = "observed",
    [REEVE_SOURCE_INFERRED] = "inferred",
};
static_assert(REEVE_ARRAY_LEN(source_texts) == REEVE_SOURCE_INFERRED + 1, "a text per source");

static const char *text_at(const char *const *texts, size_t texts_len, size_t i, const char *otherwise)
{
    return i < texts_len ? texts[i] : otherwise;
}

// Index of `text`, or texts_len.
static size_t text_find(const char *const *texts, size_t texts_len, const char *text)
{
    size_t i = 0;
    while (i < texts_len && !reeve_str_eq(texts[i], text)) {
        i++;
    }
    return i;
}

const char *reeve_state_text(enum reeve_state state)
{
    return text_at(state_texts, REEVE_STATE_COUNT, state, "unknown");
}

bool reeve_state_parse(const char *text, enum reeve_state *ret)
{
    size_t i = text_find(state_texts, REEVE_STATE_COUNT, text);
    if (i == REEVE_STATE_COUNT) {
        return false;
    }
    *ret = (enum reeve_state)i;
    return true;
}

bool reeve_state_has_process(enum reeve_state state)
{
    return state == REEVE_STATE_STARTING || state == REEVE_STATE_RUNNING || state == REEVE_STATE_STOPPING;
}

const char *reeve_event_text(enum reeve_event event)
{
    return text_at(event_texts, REEVE_EVENT_COUNT, event, "unknown");
}

const char *reeve_availability_text(enum reeve_availability availability)
{
    return text_at(availability_texts, REEVE_ARRAY_LEN(availability_texts), availability, "");
}

bool reeve_availability_parse(const char *text, enum reeve_availability *ret)
{
    size_t i = text_find(availability_texts, REEVE_ARRAY_LEN(availability_texts), text);
    if (i == REEVE_ARRAY_LEN(availability_texts)) {
        return false;
    }
    *ret = (enum reeve_availability)i;
    return true;
}

const char *reeve_liveness_text(enum reeve_liveness liveness)
{
    return text_at(liveness_texts, REEVE_ARRAY_LEN(liveness_texts), liveness, "absent");
}

const char *reeve_source_text(enum reeve_source source)
{
    return text_at(source_texts, REEVE_ARRAY_LEN(source_texts), source, "inferred");
}
