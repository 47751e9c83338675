/* SPDX-License-Identifier: Apache-2.0
 *
 * plain.h: what the kernel is measured beside.
 */
#ifndef NVM_TEST_PLAIN_H
#define NVM_TEST_PLAIN_H

#include "network.h"

double now_ns(void);

/* Nanoseconds of one dense pass over the layers with weights alone. */
double plain_ns(const network *net);

#endif
