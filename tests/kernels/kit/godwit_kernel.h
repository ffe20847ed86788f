/* What a kernel in C for the simulated GPU needs. Link it with start.S and
 * kernel.ld, which lie beside this header; template/README.md has the commands.
 *
 * A kernel is a static RV64IMAC program without floating point. Addresses are
 * relative to the vGPU's framebuffer partition. .data and .bss are shared by
 * all threads; a thread's own data is on its stack.
 */
#ifndef GODWIT_KERNEL_H
#define GODWIT_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a thread starts with. start.S fills it, in this order. */
typedef struct gw_thread {
    const uint64_t *args;
    uint64_t index;
    uint64_t count;
    uint64_t block_size;
    void *shared;
} gw_thread;

#if !defined(__cplusplus) && __SIZEOF_POINTER__ == 8
_Static_assert(offsetof(gw_thread, shared) == 32, "start.S stores five words");
#endif

/* The kernel itself: you define it. Returning from it ends the thread. */
void kernel_main(const gw_thread *thread);

/* Index of this thread in the grid. */
static inline uint64_t gw_thread_index(const gw_thread *thread)
{
    return thread->index;
}

/* Number of threads in the grid. */
static inline uint64_t gw_thread_count(const gw_thread *thread)
{
    return thread->count;
}

/* Number of threads in a block. */
static inline uint64_t gw_block_size(const gw_thread *thread)
{
    return thread->block_size;
}

/* Number of blocks in the grid. */
static inline uint64_t gw_block_count(const gw_thread *thread)
{
    return thread->count / thread->block_size;
}

/* Index of this thread's block in the grid. */
static inline uint64_t gw_block_index(const gw_thread *thread)
{
    return thread->index / thread->block_size;
}

/* Index of this thread in its block. */
static inline uint64_t gw_index_in_block(const gw_thread *thread)
{
    return thread->index % thread->block_size;
}

/* Word `n` of the argument block. */
static inline uint64_t gw_arg(const gw_thread *thread, size_t n)
{
    return thread->args[n];
}

/* Start of the block's shared memory: undefined bytes when a block starts. */
static inline void *gw_shared(const gw_thread *thread)
{
    return thread->shared;
}

/* A framebuffer address, as arguments carry it, as a pointer. */
static inline void *gw_framebuffer(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

#if defined(__riscv) && __riscv_xlen == 64

/* Waits until every thread of the block is here or has ended. What was written
 * before it by any of them can be read behind it by all of them. */
static inline void gw_barrier(void)
{
    register uint64_t number __asm__("a7") = 1000;
    __asm__ volatile("ecall" : : "r"(number) : "a0", "memory");
}

/* Ends this thread. */
__attribute__((noreturn)) static inline void gw_exit(void)
{
    register uint64_t number __asm__("a7") = 93;
    __asm__ volatile("ecall" : : "r"(number) : "a0", "memory");
    __builtin_unreachable();
}

/* Stops the whole channel with a fault: for what must not happen. */
__attribute__((noreturn)) static inline void gw_fault(void)
{
    __asm__ volatile("unimp" : : : "memory");
    __builtin_unreachable();
}

#else

/* Any other compiler may read this header (an editor's, say); no program of
 * its making has these. */
void gw_barrier(void);
void gw_exit(void);
void gw_fault(void);

#endif

#ifdef __cplusplus
}
#endif

#endif
