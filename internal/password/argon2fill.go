package password

import (
	"encoding/binary"
	"runtime"
	"slices"
	_ "unsafe" // for go:linkname

	_ "github.com/go-crypt/x/argon2" // processBlocks
	"github.com/go-crypt/x/blake2b"
)

// No Go library lets its caller hand in argon2's memory (golang.org/issue/36634 asks for it), and memory
// that is allocated for each hash breaks the bound on it (see the package comment). So the cheap parts of
// RFC 9106 are here: the first hash, the first two blocks of each lane, the last hash. The expensive one,
// filling the memory, in assembly where there is one, is borrowed from the library by its name. The
// library has its own fork of golang.org/x/crypto/argon2, so nobody has to change its version for
// another reason; whoever does runs TestArgon2idMatchesLibrary, which compares the two over all kinds of
// parameters. When the library or golang.org/x/crypto takes memory from its caller, this file goes.

const (
	blockBytes = 1024
	syncPoints = 4
	argon2idID = 2
	argon2V13  = 0x13
)

// block is one KiB of argon2's memory, of the same layout as the library's.
type block [blockBytes / 8]uint64

// processBlocks fills the memory: passes times over all lanes, in as many goroutines as there are lanes.
// It expects zeroes where it has not been told the first two blocks of a lane.
//
//go:linkname processBlocks github.com/go-crypt/x/argon2.processBlocks
func processBlocks(blocks []block, passes, memory, lanes uint32, mode int)

// argon2idKey derives a key of up to 64 bytes, in the memory of the arena.
func argon2idKey(mem *arena, input, salt []byte, c argonCost, keyLen int) []byte {
	perLane := c.memory / (syncPoints * c.lanes) * syncPoints
	blocks := mem.take(int(perLane * c.lanes))
	// Nothing that is derived from a password stays behind, and the next hash finds zeroes. The blocks lie
	// outside the heap and do not keep the arena alive, whose cleanup unmaps them.
	defer runtime.KeepAlive(mem)
	defer clear(blocks)

	seedLanes(blocks, firstHash(input, salt, c, keyLen), int(perLane))
	processBlocks(blocks, c.passes, uint32(len(blocks)), c.lanes, argon2idID)

	last := blocks[len(blocks)-1]
	for end := int(perLane) - 1; end < len(blocks)-1; end += int(perLane) {
		for i, word := range blocks[end] {
			last[i] ^= word
		}
	}
	var bytes [blockBytes]byte
	for i, word := range last {
		binary.LittleEndian.PutUint64(bytes[8*i:], word)
	}
	key := make([]byte, keyLen)
	longHash(key, bytes[:])
	return key
}

// firstHash is H0 of RFC 9106, section 3.2, without secret and associated data.
func firstHash(input, salt []byte, c argonCost, keyLen int) []byte {
	head := make([]byte, 0, 64+len(input)+len(salt))
	for _, n := range []uint32{c.lanes, uint32(keyLen), c.memory, c.passes, argon2V13, argon2idID} {
		head = binary.LittleEndian.AppendUint32(head, n)
	}
	for _, field := range [][]byte{input, salt, nil, nil} {
		head = binary.LittleEndian.AppendUint32(head, uint32(len(field)))
		head = append(head, field...)
	}
	sum := blake2b.Sum512(head)
	clear(head)
	return sum[:]
}

// seedLanes writes the first two blocks of each lane.
func seedLanes(blocks []block, h0 []byte, perLane int) {
	var bytes [blockBytes]byte
	for lane := 0; lane*perLane < len(blocks); lane++ {
		for column := range 2 {
			seed := binary.LittleEndian.AppendUint32(slices.Clip(h0), uint32(column))
			seed = binary.LittleEndian.AppendUint32(seed, uint32(lane))
			longHash(bytes[:], seed)
			target := &blocks[lane*perLane+column]
			for i := range target {
				target[i] = binary.LittleEndian.Uint64(bytes[8*i:])
			}
		}
	}
}

// longHash is H' of RFC 9106, section 3.3: a hash of any length.
func longHash(out, in []byte) {
	seed := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(in)), uint32(len(out)))
	seed = append(seed, in...)
	for len(out) > blake2b.Size {
		sum := blake2b.Sum512(seed)
		copy(out, sum[:blake2b.Size/2])
		out, seed = out[blake2b.Size/2:], append(seed[:0], sum[:]...)
	}
	h, err := blake2b.New(len(out), nil)
	if err != nil {
		panic(err) // only for lengths outside 1..64
	}
	h.Write(seed)
	h.Sum(out[:0])
}
