//go:build !linux

package main

import "syscall"

// childAttributes gives the child a process group of its own, so that Ctrl-C
// reaches the driver alone, which then ends them in order. Only Linux can also
// end a child when the driver itself is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
