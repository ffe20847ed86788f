/* What the template leaves out: statics with and without a value, constants,
 * shared memory, the barrier and the call that ends a thread. One block.
 *
 * Argument: address of three words for each thread. */
#include "godwit_kernel.h"

static uint32_t with_value = 100;
static uint32_t zeroed[300];
static const uint32_t squares[4] = {0, 1, 4, 9};

void kernel_main(const gw_thread *thread)
{
    uint32_t *shared = gw_shared(thread);
    uint64_t own = gw_index_in_block(thread);
    uint32_t *output = (uint32_t *)gw_framebuffer(gw_arg(thread, 0)) + 3 * own;

    if (gw_block_index(thread) != 0 || gw_block_count(thread) != 1) {
        gw_fault();
    }
    shared[own] = squares[own];
    __atomic_fetch_add(&with_value, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&zeroed[299], 1, __ATOMIC_RELAXED);
    gw_barrier();
    output[0] = shared[(own + 1) % gw_block_size(thread)];
    output[1] = with_value;
    output[2] = zeroed[299];
    gw_exit();
}
