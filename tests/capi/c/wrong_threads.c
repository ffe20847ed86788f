/* Several threads that use one handle, and one that ends it meanwhile: each call is done, or finds
 * no such handle. What they touch valgrind looks at. */
#define _GNU_SOURCE
#include "wrong.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 4
/* Calls that each thread makes at least before a handle is ended. */
#define WARM 3

static godwit_device shared_device;
static godwit_vgpu shared_vgpu;
static atomic_int warm, ended;
/* How each call of the threads has ended. */
static atomic_int done, gone, odd;

static void count(int64_t result)
{
    const char *why = godwit_last_error();
    if (result >= 0 && why[0] == '\0') {
        atomic_fetch_add(&done, 1);
    } else if (result == -EBADF && why[0] != '\0') {
        atomic_fetch_add(&gone, 1);
    } else {
        printf("%lld: '%s'\n", (long long)result, why);
        atomic_fetch_add(&odd, 1);
    }
}

/* Calls of every kind, until the handle is found to be gone. */
static void *use(void *argument)
{
    static _Thread_local uint8_t bytes[3 * PAGE];
    godwit_vgpu_info info = { .struct_size = sizeof(info) };
    godwit_vgpu made[2];
    uint64_t large = 0;
    uint32_t value = 0;
    size_t room = 0;
    const int own = *(int *)argument;
    for (int round = 0;; round++) {
        const int was_ended = atomic_load(&ended);
        count(godwit_vgpu_get_info(shared_vgpu, &info));
        count(godwit_vgpu_bar2_write(shared_vgpu, (uint64_t)own * PAGE, bytes, sizeof(bytes)));
        count(godwit_vgpu_bar2_read(shared_vgpu, 0, bytes, sizeof(bytes)));
        count(godwit_vgpu_bar0_read(shared_vgpu, 0, &value));
        count(godwit_vgpu_take_vectors(shared_vgpu, UINT32_MAX, &value));
        count(godwit_vgpu_data_size(shared_vgpu, &large));
        count(godwit_vgpu_list(shared_device, made, 2, &room));
        count(godwit_run(shared_device, 1000));
        count(godwit_now(shared_device, &large));
        if (round == WARM) {
            atomic_fetch_add(&warm, 1);
        }
        /* A round that began when it was gone found it gone. */
        if (was_ended) {
            return NULL;
        }
    }
}

/* One of several that end it: one of them succeeds. */
static void *end_device(void *argument)
{
    atomic_int *ends = argument;
    atomic_fetch_add(ends, godwit_close(shared_device) == 0);
    return NULL;
}

static void *end_vgpu(void *argument)
{
    atomic_int *ends = argument;
    atomic_fetch_add(ends, godwit_vgpu_destroy(shared_vgpu) == 0);
    return NULL;
}

static pthread_t begin(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, argument) != 0) {
        perror("there is no thread");
        exit(1);
    }
    return thread;
}

static void open_shared(void)
{
    const godwit_device_config of_device = device_config();
    const godwit_vgpu_config of_vgpu = vgpu_config();
    OK(godwit_open(&of_device, &shared_device));
    OK(godwit_vgpu_create(shared_device, &of_vgpu, &shared_vgpu));
}

/* Has the threads at work, and others end what they use. */
static void ended_in_use(void *(*end)(void *))
{
    pthread_t users[THREADS], enders[2];
    int numbers[THREADS];
    atomic_int ends = 0;
    atomic_store(&warm, 0);
    atomic_store(&ended, 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        users[i] = begin(use, &numbers[i]);
    }
    while (atomic_load(&warm) != THREADS) {
        usleep(100);
    }
    for (int i = 0; i < 2; i++) {
        enders[i] = begin(end, &ends);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(enders[i], NULL);
    }
    atomic_store(&ended, 1);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(users[i], NULL);
    }
    if (atomic_load(&ends) != 1) {
        wrong("a handle was ended more or less than once");
    }
}

/* The state is read and written in long calls while its vGPU is ended. */
static void *read_state(void *argument)
{
    static uint8_t bytes[MIB];
    int64_t result = 0;
    (void)argument;
    count(godwit_vgpu_set_state(shared_vgpu, GODWIT_STATE_STOP_COPY));
    atomic_fetch_add(&warm, 1);
    do {
        result = godwit_vgpu_read(shared_vgpu, bytes, sizeof(bytes));
        count(result);
    } while (result > 0);
    return NULL;
}

static void *suspend(void *argument)
{
    int *fd = argument;
    atomic_fetch_add(&warm, 1);
    const int result = godwit_vgpu_suspend_fd(shared_vgpu, *fd, NULL);
    count(result);
    /* Either way it is known where the vGPU is. */
    const off_t length = lseek(*fd, 0, SEEK_END);
    if ((result == 0) != (length != 0)) {
        wrong("a state file is there, and should not be, or is not");
    }
    return NULL;
}

static void ended_in(void *(*body)(void *), void *argument)
{
    atomic_int ends = 0;
    atomic_store(&warm, 0);
    pthread_t thread = begin(body, argument);
    while (atomic_load(&warm) == 0) {
        usleep(100);
    }
    end_device(&ends);
    pthread_join(thread, NULL);
    if (atomic_load(&ends) != 1) {
        wrong("a device is not closed");
    }
}

void at_once(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        open_shared();
        ended_in_use(end_vgpu);
        OK(godwit_close(shared_device));
        open_shared();
        ended_in_use(end_device);
        open_shared();
        ended_in(read_state, NULL);
        int fd = memfd_create("state", 0);
        open_shared();
        ended_in(suspend, &fd);
        close(fd);
    }
    if (atomic_load(&odd) != 0 || atomic_load(&done) == 0 || atomic_load(&gone) == 0) {
        wrong("a call of a thread has ended in another way");
    }
}
