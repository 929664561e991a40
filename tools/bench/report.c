// The report of a benchmark: measures, audit, machine, as JSON or a table.
// Must not: judge a figure; it says goal and result.
#include "machine.h"
#include "measure.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <stdio.h>

struct reeve_value *report_begin(struct report *report, const char *bench, const char *dir)
{
    *report = (struct report){
        .measures = reeve_value_list(), .skipped = reeve_value_list(), .audit = reeve_value_map(), .audit_ok = true};
    struct reeve_value *whole = reeve_value_map();
    reeve_put_str(whole, "bench", bench);
    reeve_put_int(whole, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(whole, "machine", machine_value(dir)); // reeve_value_built()
    (void)reeve_value_put(whole, "load_before", machine_load()); // as above
    return whole;
}

void report_end(struct report *report, struct reeve_value *whole)
{
    reeve_put_bool(report->audit, "ok", report->audit_ok);
    (void)reeve_value_put(whole, "load_after", machine_load()); // reeve_value_built()
    (void)reeve_value_put(whole, "measures", report->measures); // as above
    (void)reeve_value_put(whole, "skipped", report->skipped);   // as above
    (void)reeve_value_put(whole, "audit", report->audit);       // as above
}

void report_series(struct report *report, struct series *series)
{
    struct reeve_value *value = series_value(series);
    series->len = 0;
    if (value != NULL) {
        (void)reeve_value_add(report->measures, value); // reeve_value_built()
    }
}

void report_check(struct report *report, const char *name, int64_t counted, int64_t expected)
{
    struct reeve_value *check = reeve_value_map();
    reeve_put_int(check, "counted", counted);
    reeve_put_int(check, "expected", expected);
    (void)reeve_value_put(report->audit, name, check); // reeve_value_built()
    report->audit_ok = report->audit_ok && counted == expected;
}

void report_skip(struct report *report, const char *name, const char *why)
{
    struct reeve_value *skip = reeve_value_map();
    reeve_put_str(skip, "name", name);
    reeve_put_str(skip, "why", why);
    (void)reeve_value_add(report->skipped, skip); // reeve_value_built()
}

bool report_table(const struct reeve_value *whole)
{
    const struct reeve_value *measures = reeve_value_get(whole, "measures");
    (void)printf("%-22s %8s %8s %8s %8s  %-10s %s\n", "measure", "p50", "p99", "max", "goal", "unit", "");
    for (size_t i = 0; i < reeve_value_len(measures); i++) {
        const struct reeve_value *row = reeve_value_at(measures, i);
        const char *met = reeve_value_get(row, "met") == NULL ? ""
                          : reeve_get_bool(row, "met", false) ? "met"
                                                              : "NOT MET";
        (void)printf("%-22s %8.2f %8.2f %8.2f %8.6g  %-10s %s\n", reeve_get_str(row, "name"),
                     reeve_value_real(reeve_value_get(row, "p50"), 0), reeve_value_real(reeve_value_get(row, "p99"), 0),
                     reeve_value_real(reeve_value_get(row, "max"), 0),
                     reeve_value_real(reeve_value_get(row, "goal"), 0), reeve_get_str(row, "unit"), met);
    }
    return fflush(stdout) == 0;
}

bool report_json(const struct reeve_value *whole)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    bool good = reeve_value_built(whole) == REEVE_OK && reeve_json_write(whole, REEVE_JSON_PRETTY, &text) == REEVE_OK;
    good = good && puts(reeve_buf_str(&text)) >= 0;
    return fflush(stdout) == 0 && good;
}
