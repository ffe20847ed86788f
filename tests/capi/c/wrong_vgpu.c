/* Wrong arguments of calls on a vGPU: on the bus, in a migration. */
#define _GNU_SOURCE
#include "wrong.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Memory of large pages, where the system has it: a place of it may be missing when it is used. */
static void large_pages(godwit_dma_window window)
{
    window.fd = memfd_create("large", MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (window.fd < 0) {
        return;
    }
    if (ftruncate(window.fd, 2 * MIB) == 0 && fcntl(window.fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0) {
        IS(-EOPNOTSUPP, godwit_vgpu_dma_map(vgpu, &window));
    }
    close(window.fd);
}

void on_bus(void)
{
    int sealed = memfd_create("sealed", MFD_ALLOW_SEALING), open_fd = memfd_create("open", 0);
    int none = open("/dev/null", O_RDONLY), fds[2];
    if (sealed < 0 || open_fd < 0 || none < 0 || pipe(fds) != 0 || ftruncate(sealed, MIB) != 0 ||
        ftruncate(open_fd, MIB) != 0 || fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
        printf("there are no files\n");
        exit(1);
    }
    int empty = memfd_create("empty", MFD_ALLOW_SEALING);
    int unwritable = memfd_create("unwritable", MFD_ALLOW_SEALING);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", sealed);
    int unopened = open(path, O_RDONLY);
    if (empty < 0 || unwritable < 0 || unopened < 0 || ftruncate(unwritable, MIB) != 0 ||
        fcntl(empty, F_ADD_SEALS, F_SEAL_SHRINK) != 0 ||
        fcntl(unwritable, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE) != 0) {
        printf("there are no files\n");
        exit(1);
    }
    const godwit_dma_window good = {
        .struct_size = sizeof(good), .flags = GODWIT_DMA_READ, .iova = BUS_AT, .byte_count = MIB,
        .fd = sealed,
    };
#define MAP godwit_vgpu_dma_map(vgpu, it)
    WRONG_INPUT(godwit_dma_window, good, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, flags, 0, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, flags, 4, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, reserved, 1, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, iova, BUS_AT + 1, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, iova, UINT64_MAX - 4095, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, byte_count, 0, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, byte_count, 2 * MIB, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, offset, PAGE, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, peer, vgpu, MAP);
    WRONG_FIELD(-EBADF, godwit_dma_window, good, fd, -1, MAP);
    WRONG_FIELD(-EBADF, godwit_dma_window, good, fd, -2, MAP);
    WRONG_FIELD(-EBADF, godwit_dma_window, good, fd, 1000000, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, fd, none, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, fd, fds[0], MAP);
    WRONG_FIELD(-EPERM, godwit_dma_window, good, fd, open_fd, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, fd, empty, MAP);
    WRONG_FIELD(-EPERM, godwit_dma_window, good, fd, unwritable, MAP);
    WRONG_FIELD(-EACCES, godwit_dma_window, good, fd, unopened, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, byte_count, PAGE + 1, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, offset, 1, MAP);
    WRONG_FIELD(-EINVAL, godwit_dma_window, good, offset, UINT64_MAX - 4095, MAP);
    const godwit_dma_window peer = {
        .struct_size = sizeof(peer), .flags = GODWIT_DMA_READ, .iova = BUS_AT, .byte_count = MIB,
        .fd = -1,
    };
    WRONG_FIELD(-EINVAL, godwit_dma_window, peer, peer, vgpu, MAP);
    WRONG_FIELD(-EBADF, godwit_dma_window, peer, peer, elsewhere, MAP);
    WRONG_FIELD(-EBADF, godwit_dma_window, peer, peer, as_vgpu(device.raw), MAP);
    large_pages(good);
    OK(godwit_vgpu_dma_map(vgpu, &good));
    IS(-EEXIST, godwit_vgpu_dma_map(vgpu, &good));
    IS(-ENOENT, godwit_vgpu_dma_unmap(vgpu, BUS_AT, PAGE));
    IS(-ENOENT, godwit_vgpu_dma_unmap(vgpu, UINT64_MAX, UINT64_MAX));
    OK(godwit_vgpu_dma_unmap(vgpu, BUS_AT, MIB));
    godwit_dma_window page = good;
    page.byte_count = PAGE;
    for (size_t i = 0; i < 256; i++, page.iova += PAGE) {
        OK(godwit_vgpu_dma_map(vgpu, &page));
    }
    IS(-ENOSPC, godwit_vgpu_dma_map(vgpu, &page));
    for (size_t i = 0; i < 256; i++) {
        page.iova -= PAGE;
        OK(godwit_vgpu_dma_unmap(vgpu, page.iova, PAGE));
    }
    const int files[] = { empty, unwritable, unopened, sealed, open_fd, none, fds[0], fds[1] };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        close(files[i]);
    }
}

/* Logs that cannot be kept. */
static void no_log(void)
{
    static godwit_dma_range many[65];
    const godwit_dma_range good = { .iova = BUS_AT, .byte_count = MIB };
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, NULL, 0, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, 0, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_start(vgpu, NULL, 1, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_start(vgpu, NULL, SIZE_MAX, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_start(vgpu, ODD(godwit_dma_range), 1, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, SIZE_MAX, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, SIZE_MAX / 16 + 1, PAGE, NULL));
    IS(-E2BIG, godwit_vgpu_dma_log_start(vgpu, many, 65, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, many, 64, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_start(vgpu, &good, 1, PAGE, ODD(uint64_t)));
    const uint64_t pages[] = { 0, 1, PAGE / 2, PAGE + 1, 5000, (uint64_t)1 << 31, UINT64_MAX };
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, 1, pages[i], NULL));
    }
    const godwit_dma_range ranges[] = {
        { .iova = BUS_AT + 1, .byte_count = PAGE }, { .iova = BUS_AT, .byte_count = PAGE + 1 },
        { .iova = BUS_AT, .byte_count = 0 },        { .iova = 0, .byte_count = 1 },
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &ranges[i], 1, PAGE, NULL));
    }
    /* Whole pages of the least size are none of a larger one. */
    const godwit_dma_range page = { .iova = BUS_AT + PAGE, .byte_count = PAGE };
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &page, 1, 2 * PAGE, NULL));
    const godwit_dma_range over = { .iova = UINT64_MAX - 4095, .byte_count = 2 * PAGE };
    const godwit_dma_range last = { .iova = UINT64_MAX - 4095, .byte_count = PAGE };
    const godwit_dma_range huge = { .iova = 0, .byte_count = (uint64_t)1 << 56 };
    IS(-EOVERFLOW, godwit_vgpu_dma_log_start(vgpu, &over, 1, PAGE, NULL));
    IS(-EOVERFLOW, godwit_vgpu_dma_log_start(vgpu, &last, 1, PAGE, NULL));
    IS(-E2BIG, godwit_vgpu_dma_log_start(vgpu, &huge, 1, PAGE, NULL));
    const godwit_dma_range overlapping[] = {
        { .iova = BUS_AT + PAGE, .byte_count = 2 * PAGE },
        { .iova = BUS_AT, .byte_count = 2 * PAGE },
    };
    const godwit_dma_range twice[] = { good, good };
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, overlapping, 2, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, twice, 2, PAGE, NULL));
}

