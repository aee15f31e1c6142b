//! The doors of x86-64 that libc does not use.

use std::arch::asm;

/// Interrupt 0x80. A kernel without it sends SIGSEGV.
///
/// # Safety
/// As for `Call::make`.
pub unsafe fn int80(number: u64, args: &[u64; 6]) -> i64 {
    let mut value = number;
    // SAFETY: the registers that the compiler keeps for itself are put back, the stack is where it was, and the call is
    // the caller's to answer for.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "mov rbx, [r12]",
            "mov rcx, [r12 + 8]",
            "mov rdx, [r12 + 16]",
            "mov rsi, [r12 + 24]",
            "mov rdi, [r12 + 32]",
            "mov rbp, [r12 + 40]",
            "int 0x80",
            "pop rbp",
            "pop rbx",
            inout("rax") value,
            in("r12") args.as_ptr(),
            out("rcx") _,
            out("rdx") _,
            out("rsi") _,
            out("rdi") _,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    // i386's result is the lower half.
    i64::from(value as i32)
}

/// One of the entries of the vsyscall page (gettimeofday, time, getcpu), with null pointers. A kernel without the page
/// sends SIGSEGV.
///
/// # Safety
/// As for `Call::make`.
pub unsafe fn vsyscall(entry: u64) -> i64 {
    let value: i64;
    // SAFETY: an entry is a function of the C convention that returns to where it was called from; the call is the
    // caller's to answer for.
    unsafe {
        asm!(
            "call {entry}",
            entry = in(reg) 0xffff_ffff_ff60_0000_u64 + (entry % 3) * 0x400,
            in("rdi") 0,
            in("rsi") 0,
            in("rdx") 0,
            out("rax") value,
            clobber_abi("C"),
        );
    }
    value
}
