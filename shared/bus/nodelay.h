// TCP_NODELAY for the connection to the broker. Paho 1.3.12 neither sets it nor shows its socket; without it a client
// that publishes and receives stalls on delayed acknowledgements (docs/measurements.md).
#ifndef REEVE_BUS_NODELAY_H
#define REEVE_BUS_NODELAY_H

#include <stddef.h>
#include <stdint.h>

// Sets it on every TCP socket of this process whose peer has this port. Returns how many.
size_t reeve_nodelay_set(uint16_t peer_port);

#endif
