/*
 * Godwit: vGPUs of a card, which are saved, moved and restored while their guests know nothing of
 * it. Link with `pkg-config --cflags --libs godwit`.
 *
 * RESULTS. A call returns 0, or a number of its own from 0 on, or a negative error number of
 * <errno.h>; godwit_last_error() has a sentence about it then, for the thread. After an error
 * nothing is changed, and nothing but room for bytes is written, unless it is said at the call.
 * Every call may return:
 *   -EBADF            a handle is wrong: null, of another kind, closed, of another process
 *   -EFAULT           a pointer is NULL or not aligned
 *   -EINVAL           a number is out of its range, or struct_size is smaller than it was ever
 *   -E2BIG            a structure is larger than this library knows, and not all 0 there
 *   -ENOTRECOVERABLE  the library has a bug; the device can be closed only
 *   -ECHILD           the process has forked since it first used the library
 *   -ENODEV           the device's firmware is behind a window, and is gone: only godwit_close,
 *                     godwit_next_event, godwit_now and godwit_vgpu_list are of use
 * Handles are looked at before anything else.
 *
 * HANDLES. They are numbers which the library looks up. godwit_open gives those of devices, until
 * godwit_close; godwit_vgpu_create, godwit_vgpu_resume and godwit_vgpu_resume_fd those of vGPUs,
 * until godwit_vgpu_destroy, godwit_vgpu_suspend, godwit_vgpu_suspend_fd or the end of their
 * device. None is given twice.
 *
 * POINTERS. Memory belongs to the caller: the library reads and writes it during the call only, and
 * keeps no pointer and no file descriptor of the caller's. Where a call is given a pointer, as much
 * as it says must lie there, and no other thread may change it meanwhile. What two pointers of one
 * call lead to does not overlap, be it a structure, what a pointer in one leads to, or bytes. A path
 * ends with a zero: it is looked for in the first 4096 bytes, and without it there the path is too
 * long (-ENAMETOOLONG). Nothing is to be freed.
 *
 * THREADS. Every call may be made from any thread at any time. Calls for one device are done one
 * after the other, in a thread of the device; calls for different devices do not wait for each
 * other. A handle may end while another thread's call for it is under way: that is done first, or
 * ends with -EBADF; a call of godwit_vgpu_read, godwit_vgpu_write, godwit_vgpu_bar2_read or
 * godwit_vgpu_bar2_write for more than 1 MiB may have done a part then. Of several threads that end
 * a handle one succeeds. No call may be made from a signal handler.
 *
 * DESCRIPTORS of files belong to the caller, who closes them. A state file is opened anew through
 * its descriptor (by /proc), to be read and written from its first byte on: the place that the
 * descriptor is at is not used and not changed, and the lock of whoever suspends or resumes is the
 * library's own. So the caller must be allowed to open the file as the descriptor was, and nobody
 * else may write it meanwhile. A name is made whole or not at all when a path is given; of a
 * descriptor only the bytes are on the disk when a suspend returns: who has made the file sees to
 * its name, and that nothing but an empty file is given where an older state must not be lost.
 *
 * WINDOWS. A card's GPU is simulated in this process, whatever the transport is: there is no driver
 * for a real one here. Its firmware may run elsewhere, on a microcontroller that somebody else
 * powers: an image in QEMU, whose RAM is a file (-object memory-backend-file,share=on,mem-path=F),
 * or a card's own behind a BAR (/sys/bus/pci/devices/.../resourceN). Both are mapped and used in
 * the same way. The window's registers are of zeros, or a device has left them, which godwit_close
 * does; what an earlier firmware has retained there is cleared. The device comes up in godwit_open,
 * and the firmware must start after that or wait for it: an image waits for 100 ms and then ends.
 * So QEMU is started while godwit_open waits, or with -S and told to go on then. With no line the
 * firmware must look at its window by itself, as QEMU's boards do not: give the socket of their
 * serial port (-chardev socket,id=line,path=L,server=on,wait=off -serial chardev:line). Firmware
 * that ends, or does not answer within patience_ms, is gone: it is not powered off and on again
 * from here. Whoever shortens the file meanwhile ends this process with SIGBUS, as with any
 * mapping; a resource file cannot be shortened.
 *
 * STRUCTURES begin with their size, which the caller sets, so that they may grow. `reserved` is 0.
 */


