// Inside the record code: what one type of field can do. One row per type in record.c.
// Must not: be included from anywhere else.
#ifndef REEVE_RECORD_FIELDS_H
#define REEVE_RECORD_FIELDS_H

#include <reeve/record.h>

#define REEVE_SECRET_TEXT "***"
#define REEVE_EXPECT_SIZE 200

static inline void *reeve_field_slot(const struct reeve_field *field, void *object)
{
    return (char *)object + field->offset;
}

static inline const void *reeve_field_slot_const(const struct reeve_field *field, const void *object)
{
    return (const char *)object + field->offset;
}

// What a field takes, for messages and the reference page: `a whole number from 1 to 64`. Returns buf.
const char *reeve_field_expect(const struct reeve_field *field, char buf[REEVE_EXPECT_SIZE]);
// A bound or value of INT, REAL, DURATION, SIZE as a person would write it. Returns buf.
const char *reeve_field_number_text(const struct reeve_field *field, int64_t number, char buf[40]);
bool reeve_text_ends(const char *text, const char *end);

#endif
