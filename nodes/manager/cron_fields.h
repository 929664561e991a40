// Inside the cron files: an expression as sets of numbers.
// Must not: be included from anywhere else.
#ifndef REEVE_MANAGER_CRON_FIELDS_H
#define REEVE_MANAGER_CRON_FIELDS_H

#include "cron.h"

enum cron_field { CRON_MINUTE, CRON_HOUR, CRON_DAY, CRON_MONTH, CRON_WEEKDAY, CRON_FIELDS };

struct cron_fields {
    uint64_t set[CRON_FIELDS];   // bit n = the number n is among them; Sunday is 0
    bool days_any, weekdays_any; // the field began with `*`: as in Vixie cron it does not restrict by itself
    bool every_hour;
};

enum reeve_err cron_parse(const char *expression, struct cron_fields *ret, struct reeve_why *why);

static inline bool cron_has(const struct cron_fields *fields, enum cron_field field, unsigned number)
{
    return (fields->set[field] >> number & 1) != 0;
}

#endif