#ifndef GODWIT_H
#define GODWIT_H

/* Made by cbindgen from host-shim/capi/src: `GODWIT_BLESS=1 cargo test -p godwit-capi`. */

#include <stddef.h>
#include <stdint.h>

// The version of this interface: the first 16 bits change when a program has to, the last 16
// when something is added.
#define GODWIT_ABI_VERSION 1

// The card's firmware runs in this process.
#define GODWIT_TRANSPORT_PROCESS 0

// The card's firmware runs on a microcontroller that somebody else runs, and is reached through a
// window of 524288 bytes in a file: see WINDOWS.
#define GODWIT_TRANSPORT_WINDOW 1

// Who has work takes turns; idle time goes to whoever has work.
#define GODWIT_POLICY_BEST_EFFORT 0

// Who runs takes turns; the turn of one without work is kept for it.
#define GODWIT_POLICY_EQUAL_SHARE 1

// Who runs has a fixed part.
#define GODWIT_POLICY_FIXED_SHARE 2

// Engines that had to be reset while its work was on them.
#define GODWIT_ABUSE_RESETS 0

// Channels that faulted.
#define GODWIT_ABUSE_FAULTS 1

// Doorbells.
#define GODWIT_ABUSE_DOORBELLS 2

// Interrupts.
#define GODWIT_ABUSE_INTERRUPTS 3

// The host is told, as with every measure.
#define GODWIT_MEASURE_REPORT 0

// Its turns are half as long.
#define GODWIT_MEASURE_SHORTEN 1

// The channel is stopped, and no other can be opened.
#define GODWIT_MEASURE_BAN 2

// It has no turns.
#define GODWIT_MEASURE_PAUSE 3

// A transition failed half way; only a reset leads out of it.
#define GODWIT_STATE_ERROR 0

// It stands still.
#define GODWIT_STATE_STOP 1

// It runs.
#define GODWIT_STATE_RUNNING 2

// It stands still, and its state is read.
#define GODWIT_STATE_STOP_COPY 3

// It stands still, and its state is written.
#define GODWIT_STATE_RESUMING 4

// It runs, and reaches no peer.
#define GODWIT_STATE_RUNNING_P2P 5

// It runs, and its state is read.
#define GODWIT_STATE_PRE_COPY 6

// It runs, reaches no peer, and its state is read.
#define GODWIT_STATE_PRE_COPY_P2P 7

// `initial_bytes` counts again: what was read is sent once more. It is told once.
#define GODWIT_PRECOPY_REINIT 1

// The vGPU may read.
#define GODWIT_DMA_READ 1

// The vGPU may write.
#define GODWIT_DMA_WRITE 2

// For a resume: whether the file was resumed before is neither asked nor noted. Who says so sees
// to it that one vGPU does not run twice.
#define GODWIT_FILE_KEEP 1

// A vGPU has done too much of something.
#define GODWIT_EVENT_ABUSE 1

// The firmware was lost and started again, or came up without vGPUs; or it is behind a window, and
// is gone.
#define GODWIT_EVENT_FIRMWARE_LOST 2

// An operator must know of this, though the call that it came from has succeeded.
#define GODWIT_EVENT_NOTE 3

// How long one call of `godwit_run` may let a card work, in its nanoseconds.
#define GODWIT_RUN_NS_MAX 1000000000

