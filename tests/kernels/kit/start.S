# Start-up of one thread of a kernel, for Rust and C alike.
#
# Every thread of the grid enters here with
#   a0  address of the argument block
#   a1  index of the thread in the grid
#   a2  number of threads in the grid
#   a3  number of threads in a block
#   a4  address of the block's shared memory
#   sp  top of a stack of its own, 16-byte aligned
#
# The five words go to the stack as one structure (`gw_thread` in C, `Thread`
# in Rust), and `kernel_main` gets its address. Nothing else is set up: .data
# and .bss belong to all threads, and the loader has filled them.

    .section .text.start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    addi sp, sp, -48
    sd a0, 0(sp)
    sd a1, 8(sp)
    sd a2, 16(sp)
    sd a3, 24(sp)
    sd a4, 32(sp)
    mv a0, sp
    call kernel_main
    li a7, 93
    ecall
    unimp
    .size _start, . - _start

    .section .note.GNU-stack, "", @progbits
