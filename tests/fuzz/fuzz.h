// What the fuzz targets share: the entry point's declaration and the round trip that each codec must stand.
// Must not: depend on libFuzzer; replay.c calls the same entry point.
#ifndef REEVE_FUZZ_H
#define REEVE_FUZZ_H

#include <reeve/codec.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

typedef enum reeve_err fuzz_reader(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                   struct reeve_value **ret, struct reeve_why *why);
typedef enum reeve_err fuzz_writer(const struct reeve_value *value, struct reeve_buf *buf);

// What is read must be written, read again and be the same; what is refused must say why. Aborts otherwise.
// `exact` false: bytes that are text come back as a string, so that only the second round must be the same.
void fuzz_round_trip(fuzz_reader *read, fuzz_writer *write, bool exact, const uint8_t *data, size_t len);

#endif
