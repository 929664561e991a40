// Asking the manager; see ask.h.
// Must not: send a command before the manager is known to be there: nobody else would answer.
#include "ask.h"

#include <reeve/clock.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANAGER_PRESET  "main"
#define PRODUCER        "producer" // role of broker-config/acl.in
#define ANSWER_EXTRA_MS 3000       // beyond what the manager may take: its answer says what is missing

enum reeve_err asking_begin(struct asking *asking, const struct invocation *inv, struct reeve_why *why)
{
    asking->inv = inv;
    enum reeve_err err = site_load(inv, &asking->site, why);
    if (err == REEVE_OK) {
        err = session_init(&asking->session, &asking->site, why);
    }
    if (err == REEVE_OK) {
        err = managers_init(&asking->managers, &asking->session, why);
    }
    return err == REEVE_OK ? managers_want(&asking->managers, why) : err;
}

enum reeve_err asking_open(struct asking *asking, struct reeve_why *why)
{
    const char *wanted = asking->wanted != NULL ? asking->wanted : opt_value(asking->inv, OPT_MANAGER);
    enum reeve_err err = session_open(&asking->session, why);
    return err == REEVE_OK ? managers_choose(&asking->managers, wanted, asking->manager, why) : err;
}

enum reeve_err asking_open_to_give(struct asking *asking, struct reeve_why *why)
{
    const char *user = asking->site.broker.username;
    if (user != NULL && strcmp(user, PRODUCER) == 0) {
        return session_open(&asking->session, why);
    }
    return asking_open(asking, why);
}

void asking_done(struct asking *asking)
{
    session_done(&asking->session); // first: it still receives
    managers_done(&asking->managers);
    site_done(&asking->site);
}

enum reeve_err asking_order(struct asking *asking, const char *part, const char *name, const char *op,
                            struct reeve_value *args, struct orders *ret, struct reeve_why *why)
{
    bool of_manager = strcmp(part, "manager") == 0;
    ret->op = op;
    enum reeve_err err = orders_add_to(ret, asking->site.root, part, of_manager ? asking->manager : name, args, why);
    return err == REEVE_OK ? orders_perform(ret, &asking->session, NULL, why) : err;
}

// What went wrong on the way stands in the place of the phase.
int asking_fail(const struct invocation *inv, const struct orders *orders,
                void (*advise)(const struct order *order, struct reeve_buf *text))
{
    REEVE_ASSERT(orders->len > 0);
    const struct order *order = orders->items[0];
    const char *phase = order->err == REEVE_OK ? reeve_phase_text(order->phase) : reeve_err_text(order->err);
    REEVE_BUF_AUTO advice = REEVE_BUF_INIT(1024);
    if (advise != NULL) {
        advise(order, &advice);
    }
    return output_fail(inv, orders_exit(orders), "%s: %s: %s%s", inv->command->name, phase,
                       order->message[0] != '\0' ? order->message : order->code, reeve_buf_str(&advice));
}

int asking_read(struct asking *asking, const char *part, const char *name, const char *op, struct reeve_value *args,
                struct reeve_value **ret)
{
    ORDERS_AUTO orders = {0};
    struct reeve_why why = {0};
    enum reeve_err err = asking_order(asking, part, name, op, args, &orders, &why);
    if (err != REEVE_OK) {
        return output_fail_why(asking->inv, err, &why);
    }
    if (orders_exit(&orders) != EXIT_DONE) {
        return asking_fail(asking->inv, &orders, NULL);
    }
    *ret = orders.items[0]->result != NULL ? reeve_value_take(&orders.items[0]->result) : reeve_value_map();
    return *ret != NULL ? EXIT_DONE : output_fail(asking->inv, EXIT_REFUSED, "out of memory");
}

static struct reeve_value *page_args(const struct reeve_value *args, size_t offset)
{
    struct reeve_value *page = args != NULL ? reeve_value_clone(args) : reeve_value_map();
    reeve_put_int(page, "offset", (int64_t)offset);
    return page;
}

