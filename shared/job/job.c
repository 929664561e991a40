// Names of a job's states and outcomes, and what an id and a type may be.
// Must not: read or write messages; spec.c, batch.c and report.c do.
#include <reeve/job.h>

static const struct {
    const char *text;
    bool live;
} states[] = {
#define X(id, text, live) [REEVE_JOB_##id] = {text, live},
    REEVE_JOB_STATE_LIST(X)
#undef X
};

static const struct {
    const char *text;
    bool ends;
} outcomes[] = {
#define X(id, text, ends) [REEVE_JOB_OUTCOME_##id] = {text, ends},
    REEVE_JOB_OUTCOME_LIST(X)
#undef X
};

const char *reeve_job_state_text(enum reeve_job_state state)
{
    return (size_t)state < REEVE_JOB_STATE_COUNT ? states[state].text : "unknown";
}

bool reeve_job_state_parse(const char *text, enum reeve_job_state *ret)
{
    for (size_t i = 0; i < REEVE_JOB_STATE_COUNT; i++) {
        if (strcmp(states[i].text, text) == 0) {
            *ret = (enum reeve_job_state)i;
            return true;
        }
    }
    return false;
}

bool reeve_job_state_live(enum reeve_job_state state)
{
    return (size_t)state < REEVE_JOB_STATE_COUNT && states[state].live;
}

const char *reeve_job_outcome_text(enum reeve_job_outcome outcome)
{
    return (size_t)outcome < REEVE_JOB_OUTCOME_COUNT ? outcomes[outcome].text : "unknown";
}

bool reeve_job_outcome_ends(enum reeve_job_outcome outcome)
{
    return (size_t)outcome < REEVE_JOB_OUTCOME_COUNT && outcomes[outcome].ends;
}

static bool made_of(struct reeve_span text, size_t len_max, const char *more)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(more, c) == NULL)) {
            return false;
        }
    }
    return text.len > 0 && text.len <= len_max;
}

bool reeve_job_id_valid(struct reeve_span id)
{
    return made_of(id, REEVE_JOB_ID_SIZE - 1, "-_");
}

bool reeve_job_type_valid(struct reeve_span type)
{
    return made_of(type, REEVE_JOB_TYPE_SIZE - 1, "-_.");
}
