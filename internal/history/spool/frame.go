package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// A frame holds one record:
//
//	magic     4 bytes
//	checksum  4 bytes, CRC-32C of all that follows
//	length    4 bytes, of the payload
//	time      8 bytes, milliseconds since 1970
//	payload
//
// Numbers are little-endian. The magic is where reading goes on behind damage.
const (
	magic            = "TgR\xa7"
	frameHeaderBytes = 20
	maxFrameBytes    = frameHeaderBytes + MaxRecordBytes
	// windowBytes are read at a time: more than a frame has.
	windowBytes = 1<<20 + maxFrameBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendFrame(b, payload []byte, now time.Time) []byte {
	start := len(b)
	b = append(b, magic...)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))    //nolint:gosec // bounded
	b = binary.LittleEndian.AppendUint64(b, uint64(now.UnixMilli())) //nolint:gosec // read back as an int64
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(b[start+8:], castagnoli))
	return b
}

// frame is a whole one. Its payload is nil when there is none.
type frame struct {
	payload []byte
	size    int
}

// findFrame looks for the frame at the beginning of b. Without one, it says how many bytes to skip, up to what may be
// the next; zero when b is too short to tell. Nothing comes behind b when it is the last.
func findFrame(b []byte, last bool) (f frame, skip int) {
	if len(b) == 0 {
		return frame{}, 0
	}
	switch size, ok := wholeFrame(b); {
	case ok:
		return frame{payload: b[frameHeaderBytes:size:size], size: size}, 0
	case size == 0 && !last:
		return frame{}, 0
	}
	if next := bytes.Index(b[1:], []byte(magic)); next >= 0 {
		return frame{}, next + 1
	}
	if last {
		return frame{}, len(b)
	}
	// The magic may have begun in the last bytes.
	return frame{}, max(1, len(b)-len(magic)+1)
}

// wholeFrame says whether b begins with a good frame, and how long it is; zero when b ends within what may be one.
func wholeFrame(b []byte) (size int, ok bool) {
	if n := min(len(b), len(magic)); string(b[:n]) != magic[:n] {
		return -1, false
	}
	if len(b) < frameHeaderBytes {
		return 0, false
	}
	length := binary.LittleEndian.Uint32(b[8:])
	if length == 0 || length > MaxRecordBytes {
		return -1, false
	}
	size = frameHeaderBytes + int(length)
	if len(b) < size {
		return 0, false
	}
	if crc32.Checksum(b[8:size], castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return -1, false
	}
	return size, true
}
