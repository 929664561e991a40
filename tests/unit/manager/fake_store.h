// The fake store's own levers; the rest is store.h. Call fake_store_reset() in each test's teardown.
// Must not: be linked beside the real store.
#ifndef REEVE_TEST_FAKE_STORE_H
#define REEVE_TEST_FAKE_STORE_H

#include "fake_manager.h"

void fake_store_reset(void);                // forget everything
void fake_store_refuse(enum reeve_err err); // from now on every write fails; OK = no more
size_t fake_store_writes(void);             // puts and removes of documents since the reset
const struct reeve_value *fake_store_document(enum store_collection collection, const char *key); // NULL

#endif
