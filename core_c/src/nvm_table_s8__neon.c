/* SPDX-License-Identifier: Apache-2.0
 *
 * The scalar source, but for its look-ups.
 */
#include "nvm_isa_neon.h"

#include "nvm_table_s8__scalar.c"