// How large a simulated card is, and where its firmware runs.
typedef struct {
    // `sizeof(godwit_device_config)`.
    uint32_t struct_size;
    // Version of what the card writes into contexts, from 1; 0: the usual one, 1. A state moves
    // between cards that have the same.
    uint32_t context_layout;
    // Bytes of framebuffer for vGPUs: a multiple of 4096, from 4096 to 2^40.
    uint64_t fb_bytes;
    // Bytes of BAR for their apertures: the same.
    uint64_t bar_bytes;
    // Bytes of memory for their channels' contexts: a multiple of 4096, from 4096 to 2^36.
    uint64_t context_bytes;
    // What its timer shows at first, in nanoseconds, up to 2^62.
    uint64_t start_ns;
    // `GODWIT_TRANSPORT_*`.
    uint32_t transport;
    // For `GODWIT_TRANSPORT_WINDOW`: how long the firmware may take to come up, and to answer, in
    // milliseconds of the host's own clock, up to 600000; 0: 10000. Otherwise 0.
    uint32_t patience_ms;
    // For `GODWIT_TRANSPORT_WINDOW`: the window's first byte in its file, a multiple of 4096 (for
    // QEMU's `virt` machine 0x100000). Otherwise 0.
    uint64_t window_at;
    // For `GODWIT_TRANSPORT_WINDOW`: path of the file that the window is in. Otherwise NULL.
    const char *window_path;
    // For `GODWIT_TRANSPORT_WINDOW`: path of the UNIX socket at which the microcontroller's serial
    // port listens; NULL: its firmware looks by itself. Otherwise NULL.
    const char *line_path;
} godwit_device_config;

// A card. 0 is none.
typedef struct {
    // A number that is of use to this library only.
    uint64_t raw;
} godwit_device;

// How a card's vGPUs take turns.
typedef struct {
    // `sizeof(godwit_scheduling)`.
    uint32_t struct_size;
    // `GODWIT_POLICY_*`.
    uint32_t policy;
    // A turn of average length in nanoseconds, 1000000 to 30000000; 0: 2 ms among up to 8
    // vGPUs, and 1 ms among more.
    uint64_t slice_ns;
    // Over how many turns an overshoot is paid back, 1 to 60; 0: 33.
    uint32_t averaging;
    // 0.
    uint32_t reserved;
} godwit_scheduling;

// How much of something is too much for a vGPU, in the order of `GODWIT_ABUSE_*`.
typedef struct {
    // `sizeof(godwit_limits)`.
    uint32_t struct_size;
    // Window in which it is counted, in milliseconds, 1 to 3600000.
    uint32_t window_ms;
    // As often as this is allowed in a window; 0: any number.
    uint32_t count[4];
    // What happens at the next time, `GODWIT_MEASURE_*`.
    uint32_t measure[4];
} godwit_limits;

// A vGPU of a card. 0 is none.
typedef struct {
    // A number that is of use to this library only.
    uint64_t raw;
} godwit_vgpu;

// Something that happened on a card.
typedef struct {
    // `sizeof(godwit_event)`, set by the caller.
    uint32_t struct_size;
    // `GODWIT_EVENT_*`.
    uint32_t kind;
    // When it was taken up, in nanoseconds of the card.
    uint64_t at_ns;
    // Which vGPU it was, whose handle may have ended since; 0: none in particular.
    godwit_vgpu vgpu;
    // `GODWIT_ABUSE_*`, for that kind.
    uint32_t abuse;
    // `GODWIT_MEASURE_*`, for that kind.
    uint32_t measure;
    // The same for people: UTF-8, cut where it is too long, with a zero at its end.
    char text[256];
} godwit_event;

// What a vGPU is to be.
typedef struct {
    // `sizeof(godwit_vgpu_config)`.
    uint32_t struct_size;
    // Channels, 1 to 2048.
    uint32_t channel_count;
    // Bytes of its framebuffer: a multiple of 4096, from 4096 to 2^40.
    uint64_t fb_bytes;
    // Bytes of its aperture, BAR2: a multiple of 4096, from 4096 to `fb_bytes`.
    uint64_t bar_bytes;
    // Bytes of a channel's context: a multiple of 4096, from 4096 to 2^24. A thread takes 272.
    uint32_t context_bytes;
    // See `godwit_share`; 0: 1.
    uint32_t weight;
    // See `godwit_share`.
    uint32_t part;
    // See `godwit_share`.
    uint32_t cap;
    // Its own id, which it keeps wherever it goes; all 0: a random one.
    uint8_t uuid[16];
} godwit_vgpu_config;