void on_log(void)
{
    const godwit_dma_range good = { .iova = BUS_AT, .byte_count = MIB };
    uint8_t bitmap[32] = { 0 };
    const size_t room = sizeof(bitmap);
    no_log();
    /* Nothing of this has begun one. */
    IS(-EINVAL, godwit_vgpu_dma_log_stop(vgpu));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, room));
    OK(godwit_vgpu_dma_log_start(vgpu, &good, 1, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, 1, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, NULL, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, SIZE_MAX));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, room - 1));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, NULL, 0));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, 0, bitmap, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, 5000, bitmap, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, UINT64_MAX, bitmap, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, 0, PAGE, bitmap, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT + 1, PAGE, PAGE, bitmap, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, PAGE + 1, PAGE, bitmap, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB + PAGE, PAGE, bitmap, room + 1));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, 0, MIB, PAGE, bitmap, room));
    IS(-E2BIG, godwit_vgpu_dma_log_report(vgpu, BUS_AT, UINT64_MAX, PAGE, bitmap, room));
    IS(-EOVERFLOW, godwit_vgpu_dma_log_report(vgpu, UINT64_MAX - 4095, MIB, PAGE, bitmap, room));
    OK(godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, room));
    OK(godwit_vgpu_dma_log_stop(vgpu));
    IS(-EINVAL, godwit_vgpu_dma_log_stop(vgpu));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, room));
}

