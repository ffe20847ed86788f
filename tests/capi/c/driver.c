/* An example driver: two vGPUs on one card run a kernel, and one of them moves to another card
 * while it does, through two file descriptors. Then it is suspended to a file, and resumed, once by
 * the file's path and once by a descriptor. With a window the firmware of the first card is behind
 * it; the other card's is in this process.
 *
 *   driver JOB STATE-FILE [WINDOW-FILE WINDOW-AT [LINE]]
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1024 * 1024)
#define CHUNK_BYTES 65536
#define LAUNCHES 12
#define VECTOR 3
#define RING_AT (2 * MIB)
#define COPY_RING_AT (3 * MIB)
#define BUS_AT 0x100000000
#define BUS_BYTES (1 * MIB)
/* So long firmware behind a window is waited for. */
#define PATIENCE_MS 120000
/* So often what was written meanwhile is read before the vGPU is stopped. */
#define ROUNDS_MAX 4

static void fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

/* Where the first card's firmware is: see WINDOWS in godwit.h. */
struct window {
    const char *path, *line;
    uint64_t at;
};

static godwit_device open_card(uint64_t start_ns, const struct window *window)
{
    godwit_device_config config = {
        .struct_size = sizeof(config),
        .fb_bytes = 64 * MIB,
        .bar_bytes = 64 * MIB,
        .context_bytes = 4 * MIB,
        .start_ns = start_ns,
    };
    if (window->path != NULL) {
        config.transport = GODWIT_TRANSPORT_WINDOW;
        config.patience_ms = PATIENCE_MS;
        config.window_path = window->path;
        config.window_at = window->at;
        config.line_path = window->line;
    }
    godwit_device device;
    MUST(godwit_open(&config, &device));
    printf("card: its firmware is %s\n", window->path != NULL ? "behind a window" : "here");
    return device;
}

static godwit_vgpu create(godwit_device device, uint8_t id)
{
    godwit_vgpu_config config = {
        .struct_size = sizeof(config),
        .channel_count = 8,
        .fb_bytes = 8 * MIB,
        .bar_bytes = 8 * MIB,
        .context_bytes = 32768,
        .weight = 2,
    };
    memset(config.uuid, id, sizeof(config.uuid));
    godwit_vgpu vgpu;
    MUST(godwit_vgpu_create(device, &config, &vgpu));
    godwit_vgpu_info info = { .struct_size = sizeof(info) };
    MUST(godwit_vgpu_get_info(vgpu, &info));
    printf("vGPU %u: %llu MiB, %u channels, weight %u\n", info.gfid,
           (unsigned long long)(info.fb_bytes / MIB), info.channel_count, info.weight);
    return vgpu;
}

static void set_scheduler(godwit_device device, godwit_vgpu vgpu)
{
    const godwit_scheduling scheduling = {
        .struct_size = sizeof(scheduling),
        .policy = GODWIT_POLICY_EQUAL_SHARE,
        .slice_ns = 1000000,
    };
    const godwit_share share = { .struct_size = sizeof(share), .weight = 1 };
    const godwit_limits limits = {
        .struct_size = sizeof(limits),
        .window_ms = 1000,
        .count = { 3, 60, 0, 1 },
        .measure = { GODWIT_MEASURE_PAUSE, GODWIT_MEASURE_BAN, GODWIT_MEASURE_REPORT,
                     GODWIT_MEASURE_REPORT },
    };
    MUST(godwit_set_scheduling(device, &scheduling));
    MUST(godwit_vgpu_set_share(vgpu, &share));
    MUST(godwit_set_limits(device, &limits));
}

/* Has a vGPU run the kernel so often, and says so at the end with an interrupt. */
static struct channel start(godwit_device device, godwit_vgpu vgpu, const struct job *job)
{
    uint32_t id;
    MUST(godwit_vgpu_bar0_read(vgpu, GUEST_ID, &id));
    if (id != GUEST_ID_VALUE) {
        fail("this is another device");
    }
    job_load(job, vgpu);
    struct channel channel = channel_open(device, vgpu, 0, ENGINE_COMPUTE, RING_AT);
    for (int i = 0; i < LAUNCHES; i++) {
        channel_launch(&channel, vgpu, job);
    }
    channel_notify(&channel, vgpu, VECTOR);
    channel_ring(&channel, vgpu);
    return channel;
}

static void expect_vector(godwit_vgpu vgpu, uint32_t vector)
{
    uint32_t vectors;
    MUST(godwit_vgpu_take_vectors(vgpu, UINT32_MAX, &vectors));
    if ((vectors & 1u << vector) == 0) {
        fail("the interrupt has not come");
    }
}

/* The destination: it has a descriptor to read from, a vGPU, and knows nothing else. */
struct receiver {
    int fd;
    godwit_vgpu vgpu;
};