// What a vGPU is.
typedef struct {
    // `sizeof(godwit_vgpu_info)`, set by the caller.
    uint32_t struct_size;
    // Channels.
    uint32_t channel_count;
    // Bytes of its framebuffer.
    uint64_t fb_bytes;
    // Bytes of its aperture, BAR2.
    uint64_t bar_bytes;
    // Bytes of a channel's context.
    uint32_t context_bytes;
    // See `godwit_share`.
    uint32_t weight;
    // See `godwit_share`.
    uint32_t part;
    // See `godwit_share`.
    uint32_t cap;
    // Its own id. After a state was written to it, that of the vGPU that the state is of.
    uint8_t uuid[16];
    // Its state, `GODWIT_STATE_*`.
    uint32_t state;
    // Its number on the card, from 1: where it sits, and not who it is.
    uint32_t gfid;
} godwit_vgpu_info;

// What a vGPU is due of the engines.
typedef struct {
    // `sizeof(godwit_share)`.
    uint32_t struct_size;
    // Length of its turns relative to the others', 1 to 100.
    uint32_t weight;
    // Its fixed part of each engine in ten-thousandths, up to 10000, for
    // `GODWIT_POLICY_FIXED_SHARE`; 0: as much as it has of the framebuffer.
    uint32_t part;
    // Up to so many ten-thousandths it may have of what others do not use, from `part` to 10000;
    // 0: its part.
    uint32_t cap;
} godwit_share;

// Bus addresses that lead a vGPU to guest memory, or to another vGPU of its card.
typedef struct {
    // `sizeof(godwit_dma_window)`.
    uint32_t struct_size;
    // `GODWIT_DMA_*`: one of them at least.
    uint32_t flags;
    // The first address: a multiple of 4096.
    uint64_t iova;
    // How many: a multiple of 4096, and not 0.
    uint64_t byte_count;
    // The first byte of what they lead to: a multiple of 4096.
    uint64_t offset;
    // The memory file (memfd), sealed against shrinking; -1: `peer` counts. The library has a
    // descriptor of its own when the call returns, and the caller keeps this one.
    int32_t fd;
    // 0.
    uint32_t reserved;
    // Where `fd` is -1: the vGPU whose aperture it is; otherwise 0.
    godwit_vgpu peer;
} godwit_dma_window;

// Bus addresses that are logged.
typedef struct {
    // The first: a multiple of the page.
    uint64_t iova;
    // How many: a multiple of the page, and not 0.
    uint64_t byte_count;
} godwit_dma_range;

// What a reader has before it while the vGPU runs.
typedef struct {
    // `sizeof(godwit_precopy_info)`, set by the caller.
    uint32_t struct_size;
    // `GODWIT_PRECOPY_*`.
    uint32_t flags;
    // Bytes that are to be read first, at most.
    uint64_t initial_bytes;
    // Bytes that were written since, at most.
    uint64_t dirty_bytes;
} godwit_precopy_info;

// How a state file is written or read.
typedef struct {
    // `sizeof(godwit_file_options)`.
    uint32_t struct_size;
    // `GODWIT_FILE_*`.
    uint32_t flags;
    // 32 bytes that the file is sealed with, which are read during the call; NULL: it is not
    // sealed.
    const uint8_t *key;
} godwit_file_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library that runs, as GODWIT_ABI_VERSION is that of this header: the first 16
// bits must be the same, and the last 16 at least those. It never fails, and leaves the thread's
// message as it is.
uint32_t godwit_version(void);

// Why the thread's last call failed, as a sentence in UTF-8; empty if it did not. It is never
// NULL, belongs to the library, and is valid until the thread's next call of another function.
const char *godwit_last_error(void);

// Powers a simulated card on, with a thread of its own that ends with godwit_close. Its GPU is in
// this process; its firmware is, too, or is behind a window, and is waited for. The handle is put
// at `device`, which is not changed after an error.
//
// -EINVAL: a number is out of its range, something is set that the transport does not have, or the
// window's file is no plain file. -ENOMEM, -EMFILE, ...: the system gives no memory, file or
// thread. For a window also: -ENOENT, -EACCES, ...: its file cannot be opened. -ENAMETOOLONG: so
// long a path has no file, or no socket. -ERANGE: the window is not all in the file. -EBUSY:
// somebody else has claimed it, or a device is up in it. -ENODEV: something else lies there.
// -EPROTONOSUPPORT: its registers or its firmware have another version. -ETIMEDOUT: the firmware
// does not answer. -EIO: it has ended, or was at work before; or its line breaks. -ECHILD: the
// process that used the library was forked, and this is the child.
//
// See POINTERS: the paths end with a zero.
int32_t godwit_open(const godwit_device_config *config, godwit_device *device);