/* Reads until there is nothing for now, which is told once more at each further look. */
static void read_all_for_now(void)
{
    static uint8_t bytes[MIB];
    int64_t count = 0;
    do {
        count = godwit_vgpu_read(vgpu, bytes, sizeof(bytes));
        calls++;
    } while (count > 0);
    look(count, -ENOMSG, "godwit_vgpu_read(vgpu, bytes, sizeof(bytes))", __LINE__);
    IS(-ENOMSG, godwit_vgpu_read(vgpu, bytes, 1));
}

/* In each state: where no way leads, and what it is not for. */
static void in_state(uint32_t state)
{
    godwit_precopy_info info = { .struct_size = sizeof(info) };
    const uint32_t none[] = { GODWIT_STATE_ERROR, 8, 256 + GODWIT_STATE_STOP, UINT32_MAX };
    const int reads = state == GODWIT_STATE_STOP_COPY || state == GODWIT_STATE_PRE_COPY ||
                      state == GODWIT_STATE_PRE_COPY_P2P;
    uint8_t bytes[8] = { 0 };
    uint32_t found = 0;
    OK(godwit_vgpu_set_state(vgpu, state));
    OK(godwit_vgpu_set_state(vgpu, state));
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        IS(-EINVAL, godwit_vgpu_set_state(vgpu, none[i]));
    }
    if (state == GODWIT_STATE_STOP_COPY) {
        IS(-EINVAL, godwit_vgpu_set_state(vgpu, GODWIT_STATE_PRE_COPY));
        IS(-EINVAL, godwit_vgpu_set_state(vgpu, GODWIT_STATE_PRE_COPY_P2P));
    }
    if (!reads) {
        IS(-EINVAL, godwit_vgpu_read(vgpu, bytes, sizeof(bytes)));
    }
    if (!reads || state == GODWIT_STATE_STOP_COPY) {
        IS(-EINVAL, godwit_vgpu_precopy_info(vgpu, &info));
    }
    if (state != GODWIT_STATE_RESUMING) {
        IS(-EINVAL, godwit_vgpu_write(vgpu, bytes, sizeof(bytes)));
    }
    if (state != GODWIT_STATE_RUNNING) {
        IS(-EINVAL, godwit_vgpu_suspend(vgpu, state_path, NULL));
        IS(-EINVAL, godwit_vgpu_suspend_fd(vgpu, 0, NULL));
    }
    OK(godwit_vgpu_get_state(vgpu, &found));
    if (found != state) {
        wrong("a call that was refused has changed the state");
    }
}

static void in_states(void)
{
    const uint32_t states[] = {
        GODWIT_STATE_RUNNING,     GODWIT_STATE_RUNNING_P2P, GODWIT_STATE_STOP,
        GODWIT_STATE_STOP_COPY,   GODWIT_STATE_RUNNING,     GODWIT_STATE_PRE_COPY,
        GODWIT_STATE_PRE_COPY_P2P, GODWIT_STATE_STOP_COPY,  GODWIT_STATE_RESUMING,
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        in_state(states[i]);
    }
    OK(godwit_vgpu_reset(vgpu));
}