int asking_rest(struct asking *asking, const char *op, const struct reeve_value *args, const char *key,
                struct reeve_value *result)
{
    struct reeve_value *list = reeve_value_get_mut(result, key);
    int64_t total = reeve_get_int(result, "total", 0);
    for (bool more = true; more && reeve_value_len(list) > 0 && (int64_t)reeve_value_len(list) < total;) {
        REEVE_VALUE_AUTO page = NULL;
        size_t before = reeve_value_len(list);
        int exit_code = asking_read(asking, "manager", NULL, op, page_args(args, before), &page);
        if (exit_code != EXIT_DONE) {
            return exit_code;
        }
        const struct reeve_value *items = reeve_value_get(page, key);
        for (size_t i = 0; i < reeve_value_len(items); i++) {
            (void)reeve_value_add(list, reeve_value_clone(reeve_value_at(items, i))); /* remembered */
        }
        more = reeve_value_len(list) > before; // a list that shrinks meanwhile ends here
    }
    return EXIT_DONE;
}

// ---- arguments that many ops take -------------------------------------------------------------------------------

enum reeve_err ask_put_duration(const struct invocation *inv, enum option_id id, const char *key,
                                struct reeve_value *args, struct reeve_why *why)
{
    const char *text = opt_value(inv, id);
    int64_t ms;
    struct reeve_why reason;
    if (text != NULL && reeve_duration_parse(text, &ms, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "--%s: %s", option_table[id].name, reason.text);
    }
    reeve_put_str_opt(args, key, text);
    return REEVE_OK;
}

enum reeve_err ask_put_timeout(const struct invocation *inv, int64_t preset_ms, struct reeve_value *args,
                               int64_t *ret_ms, struct reeve_why *why)
{
    char text[REEVE_UNITS_TEXT_LEN];
    enum reeve_err err = site_timeout(inv, preset_ms, ret_ms, why);
    if (err == REEVE_OK) {
        reeve_put_str(args, "timeout", reeve_duration_format(*ret_ms, text));
    }
    return err;
}

// ---- confirmation -----------------------------------------------------------------------------------------------