// Powers a card off. Its vGPUs are lost, and its handle and theirs are of no use any more. Calls
// for it that other threads have begun are done first, or end with -EBADF.
//
// -EBADF: there is no such device.
int32_t godwit_close(godwit_device device);

// Lets a card work for `ns` nanoseconds of its own time, up to GODWIT_RUN_NS_MAX. Its time passes
// in this call, and in those that wait for the card: in changes of state, reads, writes,
// suspends and resumes.
//
// -EBADF: there is no such device. -EINVAL: `ns` is too large.
int32_t godwit_run(godwit_device device, uint64_t ns);

// What a card's timer shows, in nanoseconds.
//
// -EBADF: there is no such device.
//
// See POINTERS.
int32_t godwit_now(godwit_device device, uint64_t *now_ns);

// Changes how a card's vGPUs take turns. They run on.
//
// -EBADF: there is no such device. -EINVAL: a number is out of its range.
//
// See POINTERS.
int32_t godwit_set_scheduling(godwit_device device, const godwit_scheduling *scheduling);

// Changes how much of something is too much, for each vGPU of a card.
//
// -EBADF: there is no such device. -EINVAL: a number is out of its range.
//
// See POINTERS.
int32_t godwit_set_limits(godwit_device device, const godwit_limits *limits);

// Takes the oldest thing that happened on a card and was not told: 1, and it is at `event`; or 0,
// and there is none. It never waits. Up to 1024 are kept; of more the oldest are dropped.
//
// -EBADF: there is no such device.
//
// See POINTERS.
int32_t godwit_next_event(godwit_device device, godwit_event *event);

// Makes a vGPU on a card and lets it run. Its handle is put at `vgpu`, which is not changed after
// an error.
//
// -EBADF: there is no such device. -EINVAL: a number is out of its range. -ENOSPC: the card has no
// room. -ENOMEM: the system gives no memory for it. -ETIMEDOUT: the card does not make it, or does
// not start it.
//
// See POINTERS.
int32_t godwit_vgpu_create(godwit_device device,
                           const godwit_vgpu_config *config,
                           godwit_vgpu *vgpu);

// Ends a vGPU in whatever state it is: what it had is overwritten, and its handle is of no use any
// more.
//
// -EBADF: there is no such vGPU. -ETIMEDOUT, -EIO: the card does not do it, and it is still there.
int32_t godwit_vgpu_destroy(godwit_vgpu vgpu);

// The vGPUs of a card, the oldest first: their number is put at `count`, and up to `room` handles
// are put at `vgpus`, which may be NULL if `room` is 0.
//
// -EBADF: there is no such device.
//
// See POINTERS.
int32_t godwit_vgpu_list(godwit_device device, godwit_vgpu *vgpus, size_t room, size_t *count);

// What a vGPU is, and what it is due.
//
// -EBADF: there is no such vGPU. -EIO: it was lost.
//
// See POINTERS.
int32_t godwit_vgpu_get_info(godwit_vgpu vgpu, godwit_vgpu_info *info);

// Changes what a vGPU is due of the engines. It runs on.
//
// -EBADF: there is no such vGPU. -EINVAL: a number is out of its range.
//
// See POINTERS.
int32_t godwit_vgpu_set_share(godwit_vgpu vgpu, const godwit_share *share);

// A guest's read of the register at `offset` of BAR0: a multiple of 4 below 0x40000. What is no
// register reads as 0.
//
// -EBADF: there is no such vGPU. -EINVAL: the offset is none of these.
//
// See POINTERS.
int32_t godwit_vgpu_bar0_read(godwit_vgpu vgpu, uint32_t offset, uint32_t *value);

// A guest's write to the register at `offset` of BAR0: a multiple of 4 below 0x40000. What is no
// register takes nothing.
//
// -EBADF: there is no such vGPU. -EINVAL: the offset is none of these. -EBUSY: a channel is asked
// for, or given up, while the vGPU stands still.
int32_t godwit_vgpu_bar0_write(godwit_vgpu vgpu, uint32_t offset, uint32_t value);

