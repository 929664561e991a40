// SipHash-2-4 (Aumasson, Bernstein 2012): a hash whose collisions nobody can prepare without the key.
// For tables whose keys come from the network.
// Must not: be used to prove anything, only to spread keys.
#ifndef REEVE_CORE_SIPHASH_H
#define REEVE_CORE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t reeve_siphash(const uint64_t key[2], const void *data, size_t len);

#endif
