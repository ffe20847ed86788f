/* What a guest's driver knows of its vGPU (hal/regs/REGISTERS.md), and a job for it. A test holds
 * that the numbers are those of the register map. */
#ifndef GUEST_H
#define GUEST_H

#include <godwit.h>
#include <stdbool.h>
#include <stdio.h>

#define GUEST_ID 0x0000
#define GUEST_ID_VALUE 0x56574447
#define GUEST_VERSION 0x0004
#define GUEST_CHANNEL_BASE 0x10000
#define GUEST_CHANNEL_STRIDE 0x20
#define GUEST_RING_LO 0x00
#define GUEST_RING_HI 0x04
#define GUEST_RING_LOG2 0x08
#define GUEST_TSG 0x0c
#define GUEST_ENGINE 0x10
#define GUEST_CONTROL 0x14
#define GUEST_STATUS 0x18
#define GUEST_DOORBELL 0x30000

#define STATUS_FREE 0
#define STATUS_READY 1

#define USERD_PUT 0
#define USERD_GET 4
#define USERD_BYTES 512
#define ENTRY_BYTES 64

#define ENTRY_LAUNCH 1
#define ENTRY_COPY 2
#define ENTRY_NOTIFY 6

#define TARGET_FRAMEBUFFER 0
#define TARGET_BUS 1

#define ENGINE_COMPUTE 0
#define ENGINE_COPY 1

/* Bytes that are put into the framebuffer before a launch. */
struct part {
    uint64_t at;
    uint64_t byte_count;
    uint8_t *bytes;
};

/* A kernel's launch, with what goes in and what must come out. */
struct job {
    uint32_t part_count;
    struct part *parts;
    uint64_t entry, args, stacks, shared;
    uint32_t grid, block, stack_bytes, shared_bytes;
    uint64_t output_at, output_bytes;
    uint8_t *expected;
};

/* A channel of a vGPU, as its guest has it. It knows nothing of where the vGPU is. */
struct channel {
    uint32_t number;
    uint64_t ring;
    uint32_t entries_log2;
    uint32_t put;
};

/* Ends the program with the library's message, unless a call has succeeded. */
int64_t must(int64_t result, const char *what);

#define MUST(call) must((call), #call)

/* Reads a job from a file, or ends the program. */
struct job job_read(const char *path);
void job_free(struct job *job);
/* Puts a job's bytes in place. */
void job_load(const struct job *job, godwit_vgpu vgpu);
/* Whether the output is there. */
bool job_is_done(const struct job *job, godwit_vgpu vgpu);

/* Asks for a channel and waits until it takes work. */
struct channel channel_open(godwit_device device, godwit_vgpu vgpu, uint32_t number,
                            uint32_t engine, uint64_t ring);
void channel_launch(struct channel *channel, godwit_vgpu vgpu, const struct job *job);
void channel_copy(struct channel *channel, godwit_vgpu vgpu, uint64_t from, uint64_t to_bus,
                  uint64_t byte_count);
void channel_notify(struct channel *channel, godwit_vgpu vgpu, uint32_t vector);
void channel_ring(const struct channel *channel, godwit_vgpu vgpu);
/* Entries that are done so far. */
uint32_t channel_done(const struct channel *channel, godwit_vgpu vgpu);
/* Lets the card work until all entries are done. */
void channel_finish(const struct channel *channel, godwit_device device, godwit_vgpu vgpu);

#endif
