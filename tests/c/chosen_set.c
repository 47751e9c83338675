/* SPDX-License-Identifier: Apache-2.0
 *
 * chosen_set.c: prints the instruction set that the kernel chooses on this machine.
 */
#include <stdio.h>

#include "nvm.h"

int main(void)
{
    puts(nvm_isa_chosen());
    return 0;
}