// A guest's read of `byte_count` bytes at `at` of its aperture, BAR2, into `into`.
//
// -EBADF: there is no such vGPU. -ENXIO: the aperture does not reach so far. -EBUSY: the vGPU
// stands still, and the aperture is closed. -EINVAL: there is no memory of that length.
//
// See POINTERS: `byte_count` bytes lie at `into`, which may be NULL if there are none.
int32_t godwit_vgpu_bar2_read(godwit_vgpu vgpu, uint64_t at, uint8_t *into, size_t byte_count);

// A guest's write of `byte_count` bytes from `from` to `at` of its aperture, BAR2.
//
// -EBADF: there is no such vGPU. -ENXIO: the aperture does not reach so far, and nothing is
// written. -EBUSY: the vGPU stands still, and the aperture is closed. -EINVAL: there is no memory
// of that length.
//
// See POINTERS: `byte_count` bytes lie at `from`, which may be NULL if there are none.
int32_t godwit_vgpu_bar2_write(godwit_vgpu vgpu,
                               uint64_t at,
                               const uint8_t *from,
                               size_t byte_count);

// Takes those of the interrupts in `mask` that a vGPU has raised, to signal them to its guest: a
// bit for each of its 32 vectors. The others stay, and go with the vGPU's state.
//
// -EBADF: there is no such vGPU.
//
// See POINTERS.
int32_t godwit_vgpu_take_vectors(godwit_vgpu vgpu, uint32_t mask, uint32_t *vectors);

// Maps a window for a vGPU, onto guest memory or onto the aperture of another vGPU of its card.
// There are up to 256. They are not in the vGPU's state, and end with the vGPU.
//
// -EBADF: there is no such vGPU, peer or file descriptor. -EINVAL: flags are wrong, something is
// no multiple of 4096, the window is not in what it leads to, or the file is no memory file or an
// empty one. -EPERM: the memory file is not sealed against shrinking, or is against writing.
// -EACCES: it is not open to read and write, whatever the flags are. -EOPNOTSUPP: it is of large
// pages. -ENOMEM, -EMFILE, ...: the system maps no more. -EEXIST: the window overlaps another.
// -ENOSPC: there are 256 already.
//
// See POINTERS.
int32_t godwit_vgpu_dma_map(godwit_vgpu vgpu, const godwit_dma_window *window);

// Unmaps a window, named by exactly the addresses that it was mapped with. A copy that uses it
// ends with a fault of its channel.
//
// -EBADF: there is no such vGPU. -ENOENT: there is no such window.
int32_t godwit_vgpu_dma_unmap(godwit_vgpu vgpu, uint64_t iova, uint64_t byte_count);

// Logs from now on which guest memory a vGPU writes (VFIO_DEVICE_FEATURE_DMA_LOGGING_START): in 1
// to 64 ranges, in whole pages of `page_bytes`, a power of two from 4096 to 2^30. The bytes of the
// pages that are really logged, which may be more, are put at `logged_page_bytes`, unless that is
// NULL.
//
// -EBADF: there is no such vGPU. -EINVAL: a log is kept already, there is no range, ranges or page
// are not as said. -E2BIG: there are more than 64 ranges, or pages than can be logged. -EOVERFLOW:
// a range ends past 64 bits.
//
// See POINTERS: `count` ranges lie at `ranges`.
int32_t godwit_vgpu_dma_log_start(godwit_vgpu vgpu,
                                  const godwit_dma_range *ranges,
                                  size_t count,
                                  uint64_t page_bytes,
                                  uint64_t *logged_page_bytes);

// Sets the bit of each page that a vGPU has written since it was reported last, and clears the log
// of them (VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT). Bit n % 8 of byte n / 8 is for the n-th page
// of `page_bytes` from `iova` on; no bit is ever cleared.
//
// -EBADF: there is no such vGPU. -EINVAL: nothing is logged, or not all of the range, or the
// bitmap of `bitmap_bytes` is too short. -EOVERFLOW: the range ends past 64 bits. -E2BIG: it has
// more than 2^31 pages.
//
// See POINTERS: `bitmap_bytes` bytes lie at `bitmap`.
int32_t godwit_vgpu_dma_log_report(godwit_vgpu vgpu,
                                   uint64_t iova,
                                   uint64_t byte_count,
                                   uint64_t page_bytes,
                                   uint8_t *bitmap,
                                   size_t bitmap_bytes);

