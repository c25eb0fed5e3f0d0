package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// copied are rows in PostgreSQL's binary format of COPY, with the columns in their order. The library would look for a
// way to encode each value.
type copied struct{ b []byte }

// rowSize is more than most rows have.
const rowSize = 384

func newCopied(rows int) *copied {
	const signature = "PGCOPY\n\xff\r\n\x00"
	b := append(make([]byte, 0, len(signature)+8+rows*rowSize), signature...)
	return &copied{append(b, make([]byte, 8)...)} // no flags, and no more of a header
}

func copyInto(m month) string {
	return fmt.Sprintf("COPY %s (%s) FROM STDIN BINARY", m.table(), strings.Join(columns, ", "))
}

func (c *copied) reader() io.Reader {
	return bytes.NewReader(binary.BigEndian.AppendUint16(c.b, 0xffff)) // no more rows
}

// add adds a row: the same values as row.values, each behind its length.
func (c *copied) add(r *row) {
	c.b = binary.BigEndian.AppendUint16(c.b, uint16(len(columns))) //nolint:gosec // two dozen
	id := uuidOf(r.ID)
	c.bytes(id[:])
	c.int32(r.stream.ns)
	c.int32(r.stream.id)
	c.bool(r.Partial)
	c.bool(r.Enrolled)
	for _, n := range [...]int64{int64(r.Expire), int64(r.LastSeen), int64(r.EndTime), int64(r.ReceivedBytes), int64(r.SentBytes)} { //nolint:gosec // the bits are kept
		c.b = binary.BigEndian.AppendUint32(c.b, 8)
		c.b = binary.BigEndian.AppendUint64(c.b, uint64(n)) //nolint:gosec // the bits are kept
	}
	for _, text := range [...]string{
		r.User, r.UserName, r.Viewer, r.Slot, string(r.End), r.SourceAddress, r.MACAddress, r.Destination,
		r.SourceViewer, r.Listener, r.Sidecar, r.CorrelationID, r.DeviceDigest,
	} {
		c.b = binary.BigEndian.AppendUint32(c.b, uint32(len(text))) //nolint:gosec // a record has a bounded size
		c.b = append(c.b, text...)
	}
}

func (c *copied) bytes(b []byte) {
	c.b = binary.BigEndian.AppendUint32(c.b, uint32(len(b))) //nolint:gosec // a few
	c.b = append(c.b, b...)
}

func (c *copied) int32(n int32) {
	c.b = binary.BigEndian.AppendUint32(c.b, 4)
	c.b = binary.BigEndian.AppendUint32(c.b, uint32(n)) //nolint:gosec // the bits are kept
}

func (c *copied) bool(is bool) {
	b := byte(0)
	if is {
		b = 1
	}
	c.b = append(binary.BigEndian.AppendUint32(c.b, 1), b)
}
