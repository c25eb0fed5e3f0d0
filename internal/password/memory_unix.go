//go:build unix

package password

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapMemory asks the system for zeroed memory outside the heap.
func mapMemory(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

func unmapMemory(memory []byte) { _ = unix.Munmap(memory) } // fails for what was never mapped only

// asBlocks and asBytes see the same memory as the other. Mapped memory begins at a page, so that words in
// it are aligned, and holds no pointers.
func asBlocks(memory []byte) []block {
	return unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(memory))), len(memory)/blockBytes)
}

func asBytes(blocks []block) []byte {
	if blocks == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(blocks))), len(blocks)*blockBytes)
}
