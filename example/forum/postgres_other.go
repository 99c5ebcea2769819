//go:build !linux

package main

import "syscall"

// attributes are none: the server ends with this process where that ends in order.
func attributes(string) (*syscall.SysProcAttr, error) { return nil, nil }
