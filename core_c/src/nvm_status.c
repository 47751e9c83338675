/* SPDX-License-Identifier: Apache-2.0 */
#include "nvm_internal.h"

uint32_t nvm_version(void)
{
    return NVM_VERSION;
}

const char *nvm_status_text(nvm_status status)
{
    switch (status) {
    case NVM_OK:
        return "ok";
    case NVM_E_ARG:
        return "null pointer, wrong count or unknown enumerator";
    case NVM_E_FORMAT:
        return "the layers or the arena contradict themselves";
    case NVM_E_RANGE:
        return "an index or a value is outside its range";
    case NVM_E_SIZE:
        return "memory or arena too small, or misaligned";
    case NVM_E_UNSUPPORTED:
        return "not supported by this build";
    case NVM_E_STATE:
        return "called out of order";
    }
    return "unknown status";
}
