/* SPDX-License-Identifier: Apache-2.0
 *
 * The test framework: CHECK counts and reports, RUN names, EACH_SET repeats what follows for every
 * instruction set that this machine has, REPORT ends main.
 */
#ifndef NVM_TEST_H
#define NVM_TEST_H

#include <stdint.h>
#include <stdio.h>

#include "nvm.h"

static int checks_failed;
static unsigned long checks_made;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        checks_made++;                                                                             \
        if (!(condition) && checks_failed++ < 20) {                                                \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                         \
        }                                                                                          \
    } while (0)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        int before_ = checks_failed;                                                               \
        test();                                                                                    \
        printf("%s %s\n", checks_failed == before_ ? "ok  " : "FAIL", #test);                      \
    } while (0)

/* Chooses the first set from *i on that this machine has; 0 and the best set where there is none. */
static inline int choose_set(uint32_t *i)
{
    for (; nvm_isa_name(*i) != NULL; ++*i) {
        if (nvm_isa_available(*i) && nvm_isa_force(nvm_isa_name(*i)) == NVM_OK) {
            printf("%s\n", nvm_isa_chosen());
            return 1;
        }
    }
    (void)nvm_isa_force(NULL);
    return 0;
}

/* Random rounds of a test: one of NVM_TEST_SHARE, for emulated processors. */
#ifndef NVM_TEST_SHARE
#define NVM_TEST_SHARE 1
#endif
#define ROUNDS(n) ((n) / NVM_TEST_SHARE)

#define EACH_SET for (uint32_t set_ = 0; choose_set(&set_); set_++)

#define REPORT() (printf("%lu checks, %d failed\n", checks_made, checks_failed), checks_failed != 0)

#endif