static void *receive(void *argument)
{
    struct receiver *receiver = argument;
    static uint8_t chunk[CHUNK_BYTES];
    uint64_t total = 0;
    MUST(godwit_vgpu_set_state(receiver->vgpu, GODWIT_STATE_RESUMING));
    for (;;) {
        ssize_t count = read(receiver->fd, chunk, sizeof(chunk));
        if (count < 0) {
            fail("the pipe cannot be read");
        }
        if (count == 0) {
            break;
        }
        MUST(godwit_vgpu_write(receiver->vgpu, chunk, (size_t)count));
        total += (uint64_t)count;
    }
    close(receiver->fd);
    MUST(godwit_vgpu_set_state(receiver->vgpu, GODWIT_STATE_RUNNING));
    printf("destination: %llu bytes taken, the vGPU runs\n", (unsigned long long)total);
    return NULL;
}

static void write_all(int fd, const uint8_t *bytes, size_t byte_count)
{
    while (byte_count != 0) {
        ssize_t count = write(fd, bytes, byte_count);
        if (count <= 0) {
            fail("the pipe cannot be written");
        }
        bytes += count;
        byte_count -= (size_t)count;
    }
}

/* Reads what there is for now: returns its bytes. */
static uint64_t send_part(godwit_vgpu vgpu, int fd)
{
    static uint8_t chunk[CHUNK_BYTES];
    uint64_t total = 0;
    for (;;) {
        int64_t count = godwit_vgpu_read(vgpu, chunk, sizeof(chunk));
        if (count == -ENOMSG) {
            return total;
        }
        must(count, "godwit_vgpu_read");
        write_all(fd, chunk, (size_t)count);
        total += (uint64_t)count;
        if ((size_t)count < sizeof(chunk)) {
            return total;
        }
    }
}

/* The source: rounds while the vGPU runs, then the rest while it stands still. */
static void send_state(godwit_device device, godwit_vgpu vgpu, int fd)
{
    uint64_t most;
    MUST(godwit_vgpu_data_size(vgpu, &most));
    printf("source: %llu bytes at most\n", (unsigned long long)most);
    MUST(godwit_vgpu_set_state(vgpu, GODWIT_STATE_PRE_COPY));
    for (int round = 1; round <= ROUNDS_MAX; round++) {
        uint64_t sent = send_part(vgpu, fd);
        MUST(godwit_run(device, 200000));
        godwit_precopy_info info = { .struct_size = sizeof(info) };
        MUST(godwit_vgpu_precopy_info(vgpu, &info));
        printf("source: round %d, %llu bytes sent, %llu left\n", round, (unsigned long long)sent,
               (unsigned long long)(info.initial_bytes + info.dirty_bytes));
    }
    uint32_t state;
    MUST(godwit_vgpu_set_state(vgpu, GODWIT_STATE_STOP_COPY));
    MUST(godwit_vgpu_get_state(vgpu, &state));
    if (state != GODWIT_STATE_STOP_COPY) {
        fail("the vGPU does not stand still");
    }
    uint64_t sent = send_part(vgpu, fd);
    printf("source: stopped, %llu bytes sent\n", (unsigned long long)sent);
    close(fd);
    MUST(godwit_vgpu_set_state(vgpu, GODWIT_STATE_STOP));
}

static void migrate(godwit_device from_device, godwit_vgpu from, godwit_vgpu to)
{
    int fds[2];
    pthread_t thread;
    if (pipe(fds) != 0) {
        fail("there is no pipe");
    }
    struct receiver receiver = { .fd = fds[0], .vgpu = to };
    if (pthread_create(&thread, NULL, receive, &receiver) != 0) {
        fail("there is no thread");
    }
    send_state(from_device, from, fds[1]);
    pthread_join(thread, NULL);
    MUST(godwit_vgpu_destroy(from));
}

/* The vGPU writes guest memory, and the log says where. */
static void use_guest_memory(godwit_device device, godwit_vgpu vgpu)
{
    int fd = memfd_create("guest", MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, BUS_BYTES) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
        fail("there is no memory file");
    }
    const godwit_dma_window window = {
        .struct_size = sizeof(window),
        .flags = GODWIT_DMA_READ | GODWIT_DMA_WRITE,
        .iova = BUS_AT,
        .byte_count = BUS_BYTES,
        .fd = fd,
    };
    const godwit_dma_range range = { .iova = BUS_AT, .byte_count = BUS_BYTES };
    uint64_t page;
    MUST(godwit_vgpu_dma_map(vgpu, &window));
    MUST(godwit_vgpu_dma_log_start(vgpu, &range, 1, 4096, &page));
    struct channel channel = channel_open(device, vgpu, 1, ENGINE_COPY, COPY_RING_AT);
    channel_copy(&channel, vgpu, 0x100000, BUS_AT + 5 * 4096, 2 * 4096);
    channel_notify(&channel, vgpu, VECTOR + 1);
    channel_ring(&channel, vgpu);
    channel_finish(&channel, device, vgpu);
    expect_vector(vgpu, VECTOR + 1);
    uint8_t bitmap[BUS_BYTES / 4096 / 8] = { 0 };
    MUST(godwit_vgpu_dma_log_report(vgpu, BUS_AT, BUS_BYTES, 4096, bitmap, sizeof(bitmap)));
    if (bitmap[0] != (1 << 5 | 1 << 6) || bitmap[1] != 0) {
        fail("the log has other pages");
    }
    uint8_t found[4096], same[4096];
    if (pread(fd, found, sizeof(found), 5 * 4096) != sizeof(found)) {
        fail("the guest's memory cannot be read");
    }
    MUST(godwit_vgpu_bar2_read(vgpu, 0x100000, same, sizeof(same)));
    if (memcmp(found, same, sizeof(same)) != 0) {
        fail("the guest's memory has something else");
    }
    MUST(godwit_vgpu_dma_log_stop(vgpu));
    MUST(godwit_vgpu_dma_unmap(vgpu, BUS_AT, BUS_BYTES));
    close(fd);
    printf("guest memory: pages 5 and 6 were written, in pages of %llu bytes\n",
           (unsigned long long)page);
}

