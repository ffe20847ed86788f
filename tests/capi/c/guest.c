/* A guest's driver, over BAR0 and BAR2 alone. */
#include "guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How long the card works between two looks, and how many looks there are. */
#define STEP_NS 50000
#define STEPS_MAX 100000

int64_t must(int64_t result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s: %s\n", what, strerror((int)-result), godwit_last_error());
        exit(1);
    }
    return result;
}

static void fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static void get(FILE *file, void *into, size_t byte_count)
{
    if (byte_count != 0 && fread(into, 1, byte_count, file) != byte_count) {
        fail("the job ends too early");
    }
}

static uint64_t get_u64(FILE *file)
{
    uint64_t value;
    get(file, &value, sizeof(value));
    return value;
}

static uint8_t *get_bytes(FILE *file, uint64_t byte_count)
{
    uint8_t *bytes = malloc(byte_count + 1);
    if (bytes == NULL) {
        fail("there is no memory");
    }
    get(file, bytes, byte_count);
    return bytes;
}

struct job job_read(const char *path)
{
    struct job job;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail("the job cannot be opened");
    }
    job.part_count = (uint32_t)get_u64(file);
    job.parts = calloc(job.part_count, sizeof(*job.parts));
    if (job.parts == NULL) {
        fail("there is no memory");
    }
    for (uint32_t i = 0; i < job.part_count; i++) {
        job.parts[i].at = get_u64(file);
        job.parts[i].byte_count = get_u64(file);
        job.parts[i].bytes = get_bytes(file, job.parts[i].byte_count);
    }
    job.entry = get_u64(file);
    job.args = get_u64(file);
    job.stacks = get_u64(file);
    job.shared = get_u64(file);
    job.grid = (uint32_t)get_u64(file);
    job.block = (uint32_t)get_u64(file);
    job.stack_bytes = (uint32_t)get_u64(file);
    job.shared_bytes = (uint32_t)get_u64(file);
    job.output_at = get_u64(file);
    job.output_bytes = get_u64(file);
    job.expected = get_bytes(file, job.output_bytes);
    fclose(file);
    return job;
}

void job_free(struct job *job)
{
    for (uint32_t i = 0; i < job->part_count; i++) {
        free(job->parts[i].bytes);
    }
    free(job->parts);
    free(job->expected);
}

void job_load(const struct job *job, godwit_vgpu vgpu)
{
    for (uint32_t i = 0; i < job->part_count; i++) {
        const struct part *part = &job->parts[i];
        MUST(godwit_vgpu_bar2_write(vgpu, part->at, part->bytes, part->byte_count));
    }
}

bool job_is_done(const struct job *job, godwit_vgpu vgpu)
{
    uint8_t *found = malloc(job->output_bytes);
    if (found == NULL) {
        fail("there is no memory");
    }
    MUST(godwit_vgpu_bar2_read(vgpu, job->output_at, found, job->output_bytes));
    bool same = memcmp(found, job->expected, job->output_bytes) == 0;
    free(found);
    return same;
}

static uint32_t load(godwit_vgpu vgpu, uint64_t at)
{
    uint8_t b[4];
    MUST(godwit_vgpu_bar2_read(vgpu, at, b, sizeof(b)));
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void store(godwit_vgpu vgpu, uint64_t at, uint32_t value)
{
    uint8_t b[4] = {
        (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24),
    };
    MUST(godwit_vgpu_bar2_write(vgpu, at, b, sizeof(b)));
}

struct channel channel_open(godwit_device device, godwit_vgpu vgpu, uint32_t number,
                            uint32_t engine, uint64_t ring)
{
    struct channel channel = { .number = number, .ring = ring, .entries_log2 = 5, .put = 0 };
    uint32_t base = GUEST_CHANNEL_BASE + GUEST_CHANNEL_STRIDE * number;
    uint32_t status = STATUS_FREE;
    store(vgpu, ring + USERD_PUT, 0);
    store(vgpu, ring + USERD_GET, 0);
    MUST(godwit_vgpu_bar0_write(vgpu, base + GUEST_RING_LO, (uint32_t)ring));
    MUST(godwit_vgpu_bar0_write(vgpu, base + GUEST_RING_HI, (uint32_t)(ring >> 32)));
    MUST(godwit_vgpu_bar0_write(vgpu, base + GUEST_RING_LOG2, channel.entries_log2));
    MUST(godwit_vgpu_bar0_write(vgpu, base + GUEST_TSG, number));
    MUST(godwit_vgpu_bar0_write(vgpu, base + GUEST_ENGINE, engine));
    MUST(godwit_vgpu_bar0_write(vgpu, base + GUEST_CONTROL, 1));
    for (int step = 0; step < STEPS_MAX && status == STATUS_FREE; step++) {
        MUST(godwit_run(device, STEP_NS));
        MUST(godwit_vgpu_bar0_read(vgpu, base + GUEST_STATUS, &status));
    }
    if (status != STATUS_READY) {
        fail("the channel is refused");
    }
    return channel;
}

/* Writes an entry of 16 words behind the others. It counts when the doorbell is rung. */
static void push(struct channel *channel, godwit_vgpu vgpu, const uint32_t words[16])
{
    uint64_t place = channel->put % (1u << channel->entries_log2);
    uint64_t at = channel->ring + USERD_BYTES + ENTRY_BYTES * place;
    for (int i = 0; i < 16; i++) {
        store(vgpu, at + 4 * (uint64_t)i, words[i]);
    }
    channel->put++;
}

void channel_launch(struct channel *channel, godwit_vgpu vgpu, const struct job *job)
{
    const uint32_t words[16] = {
        ENTRY_LAUNCH,
        job->grid,
        job->block,
        job->stack_bytes,
        (uint32_t)job->entry,
        (uint32_t)(job->entry >> 32),
        (uint32_t)job->args,
        (uint32_t)(job->args >> 32),
        (uint32_t)job->stacks,
        (uint32_t)(job->stacks >> 32),
        (uint32_t)job->shared,
        (uint32_t)(job->shared >> 32),
        job->shared_bytes,
    };
    push(channel, vgpu, words);
}

void channel_copy(struct channel *channel, godwit_vgpu vgpu, uint64_t from, uint64_t to_bus,
                  uint64_t byte_count)
{
    const uint32_t words[16] = {
        ENTRY_COPY,
        0,
        TARGET_FRAMEBUFFER,
        TARGET_BUS,
        (uint32_t)from,
        (uint32_t)(from >> 32),
        (uint32_t)to_bus,
        (uint32_t)(to_bus >> 32),
        (uint32_t)byte_count,
        (uint32_t)(byte_count >> 32),
    };
    push(channel, vgpu, words);
}

void channel_notify(struct channel *channel, godwit_vgpu vgpu, uint32_t vector)
{
    const uint32_t words[16] = { ENTRY_NOTIFY, vector };
    push(channel, vgpu, words);
}

void channel_ring(const struct channel *channel, godwit_vgpu vgpu)
{
    store(vgpu, channel->ring + USERD_PUT, channel->put);
    MUST(godwit_vgpu_bar0_write(vgpu, GUEST_DOORBELL, channel->number));
}

uint32_t channel_done(const struct channel *channel, godwit_vgpu vgpu)
{
    return load(vgpu, channel->ring + USERD_GET);
}

void channel_finish(const struct channel *channel, godwit_device device, godwit_vgpu vgpu)
{
    for (int step = 0; step < STEPS_MAX; step++) {
        if (channel_done(channel, vgpu) == channel->put) {
            return;
        }
        MUST(godwit_run(device, STEP_NS));
    }
    fail("the work does not end");
}