/* Nothing but a reset leads out of ERROR. */
static void in_error(void)
{
    godwit_precopy_info info = { .struct_size = sizeof(info) };
    uint8_t bytes[8] = { 0 };
    for (uint32_t state = GODWIT_STATE_ERROR; state <= GODWIT_STATE_PRE_COPY_P2P; state++) {
        IS(-EINVAL, godwit_vgpu_set_state(vgpu, state));
    }
    IS(-EINVAL, godwit_vgpu_read(vgpu, bytes, sizeof(bytes)));
    IS(-EINVAL, godwit_vgpu_write(vgpu, bytes, sizeof(bytes)));
    IS(-EINVAL, godwit_vgpu_precopy_info(vgpu, &info));
    IS(-EINVAL, godwit_vgpu_suspend(vgpu, state_path, NULL));
}

void in_migration(void)
{
    godwit_precopy_info info = { .struct_size = sizeof(info) };
    uint8_t bytes[64] = { 1 };
    uint32_t state = 0;
#define PRECOPY godwit_vgpu_precopy_info(vgpu, it)
    IS(-EINVAL, godwit_vgpu_set_state(vgpu, GODWIT_STATE_ERROR));
    IS(-EINVAL, godwit_vgpu_set_state(vgpu, 8));
    IS(-EINVAL, godwit_vgpu_set_state(vgpu, UINT32_MAX));
    IS(-EFAULT, godwit_vgpu_get_state(vgpu, NULL));
    IS(-EFAULT, godwit_vgpu_get_state(vgpu, ODD(uint32_t)));
    IS(-EFAULT, godwit_vgpu_data_size(vgpu, NULL));
    IS(-EFAULT, godwit_vgpu_data_size(vgpu, ODD(uint64_t)));
    IS(-EINVAL, godwit_vgpu_read(vgpu, bytes, sizeof(bytes)));
    IS(-EINVAL, godwit_vgpu_write(vgpu, bytes, sizeof(bytes)));
    IS(-EINVAL, godwit_vgpu_precopy_info(vgpu, &info));
    OK(godwit_vgpu_set_state(vgpu, GODWIT_STATE_PRE_COPY));
    WRONG_SIZES(godwit_precopy_info, info, PRECOPY);
    IS(-EFAULT, godwit_vgpu_read(vgpu, NULL, 1));
    IS(-EINVAL, godwit_vgpu_read(vgpu, bytes, SIZE_MAX));
    IS(-EINVAL, godwit_vgpu_suspend(vgpu, state_path, NULL));
    read_all_for_now();
    OK(godwit_vgpu_set_state(vgpu, GODWIT_STATE_STOP_COPY));
    IS(-EBUSY, godwit_vgpu_bar2_read(vgpu, 0, bytes, sizeof(bytes)));
    IS(-EBUSY, godwit_vgpu_bar2_write(vgpu, 0, bytes, sizeof(bytes)));
    IS(-EBUSY, godwit_vgpu_bar0_write(vgpu, 0x10014, 1));
    OK(godwit_vgpu_set_state(vgpu, GODWIT_STATE_RESUMING));
    IS(-EFAULT, godwit_vgpu_write(vgpu, NULL, 1));
    IS(-EINVAL, godwit_vgpu_write(vgpu, bytes, SIZE_MAX));
    IS(-EINVAL, godwit_vgpu_write(vgpu, bytes, sizeof(bytes)));
    OK(godwit_vgpu_get_state(vgpu, &state));
    if (state != GODWIT_STATE_ERROR) {
        printf("a state that is none leads to ERROR, and not to %u\n", state);
        failures++;
    }
    in_error();
    OK(godwit_vgpu_reset(vgpu));
    OK(godwit_vgpu_set_state(vgpu, GODWIT_STATE_RESUMING));
    IS(-EINVAL, godwit_vgpu_set_state(vgpu, GODWIT_STATE_RUNNING));
    OK(godwit_vgpu_reset(vgpu));
    in_states();
}
