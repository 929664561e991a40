// Signals by name and number, as specs and the op `signal` spell them.
// Must not: send any.
#include "spec_internal.h"

#include <reeve/log.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

// TERM first: messages list the spellings in this order, and show each number once.
const struct reeve_choice reeve_signal_choices[] = {
    {"SIGTERM", SIGTERM}, {"SIGINT", SIGINT},       {"SIGQUIT", SIGQUIT},   {"SIGHUP", SIGHUP},   {"SIGUSR1", SIGUSR1},
    {"SIGUSR2", SIGUSR2}, {"SIGKILL", SIGKILL},     {"SIGWINCH", SIGWINCH}, {"SIGALRM", SIGALRM}, {"SIGCONT", SIGCONT},
    {"SIGSTOP", SIGSTOP}, {"SIGABRT", SIGABRT},     {"SIGPIPE", SIGPIPE},   {"SIGTSTP", SIGTSTP}, {"SIGTTIN", SIGTTIN},
    {"SIGTTOU", SIGTTOU}, {"SIGURG", SIGURG},       {"SIGTRAP", SIGTRAP},   {"SIGILL", SIGILL},   {"SIGBUS", SIGBUS},
    {"SIGFPE", SIGFPE},   {"SIGSEGV", SIGSEGV},     {"SIGCHLD", SIGCHLD},   {"SIGXCPU", SIGXCPU}, {"SIGXFSZ", SIGXFSZ},
    {"SIGPROF", SIGPROF}, {"SIGVTALRM", SIGVTALRM}, {"SIGIO", SIGIO},       {"SIGPWR", SIGPWR},   {"SIGSYS", SIGSYS},
    {"TERM", SIGTERM},    {"INT", SIGINT},          {"QUIT", SIGQUIT},      {"HUP", SIGHUP},      {"USR1", SIGUSR1},
    {"USR2", SIGUSR2},    {"KILL", SIGKILL},        {"WINCH", SIGWINCH},    {"ALRM", SIGALRM},    {"CONT", SIGCONT},
    {"STOP", SIGSTOP},    {"ABRT", SIGABRT},        {"PIPE", SIGPIPE},      {"TSTP", SIGTSTP},    {NULL, 0},
};

static const struct reeve_choice *find_name(const char *text)
{
    for (const struct reeve_choice *choice = reeve_signal_choices; choice->text != NULL; choice++) {
        if (strcmp(choice->text, text) == 0) {
            return choice;
        }
    }
    return NULL;
}

enum reeve_err reeve_signal_parse(const char *text, int *ret_signal, struct reeve_why *why)
{
    const struct reeve_choice *choice = find_name(text);
    int64_t number = 0;
    char quoted[64];
    if (choice != NULL) {
        *ret_signal = choice->value;
        return REEVE_OK;
    }
    if (reeve_parse_i64(text, &number, NULL) == REEVE_OK && number >= 1 && number <= SIGRTMAX) {
        *ret_signal = (int)number;
        return REEVE_OK;
    }
    return reeve_fail(why, REEVE_INVALID,
                      "%s is no signal, expected a name such as SIGTERM, SIGINT, HUP or a number from 1 to %d",
                      reeve_log_quote(text, quoted, sizeof(quoted)), SIGRTMAX);
}

const char *reeve_signal_text(int signal, char buf[24])
{
    for (const struct reeve_choice *choice = reeve_signal_choices; choice->text != NULL; choice++) {
        if (choice->value == signal) {
            return choice->text;
        }
    }
    (void)snprintf(buf, 24, "signal %d", signal);
    return buf;
}
