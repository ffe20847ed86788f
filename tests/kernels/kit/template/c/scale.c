/* Multiplies an array of words by a factor.
 *
 * Arguments: address of the input, address of the output, number of words,
 * factor. */
#include "godwit_kernel.h"

void kernel_main(const gw_thread *thread)
{
    const uint32_t *input = gw_framebuffer(gw_arg(thread, 0));
    uint32_t *output = gw_framebuffer(gw_arg(thread, 1));
    uint64_t length = gw_arg(thread, 2);
    uint32_t factor = (uint32_t)gw_arg(thread, 3);

    for (uint64_t i = gw_thread_index(thread); i < length; i += gw_thread_count(thread)) {
        output[i] = input[i] * factor;
    }
}
