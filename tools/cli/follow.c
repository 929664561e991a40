// Following; see follow.h.
// Must not: know what the records mean.
#include "follow.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/str.h>
#include <string.h>
#include <time.h>

void follow_put_time(struct reeve_buf *out, int64_t at)
{
    char text[32];
    struct tm local;
    time_t seconds = (time_t)(at / 1000);
    if (at > 0 && localtime_r(&seconds, &local) != NULL && strftime(text, sizeof text, "%H:%M:%S ", &local) > 0) {
        reeve_buf_puts(out, text);
    }
}

void follow_put_text(struct reeve_buf *out, const char *text, const char *before)
{
    if (text != NULL && text[0] != '\0') {
        reeve_buf_puts(out, before);
        output_escape(out, text, strlen(text));
    }
}

enum reeve_err follow_count(const struct invocation *inv, int64_t *ret, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_COUNT);
    *ret = -1;
    if (text != NULL && (reeve_parse_i64(text, ret, NULL) != REEVE_OK || *ret < 1)) {
        return reeve_fail(why, REEVE_INVALID, "--count: '%.40s' given, expected a whole number from 1", text);
    }
    return REEVE_OK;
}

static void write_json(struct follow *follow, const struct reeve_delivery *delivery, const struct reeve_value *record)
{
    REEVE_VALUE_AUTO line = reeve_value_map();
    reeve_put_str(line, "topic", delivery->topic);
    reeve_put_bool(line, "retained", delivery->retained);
    reeve_put_int(line, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(line, "record",
                          record != NULL ? reeve_value_clone(record) : reeve_value_null()); /* remembered */
    follow->failed |= output_json(line, false) != EXIT_DONE;
}

static void on_message(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct follow *follow = arg;
    REEVE_VALUE_AUTO record = NULL;
    if (follow->left == 0) {
        return;
    }
    const struct reeve_topic topic = reeve_topic_parse(follow->root, delivery->topic);
    bool gone = delivery->payload_len == 0;
    if (!gone && reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &record,
                                    NULL) != REEVE_OK) {
        return; // not one of the manager's; `reeve watch` shows it
    }
    if (!follow->take(follow, &topic, gone ? NULL : record, follow->arg)) {
        return;
    }
    if (follow->json) {
        write_json(follow, delivery, gone ? NULL : record);
    }
    follow->failed |= fflush(stdout) != 0;
    follow->left -= follow->left > 0 ? 1 : 0;
}

static bool seen_enough(void *arg)
{
    const struct follow *follow = arg;
    return follow->left == 0 || follow->failed;
}

static enum reeve_err subscribe(struct follow *follow, struct session *session, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && follow->filters[i] != NULL; i++) {
        char filter[REEVE_TOPIC_SIZE];
        (void)reeve_topic_make(filter, follow->root, "%s", follow->filters[i]);
        err = reeve_bus_subscribe(session->bus, filter, 1, 0, on_message, follow, why);
    }
    return err;
}

int follow_run(struct follow *follow)
{
    SITE_AUTO site = {0};
    SESSION_AUTO session = {0};
    struct reeve_why why = {0};
    follow->json = opt_given(follow->inv, OPT_JSON);
    enum reeve_err err = follow_count(follow->inv, &follow->left, &why);
    if (err == REEVE_OK) {
        err = site_load(follow->inv, &site, &why);
    }
    if (err == REEVE_OK) {
        follow->root = site.root;
        err = session_init(&session, &site, &why);
    }
    if (err == REEVE_OK) {
        err = subscribe(follow, &session, &why);
    }
    if (err == REEVE_OK) {
        err = session_open(&session, &why);
    }
    if (err == REEVE_OK) {
        int64_t end_mono = opt_given(follow->inv, OPT_TIMEOUT) ? session.deadline_mono : 0;
        err = session_run(&session, seen_enough, follow, end_mono, &why);
    }
    if (follow->failed) {
        return EXIT_REFUSED;
    }
    // The end of the time that was asked for, and Ctrl-C, are how it is meant to end; too few messages is an answer,
    // too.
    bool short_of = err == REEVE_TIMEOUT && session.ready && follow->left > 0;
    bool ended = session.ready && (err == REEVE_TIMEOUT || err == REEVE_CANCELLED);
    return err == REEVE_OK || (ended && !short_of) ? EXIT_DONE : output_fail_why(follow->inv, err, &why);
}
