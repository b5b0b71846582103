package main

import "syscall"

// childAttributes makes the kernel end a child when the driver dies, however it
// dies. The child gets a process group of its own, so that Ctrl-C reaches the
// driver alone, which then ends them in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
