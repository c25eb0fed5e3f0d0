package password

import (
	"encoding/binary"
	"runtime"
	"slices"
	_ "unsafe" // for go:linkname

	_ "github.com/go-crypt/x/argon2" // processBlock and others
	"github.com/go-crypt/x/blake2b"
)

// No Go library lets its caller hand in argon2's memory (golang.org/issue/36634 asks for it), and memory
// that is allocated for each hash breaks the bound on it (see the package comment). Nor does one fill it on the
// caller's thread, which gives way to the others (see aside). So the outline of RFC 9106 is here. The expensive part,
// mixing two blocks into a third, in assembly where there is one, is borrowed from the library by its name, as is
// which block comes next. The library has its own fork of golang.org/x/crypto/argon2, so nobody has to change its
// version for another reason; whoever does runs TestArgon2idMatchesLibrary, which compares the two over all kinds of
// parameters. When the library or golang.org/x/crypto takes memory from its caller, this file goes.

const (
	blockBytes = 1024
	syncPoints = 4
	argon2idID = 2
	argon2V13  = 0x13

	// turnBlocks are so many as take 50 µs.
	turnBlocks = 64
)

// block is one KiB of argon2's memory, of the same layout as the library's.
type block [blockBytes / 8]uint64

// processBlock makes out of a and b; processBlockXOR adds it to what is in out.
//
//go:linkname processBlock github.com/go-crypt/x/argon2.processBlock
func processBlock(out, a, b *block)

//go:linkname processBlockXOR github.com/go-crypt/x/argon2.processBlockXOR
func processBlockXOR(out, a, b *block)

// indexAlpha says which block is mixed with the one before: RFC 9106, section 3.4.2.
//
//go:linkname indexAlpha github.com/go-crypt/x/argon2.indexAlpha
func indexAlpha(random uint64, perLane, perSegment, lanes, pass, slice, lane, index uint32) uint32

// argon2idKey derives a key of up to 64 bytes, in the memory of the arena.
func argon2idKey(mem *arena, input, salt []byte, c argonCost, keyLen int) []byte {
	perLane := c.memory / (syncPoints * c.lanes) * syncPoints
	blocks := mem.take(int(perLane * c.lanes))
	// Nothing that is derived from a password stays behind, and the next hash finds zeroes. The blocks lie
	// outside the heap and do not keep the arena alive, whose cleanup unmaps them.
	defer runtime.KeepAlive(mem)
	defer clear(blocks)

	seedLanes(blocks, firstHash(input, salt, c, keyLen), int(perLane))
	fill(blocks, c, mem.yield)

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

// fill passes over the memory, of which the first two blocks of each lane are there and the others are zero. Lanes
// that could be filled at once are filled one after the other: a hash has one core.
func fill(blocks []block, c argonCost, yield func()) {
	var pseudorandom addresses
	for pass := range c.passes {
		for slice := range uint32(syncPoints) {
			for lane := range c.lanes {
				independent := pass == 0 && slice < syncPoints/2 // of what was typed, against side channels
				pseudorandom.start(pass, lane, slice, uint32(len(blocks)), c.passes)
				fillSegment(blocks, c, yield, pass, slice, lane, func(index, previous uint32) uint64 {
					if independent {
						return pseudorandom.at(index)
					}
					return blocks[previous][0]
				})
			}
		}
	}
}

// fillSegment fills where a slice and a lane meet. It is told by random where to look back to.
func fillSegment(blocks []block, c argonCost, yield func(), pass, slice, lane uint32, random func(index, previous uint32) uint64) {
	perLane := uint32(len(blocks)) / c.lanes
	perSegment := perLane / syncPoints
	first := uint32(0)
	if pass == 0 && slice == 0 {
		first = 2
	}
	for index := first; index < perSegment; index++ {
		if index%turnBlocks == 0 && yield != nil {
			yield()
		}
		current := lane*perLane + slice*perSegment + index
		previous := current - 1
		if slice == 0 && index == 0 {
			previous += perLane // the last of the lane
		}
		back := indexAlpha(random(index, previous), perLane, perSegment, c.lanes, pass, slice, lane, index)
		processBlockXOR(&blocks[current], &blocks[previous], &blocks[back])
	}
}

// addresses are the pseudorandom numbers of RFC 9106, section 3.4.1.2, a block of them at a time.
type addresses struct{ input, values, zero block }

// counter is the word of the input that counts the blocks of numbers.
const counter = 6

func (a *addresses) start(pass, lane, slice, memory, passes uint32) {
	clear(a.input[:])
	for i, n := range []uint32{pass, lane, slice, memory, passes, argon2idID} {
		a.input[i] = uint64(n)
	}
}

func (a *addresses) at(index uint32) uint64 {
	n := uint32(len(a.values))
	if number := uint64(index/n) + 1; a.input[counter] != number {
		a.input[counter] = number
		processBlock(&a.values, &a.input, &a.zero)
		processBlock(&a.values, &a.values, &a.zero)
	}
	return a.values[index%n]
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
