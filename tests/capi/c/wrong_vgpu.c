/* Wrong arguments of calls on a vGPU: on the bus, in a migration. */
#define _GNU_SOURCE
#include "wrong.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

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

void on_log(void)
{
    static godwit_dma_range many[65];
    const godwit_dma_range good = { .iova = BUS_AT, .byte_count = MIB };
    const godwit_dma_range odd = { .iova = BUS_AT + 1, .byte_count = PAGE };
    const godwit_dma_range over = { .iova = UINT64_MAX - 4095, .byte_count = 2 * PAGE };
    uint8_t bitmap[32] = { 0 };
    const size_t room = sizeof(bitmap);
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, NULL, 0, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_start(vgpu, NULL, 1, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_start(vgpu, ODD(godwit_dma_range), 1, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, SIZE_MAX, PAGE, NULL));
    IS(-E2BIG, godwit_vgpu_dma_log_start(vgpu, many, 65, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_start(vgpu, &good, 1, PAGE, ODD(uint64_t)));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, 1, 0, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, 1, 5000, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &odd, 1, PAGE, NULL));
    IS(-EOVERFLOW, godwit_vgpu_dma_log_start(vgpu, &over, 1, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_stop(vgpu));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, room));
    OK(godwit_vgpu_dma_log_start(vgpu, &good, 1, PAGE, NULL));
    IS(-EINVAL, godwit_vgpu_dma_log_start(vgpu, &good, 1, PAGE, NULL));
    IS(-EFAULT, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, NULL, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, SIZE_MAX));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, room - 1));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, NULL, 0));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, 0, bitmap, room));
    IS(-EINVAL, godwit_vgpu_dma_log_report(vgpu, 0, MIB, PAGE, bitmap, room));
    IS(-E2BIG, godwit_vgpu_dma_log_report(vgpu, BUS_AT, UINT64_MAX, PAGE, bitmap, room));
    IS(-EOVERFLOW, godwit_vgpu_dma_log_report(vgpu, UINT64_MAX - 4095, MIB, PAGE, bitmap, room));
    OK(godwit_vgpu_dma_log_report(vgpu, BUS_AT, MIB, PAGE, bitmap, room));
    OK(godwit_vgpu_dma_log_stop(vgpu));
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
    OK(godwit_vgpu_set_state(vgpu, GODWIT_STATE_STOP_COPY));
    IS(-EINVAL, godwit_vgpu_set_state(vgpu, GODWIT_STATE_PRE_COPY));
    IS(-EINVAL, godwit_vgpu_precopy_info(vgpu, &info));
    IS(-EBUSY, godwit_vgpu_bar2_read(vgpu, 0, bytes, sizeof(bytes)));
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
    IS(-EINVAL, godwit_vgpu_set_state(vgpu, GODWIT_STATE_RUNNING));
    OK(godwit_vgpu_reset(vgpu));
    OK(godwit_vgpu_set_state(vgpu, GODWIT_STATE_RESUMING));
    IS(-EINVAL, godwit_vgpu_set_state(vgpu, GODWIT_STATE_RUNNING));
    OK(godwit_vgpu_reset(vgpu));
}
