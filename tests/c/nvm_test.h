/* SPDX-License-Identifier: Apache-2.0
 *
 * The test framework: CHECK counts and reports, RUN names, REPORT ends main.
 */
#ifndef NVM_TEST_H
#define NVM_TEST_H

#include <stdint.h>
#include <stdio.h>

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

#define REPORT() (printf("%lu checks, %d failed\n", checks_made, checks_failed), checks_failed != 0)

#endif
