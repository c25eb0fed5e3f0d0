package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// headerStart begins each file, and says its form; whose it is and a line break follow. A file without it is none of
// ours.
const (
	headerStart = "tegspl2 "
	// maxHeaderBytes is more than that of any owner.
	maxHeaderBytes = len(headerStart) + maxOwnerBytes + 1
)

func headerOf(owner string) string { return headerStart + owner + "\n" }

// ownerIn is whose a file is that begins so. It is not known of one that ends within its header: that was being made
// when its process ended, and holds nothing.
func ownerIn(begin []byte) (owner string, known bool, err error) {
	line, _, whole := bytes.Cut(begin, []byte{'\n'})
	owner, ours := strings.CutPrefix(string(line), headerStart)
	switch {
	case whole && ours:
		return owner, true, nil
	case !whole && (ours && len(begin) < maxHeaderBytes || strings.HasPrefix(headerStart, string(line))):
		return "", false, nil
	}
	return "", false, errNotOurs
}

// segment is one file. The Spool's mutex guards it; sync alone goes without.
type segment struct {
	number uint64
	size   int64
	// records are not acknowledged.
	records int
	file    *os.File // nil while closed
	// sealed: nothing is written to it any more. A process writes to files of its own only.
	sealed   bool
	unsynced bool
}

// segmentName is such that the order of names is that of numbers.
func segmentName(number uint64) string { return fmt.Sprintf("%020d.spool", number) }

func createSegment(path string, number uint64, header string) (*segment, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := file.WriteAt([]byte(header), 0); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(path))
	}
	return &segment{number: number, size: int64(len(header)), file: file}, nil
}

func (seg *segment) open(path string) error {
	if seg.file != nil {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	seg.file = file
	return nil
}

func (seg *segment) close() {
	if seg.file != nil {
		_ = seg.file.Close() // what matters of it was synced
		seg.file = nil
	}
}

// timeAt is when the frame at an offset was appended.
func (seg *segment) timeAt(offset int64) (time.Time, bool) {
	var head [frameHeaderBytes]byte
	if seg.file == nil {
		return time.Time{}, false
	}
	if _, err := seg.file.ReadAt(head[:], offset); err != nil || string(head[:4]) != magic {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.LittleEndian.Uint64(head[12:]))), true //nolint:gosec // written from an int64
}
