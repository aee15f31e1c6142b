//! libnftnl opens a socket of its own in one function, to ask whether the kernel has transactions: every kernel that zviz runs
//! on has. It is refused one, and what takes a socket is never reached.

use std::ffi::{c_int, c_void};

/// No socket.
#[unsafe(no_mangle)]
pub extern "C" fn mnl_socket_open(_bus: c_int) -> *mut c_void {
    std::ptr::null_mut()
}

/// Functions that take a socket, or what was received by one.
macro_rules! never_reached {
    ($($name:ident)*) => {$(
        /// Takes what nobody has.
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> ! {
            std::process::abort()
        }
    )*};
}

never_reached! {
    mnl_cb_run
    mnl_socket_bind
    mnl_socket_close
    mnl_socket_get_portid
    mnl_socket_recvfrom
    mnl_socket_sendto
}