// Logs no more, and forgets what was not reported (VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP).
//
// -EBADF: there is no such vGPU. -EINVAL: nothing is logged.
int32_t godwit_vgpu_dma_log_stop(godwit_vgpu vgpu);

// Brings a vGPU to a state, `GODWIT_STATE_*`, by the arcs that lead there, as
// VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE does: it is there when this returns. After an error it is
// in the last state that it came to, or in GODWIT_STATE_ERROR. Whoever has it leave RUNNING has
// paused its guest, and a state is whole when it goes from RESUMING to another one.
//
// -EBADF: there is no such vGPU. -EINVAL: there is no such state, or no way to it; or the state
// that was written is none that this vGPU can take. -ETIMEDOUT, -EBUSY, -EIO: the card does not do
// it.
int32_t godwit_vgpu_set_state(godwit_vgpu vgpu, uint32_t state);

// The state of a vGPU, `GODWIT_STATE_*`.
//
// -EBADF: there is no such vGPU.
//
// See POINTERS.
int32_t godwit_vgpu_get_state(godwit_vgpu vgpu, uint32_t *state);

// Reads up to `byte_count` bytes of a vGPU's state, as read() of a migration's data descriptor
// does: returns how many. Fewer than were asked for are the end: of the state in STOP_COPY, and of
// what there is for now in PRE_COPY. One thread at a time reads a state.
//
// -EBADF: there is no such vGPU. -EINVAL: it is in another state, or there is no memory of that
// length. -ENOMSG: there is nothing for now, in PRE_COPY; 0 says so in STOP_COPY. -EIO, -ETIMEDOUT
// and others: the state is lost on the way, and what was read is of no use.
//
// See POINTERS: `byte_count` bytes lie at `into`, which may be NULL if there are none.
int64_t godwit_vgpu_read(godwit_vgpu vgpu, uint8_t *into, size_t byte_count);

// Writes a part of a state, of any length, as write() of a migration's data descriptor does:
// returns how many bytes were taken, which are all.
//
// -EBADF: there is no such vGPU. -EINVAL: it is not in RESUMING, there is no memory of that
// length, or the state is none that this vGPU can take: of another profile, damaged, not of
// Godwit. It is in ERROR then. Others: the card does not take it, and it is in ERROR, too.
//
// See POINTERS: `byte_count` bytes lie at `from`, which may be NULL if there are none.
int64_t godwit_vgpu_write(godwit_vgpu vgpu, const uint8_t *from, size_t byte_count);

// What a reader has before it in PRE_COPY and PRE_COPY_P2P (VFIO_MIG_GET_PRECOPY_INFO).
//
// -EBADF: there is no such vGPU. -EINVAL: it is in another state. -EIO, -ETIMEDOUT and others: as
// of godwit_vgpu_read, the state is lost on the way, and what was read is of no use. The vGPU runs
// on, and a reader begins anew from RUNNING; in ERROR it needs a reset.
//
// See POINTERS.
int32_t godwit_vgpu_precopy_info(godwit_vgpu vgpu, godwit_precopy_info *info);

// How many bytes would have to be read at most if the vGPU was stopped now, in any state
// (VFIO_DEVICE_FEATURE_MIG_DATA_SIZE).
//
// -EBADF: there is no such vGPU.
//
// See POINTERS.
int32_t godwit_vgpu_data_size(godwit_vgpu vgpu, uint64_t *byte_count);

// Makes a vGPU as it was when it was new, from any state (VFIO_DEVICE_RESET): it runs, and all
// that it had is gone. Its place, its share, its DMA windows and its log stay.
//
// -EBADF: there is no such vGPU. -ETIMEDOUT, -EIO: the card does not do it. It is in ERROR then,
// and may be reset again.
int32_t godwit_vgpu_reset(godwit_vgpu vgpu);