/* Suspends a vGPU to a sealed file, and resumes it on a card. */
static godwit_vgpu through_file(godwit_vgpu vgpu, godwit_device to, const char *path)
{
    uint8_t key[32];
    memset(key, 7, sizeof(key));
    const godwit_file_options options = { .struct_size = sizeof(options), .key = key };
    godwit_vgpu back;
    MUST(godwit_vgpu_suspend(vgpu, path, &options));
    MUST(godwit_vgpu_resume(to, path, &options, &back));
    if (godwit_vgpu_resume(to, path, &options, &vgpu) != -ESTALE) {
        fail("the file is resumed twice");
    }
    printf("refused as it should be: %s\n", godwit_last_error());
    return back;
}

/* The same with a file that nobody else has the name of: the descriptors stay this program's. */
static godwit_vgpu through_descriptor(godwit_vgpu vgpu, godwit_device to)
{
    int fd = memfd_create("state", MFD_CLOEXEC);
    godwit_vgpu back;
    if (fd < 0) {
        fail("there is no memory file");
    }
    MUST(godwit_vgpu_suspend_fd(vgpu, fd, NULL));
    printf("suspended: %lld bytes in a descriptor\n", (long long)lseek(fd, 0, SEEK_END));
    MUST(godwit_vgpu_resume_fd(to, fd, NULL, &back));
    close(fd);
    return back;
}

static void print_events(godwit_device device)
{
    godwit_event event = { .struct_size = sizeof(event) };
    int count = 0;
    MUST(godwit_run(device, 10000000));
    while (MUST(godwit_next_event(device, &event)) == 1) {
        printf("event at %llu ns: %s\n", (unsigned long long)event.at_ns, event.text);
        count++;
    }
    if (count == 0) {
        fail("there is no event");
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 5 && argc != 6) {
        fail("usage: driver JOB STATE-FILE [WINDOW-FILE WINDOW-AT [LINE]]");
    }
    const struct window none = { .path = NULL }, window = {
        .path = argc > 3 ? argv[3] : NULL,
        .at = argc > 4 ? strtoull(argv[4], NULL, 0) : 0,
        .line = argc > 5 ? argv[5] : NULL,
    };
    if (godwit_version() >> 16 != GODWIT_ABI_VERSION >> 16) {
        fail("the library has another version");
    }
    struct job job = job_read(argv[1]);
    godwit_device here = open_card(0, &window), there = open_card(7000000000, &none);
    godwit_vgpu stays = create(here, 1), moves = create(here, 2);
    size_t count;
    MUST(godwit_vgpu_list(here, NULL, 0, &count));
    printf("%zu vGPUs\n", count);
    set_scheduler(here, stays);
    struct channel of_stays = start(here, stays, &job), of_moves = start(here, moves, &job);
    MUST(godwit_run(here, 3000000));
    printf("before the move: %u of %u entries are done\n", channel_done(&of_moves, moves),
           of_moves.put);
    godwit_vgpu moved = create(there, 3);
    migrate(here, moves, moved);
    channel_finish(&of_stays, here, stays);
    channel_finish(&of_moves, there, moved);
    expect_vector(stays, VECTOR);
    expect_vector(moved, VECTOR);
    if (!job_is_done(&job, stays) || !job_is_done(&job, moved)) {
        fail("the result is wrong");
    }
    printf("both results are right\n");
    use_guest_memory(here, stays);
    print_events(here);
    moved = through_file(moved, here, argv[2]);
    moved = through_descriptor(moved, there);
    if (!job_is_done(&job, moved)) {
        fail("the result is gone");
    }
    MUST(godwit_vgpu_reset(stays));
    uint64_t now_ns;
    MUST(godwit_now(here, &now_ns));
    MUST(godwit_close(there));
    MUST(godwit_close(here));
    job_free(&job);
    printf("done at %llu ns\n", (unsigned long long)now_ns);
    return 0;
}