bool ask_somebody(const struct invocation *inv)
{
    return !opt_given(inv, OPT_YES) && isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

bool ask_confirmed(const struct invocation *inv, const char *text)
{
    char answer[16] = "";
    if (!ask_somebody(inv)) {
        return true;
    }
    (void)fprintf(stderr, "%s? [y/N] ", text);
    (void)fflush(stderr); /* the question, before the wait */
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

// Without the site's own broker and manager, as an order to all of them is meant.
static int64_t count_workers(struct asking *asking)
{
    ORDERS_AUTO orders = {0};
    struct reeve_why why = {0};
    enum reeve_err err = asking_order(asking, "manager", NULL, "stats", NULL, &orders, &why);
    bool known = err == REEVE_OK && orders_exit(&orders) == EXIT_DONE;
    return known ? reeve_get_int(orders.items[0]->result, "total", -1) : -1;
}

static bool confirmed(struct asking *asking, const struct question *question)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    if (question->confirm == NULL || opt_given(asking->inv, OPT_DRY_RUN) || !ask_somebody(asking->inv)) {
        return true;
    }
    question->confirm(count_workers(asking), &text);
    return ask_confirmed(asking->inv, reeve_buf_str(&text));
}

// ---- one question -----------------------------------------------------------------------------------------------

static int tell_json(const struct orders *orders, const struct question *question, int exit_code)
{
    REEVE_ASSERT(orders->len > 0);
    const struct order *order = orders->items[0];
    bool alone = (question->flags & ASK_READS) != 0 && order_done(order) && !orders->no_wait && order->result != NULL;
    REEVE_VALUE_AUTO value = alone ? reeve_value_clone(order->result) : orders_value(orders);
    if (!alone && exit_code != EXIT_DONE) {
        reeve_put_bool(value, "ok", false); // done, but not all of it
    }
    int written = output_json(value, false);
    return written != EXIT_DONE ? written : exit_code;
}

static int tell_text(const struct invocation *inv, const struct orders *orders, const struct question *question,
                     int exit_code)
{
    REEVE_ASSERT(orders->len > 0);
    const struct order *order = orders->items[0];
    if (order->result != NULL && question->show != NULL && !orders->no_wait) {
        if (orders->dry_run) {
            output_print("dry run, nothing was changed:\n");
        }
        question->show(inv, order->result);
        if (!order_done(order) && question->judge == NULL && fflush(stdout) == 0) { // else it has been said
            output_note("%s: %s: %s", inv->command->name, reeve_phase_text(order->phase), order->message);
        }
    } else {
        orders_print(orders);
    }
    return fflush(stdout) == 0 ? exit_code : EXIT_REFUSED;
}

static int judge(const struct invocation *inv, const struct orders *orders, const struct question *question)
{
    REEVE_ASSERT(orders->len > 0);
    int exit_code = orders_exit(orders);
    bool asked = exit_code == EXIT_DONE && question->judge != NULL && !orders->no_wait && !orders->dry_run;
    return asked ? question->judge(inv, orders->items[0]->result) : exit_code;
}

// For people what was done comes first, and then the wait; programs get it all at the end.
static int tell(struct asking *asking, const struct orders *orders, const struct question *question)
{
    REEVE_ASSERT(orders->items != NULL);
    const struct invocation *inv = asking->inv;
    int exit_code = judge(inv, orders, question);
    const struct order *order = orders->items[0];
    bool json = opt_given(inv, OPT_JSON);
    bool waits = exit_code == EXIT_DONE && question->wait != NULL && opt_given(inv, OPT_WAIT) && !orders->no_wait &&
                 !orders->dry_run;
    if (exit_code != EXIT_DONE && order->result == NULL) {
        return asking_fail(inv, orders, question->advise);
    }
    if (question->pages != NULL && exit_code == EXIT_DONE) {
        exit_code = asking_rest(asking, orders->op, order->args, question->pages, order->result);
        if (exit_code != EXIT_DONE) {
            return exit_code;
        }
    }
    if (!json) {
        exit_code = tell_text(inv, orders, question, exit_code);
    }
    if (waits && exit_code == EXIT_DONE) {
        exit_code = question->wait(asking, order->result);
    }
    return json ? tell_json(orders, question, exit_code) : exit_code;
}

// The manager answers at the end of its time with what it has; the time to hear that comes on top.
static void wait_longer(struct asking *asking, const struct question *question)
{
    if (question->timeout_ms > 0) {
        asking->session.deadline_mono = reeve_clock_mono_ms() + question->timeout_ms + ANSWER_EXTRA_MS;
    }
}

static enum reeve_err address(struct asking *asking, struct question *question, struct orders *orders,
                              struct reeve_why *why)
{
    bool of_manager = strcmp(question->part, "manager") == 0;
    struct reeve_value *args = reeve_value_take(&question->args);
    return orders_add_to(orders, asking->site.root, question->part, of_manager ? asking->manager : question->name, args,
                         why);
}

// The line for a pool or account needs nobody; the manager's own topic has its name in it.
static int print_mqtt(struct asking *asking, struct question *question, struct orders *orders)
{
    struct reeve_why why = {0};
    const char *given = asking->wanted != NULL ? asking->wanted : opt_value(asking->inv, OPT_MANAGER);
    enum reeve_err err = site_load(asking->inv, &asking->site, &why);
    if (err == REEVE_OK && given != NULL) {
        err = reeve_name_check(given, &why);
    }
    (void)snprintf(asking->manager, sizeof asking->manager, "%s", given != NULL ? given : MANAGER_PRESET);
    if (err == REEVE_OK) {
        err = address(asking, question, orders, &why);
    }
    return err == REEVE_OK ? orders_print_mqtt(asking->inv, &asking->site, orders)
                           : output_fail_why(asking->inv, err, &why);
}

static enum reeve_err perform(struct asking *asking, struct question *question, struct orders *orders,
                              struct reeve_why *why)
{
    enum reeve_err err = asking_begin(asking, asking->inv, why);
    if (err == REEVE_OK) {
        err = asking_open(asking, why);
    }
    if (err == REEVE_OK && !confirmed(asking, question)) {
        return reeve_fail(why, REEVE_CANCELLED, "nothing was done");
    }
    if (err == REEVE_OK) {
        err = address(asking, question, orders, why);
    }
    if (err == REEVE_OK) {
        wait_longer(asking, question);
        err = orders_perform(orders, &asking->session, NULL, why);
    }
    return err;
}

int ask(const struct invocation *inv, struct question *question)
{
    ASKING_AUTO asking = {.inv = inv, .wanted = question->manager};
    ORDERS_AUTO orders = {
        .op = question->op, .dry_run = opt_given(inv, OPT_DRY_RUN), .no_wait = opt_given(inv, OPT_NO_WAIT)};
    struct reeve_why why = {0};
    int exit_code;
    if (opt_given(inv, OPT_PRINT_MQTT)) {
        exit_code = print_mqtt(&asking, question, &orders);
    } else {
        enum reeve_err err = perform(&asking, question, &orders, &why);
        exit_code = err == REEVE_OK ? tell(&asking, &orders, question) : output_fail_why(inv, err, &why);
    }
    reeve_value_free(question->args);
    question->args = NULL;
    return exit_code;
}