// Suspends a vGPU in RUNNING, whose guest is paused, to a state file at `path`: where nothing is
// yet, or another state file, which is replaced. `options` may be NULL. When this returns 0 the
// file is whole and on the disk, the vGPU is in it and nowhere else, and its handle is of no use
// any more. A GODWIT_EVENT_NOTE says so if the disk has not taken the file's name for sure: it may
// be called `path`.partial after a loss of power; or if the card does not get to overwrite what
// the vGPU had there: it stands still until godwit_close. After an error nothing at `path` has
// this vGPU come out of it, and what was there before is still, but where a disk fails with the
// file's name. The vGPU runs on after all but two:
// -ETIMEDOUT: the card does not answer, or does not let it run again. It may stand still, and is
// to be destroyed. -ENODEV: the firmware behind a window was lost before the file was whole, and
// the vGPU with it.
//
// -EBADF: there is no such vGPU. -EINVAL: it is in another state, or flags are wrong. -EEXIST:
// something else is at `path`. -ENOENT, -EACCES, -ENOSPC, ...: the file cannot be made. -EBUSY,
// -EIO: it is not stopped, or not read.
//
// See POINTERS: `path` ends with a zero, and `key` of the options has 32 bytes.
int32_t godwit_vgpu_suspend(godwit_vgpu vgpu, const char *path, const godwit_file_options *options);

// The same to an empty file that the caller has opened to be written, and which stays open: see
// DESCRIPTORS. When this returns 0 its bytes are on the disk, and it is resumed from by its name
// or by a descriptor. It begins with zeros until it is whole, so one that a crash has cut short is
// no state file. After an error it is as it was, and the vGPU is as above.
//
// -EBADF: there is no such vGPU, or no such file descriptor, or it was not opened to be written.
// -EINVAL: it is no plain file; or as above. -EEXIST: it is not empty. -EBUSY: somebody else
// writes or resumes it; or as above. All others as above.
//
// See POINTERS: `key` of the options has 32 bytes.
int32_t godwit_vgpu_suspend_fd(godwit_vgpu vgpu, int32_t fd, const godwit_file_options *options);

// Resumes the vGPU in a state file on a card. `options` may be NULL. When this returns 0 the vGPU
// runs, the file says so, on the disk, unless it is kept, and the handle is put at `vgpu`. The
// mark is written before the vGPU runs, and is taken back if it does not. After an error nothing
// of it is on the card, and the file is as it was, but where godwit_last_error() says that it
// counts as resumed all the same, and after two:
// -ETIMEDOUT: the card does not answer, or does not start it. -ENODEV: the firmware behind a
// window is lost. It is not known then whether it has run, and the file may be marked, which a
// resume tells by -ESTALE. There is no handle of it, and nobody has seen what it did: after
// godwit_close it is in the file alone, and is resumed with GODWIT_FILE_KEEP if it is marked.
//
// -EBADF: there is no such device. -ENOENT, -EACCES, ...: the file cannot be opened or marked.
// -EINVAL: it is no state file, or flags are wrong. -EBADMSG: it is damaged or cut short.
// -EPROTONOSUPPORT: it, its seal or a record is of a version that is not read. -ENOKEY: it is
// sealed, and no key is given. -EKEYREJECTED: it is sealed with another key, or a key is given and
// it is not sealed. -ESTALE: it was resumed before. -EBUSY: somebody else resumes it. -ENOSPC: the
// card has no room. -EOPNOTSUPP: the card does not load such contexts. -EIO: the card fails.
//
// See POINTERS: `path` ends with a zero, and `key` of the options has 32 bytes.
int32_t godwit_vgpu_resume(godwit_device device,
                           const char *path,
                           const godwit_file_options *options,
                           godwit_vgpu *vgpu);

// The same from a file that the caller has opened to be read and, unless it is kept, written, and
// which stays open: see DESCRIPTORS.
//
// -EBADF: there is no such device, or no such file descriptor, or it was not opened for that.
// -EINVAL: it is no plain file; or as above. All others as above.
//
// See POINTERS: `key` of the options has 32 bytes.
int32_t godwit_vgpu_resume_fd(godwit_device device,
                              int32_t fd,
                              const godwit_file_options *options,
                              godwit_vgpu *vgpu);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GODWIT_H */
