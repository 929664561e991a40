// One question to the manager: a command to it, or to one of its pools or accounts, and the answer for people or
// programs.
//
//   struct question question = {.part = "pool", .name = "swap", .op = "scale", .args = args, .show = show_scaled};
//   return ask(inv, &question);
// Must not: know what an op does.
#ifndef REEVE_CLI_ASK_H
#define REEVE_CLI_ASK_H

#include "managers.h"
#include "order.h"
#include "output.h"

// A connection that knows the managers, for one or more questions.
struct asking {
    const struct invocation *inv;
    struct site site;
    struct session session;
    struct managers managers;
    const char *wanted;            // manager that was named as an argument; NULL = --manager or the only one
    char manager[REEVE_NAME_SIZE]; // that is meant; after asking_open()
};
enum reeve_err asking_begin(struct asking *asking, const struct invocation *inv,
                            struct reeve_why *why);                       // not connected yet
enum reeve_err asking_open(struct asking *asking, struct reeve_why *why); // connected, and the manager is there
// The same for who gives jobs: a producer has no right to see managers, and goes on without.
enum reeve_err asking_open_to_give(struct asking *asking, struct reeve_why *why);
void asking_done(struct asking *asking);
#define ASKING_AUTO __attribute__((cleanup(asking_done))) struct asking

// Ask and wait: `part` "manager" goes to the one that is meant, whatever `name`. The outcome stands in *ret (zeroed
// before); an error is one of the session. Takes `args` (NULL = none), also on failure.
enum reeve_err asking_order(struct asking *asking, const char *part, const char *name, const char *op,
                            struct reeve_value *args, struct orders *ret, struct reeve_why *why);
// "pool scale: rejected: no pool ..." of the first order, with what it is advised about it; the exit code.
int asking_fail(const struct invocation *inv, const struct orders *orders,
                void (*advise)(const struct order *order, struct reeve_buf *text));
// What a question that only reads has for an answer: *ret (the caller frees) is the result. Else the exit code, told.
int asking_read(struct asking *asking, const char *part, const char *name, const char *op, struct reeve_value *args,
                struct reeve_value **ret);

// A long answer comes in pages ({total, offset, <key>: [..]}): asks for the rest and appends it to the list under
// `key`. The exit code; what went wrong was told.
int asking_rest(struct asking *asking, const char *op, const struct reeve_value *args, const char *key,
                struct reeve_value *result);

#define ASK_READS 1u // --json prints the result alone

struct question {
    const char *part;    // "manager", "pool", "account"
    const char *name;    // of the pool or account
    const char *manager; // named as an argument; NULL = --manager, or the only one
    const char *op;
    struct reeve_value *args; // MAP or NULL; taken
    const char *pages;        // of the result: a list that may come in pages; NULL
    unsigned flags;
    int64_t timeout_ms; // what the manager may take; 0 = --timeout is all there is
    // For people: what the result says, to stdout. NULL = a line with the message.
    void (*show)(const struct invocation *inv, const struct reeve_value *result);
    // Exit code of an answer that was `done`: not all that was asked for may have been. NULL = 0.
    int (*judge)(const struct invocation *inv, const struct reeve_value *result);
    // After it was done, with --wait: until all of it is ready. The exit code.
    int (*wait)(struct asking *asking, const struct reeve_value *result);
    // Asked before it is sent, on a terminal and without --yes: "stop all 217 workers". `workers` of the fleet; -1 =
    // not known. NULL = not asked.
    void (*confirm)(int64_t workers, struct reeve_buf *text);
    // What a person can do about a refusal, put behind its message. NULL = nothing to add.
    void (*advise)(const struct order *order, struct reeve_buf *text);
};
int ask(const struct invocation *inv, struct question *question);

// An option that takes a duration, as the op's argument `key`, when it was given. INVALID names the option.
enum reeve_err ask_put_duration(const struct invocation *inv, enum option_id id, const char *key,
                                struct reeve_value *args, struct reeve_why *why);
// `timeout` for ops that take one: --timeout or the preset, which is also what the manager may take.
enum reeve_err ask_put_timeout(const struct invocation *inv, int64_t preset_ms, struct reeve_value *args,
                               int64_t *ret_ms, struct reeve_why *why);
// Whether a person says yes to "TEXT? [y/N]"; true without asking with --yes or when no person is there.
bool ask_confirmed(const struct invocation *inv, const char *text);
bool ask_somebody(const struct invocation *inv); // whether ask_confirmed() would ask

#endif
