/* Two vGPUs of one card, of which now one and now the other does too much: each time it is told
 * which one it was. */
#include "guest.h"

#include <stdlib.h>
#include <string.h>

#define MIB (1024 * 1024)
#define RING_AT (2 * MIB)
/* So many doorbells are allowed in a window, which is longer than all of this. */
#define ALLOWED 2

static void fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static godwit_vgpu create(godwit_device device)
{
    const godwit_vgpu_config config = {
        .struct_size = sizeof(config),
        .channel_count = 2,
        .fb_bytes = 8 * MIB,
        .bar_bytes = 8 * MIB,
        .context_bytes = 4096,
    };
    godwit_vgpu vgpu;
    MUST(godwit_vgpu_create(device, &config, &vgpu));
    return vgpu;
}

/* Has a vGPU ring its doorbell so often: each time there is work, and the card is done with it. */
static void ring_often(godwit_device device, godwit_vgpu vgpu, struct channel *channel, int count)
{
    for (int i = 0; i < count; i++) {
        channel_notify(channel, vgpu, 1);
        channel_ring(channel, vgpu);
        channel_finish(channel, device, vgpu);
    }
}

/* The only event is of this vGPU. */
static void expect(godwit_device device, godwit_vgpu vgpu)
{
    godwit_event event = { .struct_size = sizeof(event) };
    godwit_vgpu_info info = { .struct_size = sizeof(info) };
    char name[32];
    MUST(godwit_vgpu_get_info(vgpu, &info));
    snprintf(name, sizeof(name), "vGPU %u ", info.gfid);
    if (MUST(godwit_next_event(device, &event)) != 1) {
        fail("nothing is told");
    }
    if (event.kind != GODWIT_EVENT_ABUSE || event.abuse != GODWIT_ABUSE_DOORBELLS ||
        event.measure != GODWIT_MEASURE_REPORT || event.vgpu.raw != vgpu.raw ||
        strncmp(event.text, name, strlen(name)) != 0 || event.at_ns == 0) {
        fprintf(stderr, "%s\n", event.text);
        fail("something else is told, or of another");
    }
    if (MUST(godwit_next_event(device, &event)) != 0) {
        fail("more is told");
    }
}

int main(void)
{
    const godwit_device_config config = {
        .struct_size = sizeof(config),
        .fb_bytes = 32 * MIB,
        .bar_bytes = 32 * MIB,
        .context_bytes = MIB,
    };
    const godwit_limits limits = {
        .struct_size = sizeof(limits),
        .window_ms = 3600000,
        .count = { 0, 0, ALLOWED, 0 },
    };
    godwit_event event = { .struct_size = sizeof(event) };
    godwit_device device;
    MUST(godwit_open(&config, &device));
    MUST(godwit_set_limits(device, &limits));
    godwit_vgpu first = create(device), second = create(device);
    struct channel of_first = channel_open(device, first, 0, ENGINE_COPY, RING_AT);
    struct channel of_second = channel_open(device, second, 1, ENGINE_COPY, RING_AT);
    /* As much as each may have is no abuse, and what one has does not count for the other. */
    ring_often(device, first, &of_first, ALLOWED);
    ring_often(device, second, &of_second, ALLOWED);
    if (MUST(godwit_next_event(device, &event)) != 0) {
        fail("what is allowed is told");
    }
    ring_often(device, second, &of_second, 1);
    expect(device, second);
    ring_often(device, first, &of_first, 1);
    expect(device, first);
    MUST(godwit_close(device));
    printf("both were named\n");
    return 0;
}
