package password

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/go-crypt/x/argon2"
)

const horse = "correct horse battery staple"

// vectors are hashes made by other implementations.
var vectors = map[string]struct {
	encoded, password string
	algorithm         Algorithm
	memory            int64
}{
	"argon2id, published with the reference implementation": {
		encoded:  "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		password: "password", algorithm: Argon2id, memory: 64 << 20,
	},
	"argon2id, libargon2, the default parameters": {
		encoded:  "$argon2id$v=19$m=19456,t=2,p=1$VGVnYXRhVGVnYXRhVGVnYQ$HBH6W0LGxzU8VZfjOVvKg0LjZACmok923fKu7TH5Hr0",
		password: horse, algorithm: Argon2id, memory: 19 << 20,
	},
	"argon2id, libargon2, shortest salt and key, least memory": {
		encoded:  "$argon2id$v=19$m=7168,t=5,p=1$OGJ5dGVzU2E$lSBoZMZ4bYbNjq5PyoDwfg",
		password: horse, algorithm: Argon2id, memory: 7 << 20,
	},
	"argon2id, libargon2, memory that the lanes do not divide, longest key": {
		encoded: "$argon2id$v=19$m=12289,t=3,p=4$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY$" +
			"0S7FuRuX1t5ffvEpMgoufnydKiiUXjqC6NP+iTitcSEJZoD5mw2lWq0tQT+UD8vVZ3mIluaZgLyh5uQP0h7kuA",
		password: horse, algorithm: Argon2id, memory: 12289 << 10,
	},
	"argon2id, libargon2, Japanese": {
		encoded:  "$argon2id$v=19$m=47104,t=1,p=2$VGVnYXRhVGVnYXRhVGVnYQ$mSgaN7ZAXVF53PvG/YVPS3HG3Yl558RrIFCvcWfRfpI",
		password: "パスワード・手形", algorithm: Argon2id, memory: 46 << 20,
	},
	"argon2id, libargon2, three lanes": {
		encoded:  "$argon2id$v=19$m=7168,t=1,p=3$VGVnYXRhVGVnYXRhVGVnYQ$rTD1HrWZM7rF3jEcVxFzigFkRqMlfqBF",
		password: strings.Repeat("x", 72), algorithm: Argon2id, memory: 7 << 20,
	},
	"bcrypt 2a, published with jBCrypt, one letter": {
		encoded:  "$2a$08$cfcvVd2aQ8CMvoMpP2EBfeodLEkkFJ9umNEfPD18.hUF62qqlC/V.",
		password: "a", algorithm: Bcrypt, memory: bcryptMemory,
	},
	"bcrypt 2a, published with jBCrypt": {
		encoded:  "$2a$08$aTsUwsyowQuzRrDqFflhgekJ8d9/7Z3GV3UcgvzQW3J5zMyrTvlz.",
		password: "abcdefghijklmnopqrstuvwxyz", algorithm: Bcrypt, memory: bcryptMemory,
	},
	"bcrypt 2a, crypt_blowfish, bytes above 127": {
		encoded:  "$2a$08$TegataTegataTegataTeg.xHywkmFW4cm7AByFJEVlFC0jMrS/Qx.",
		password: "pässwörd-39", algorithm: Bcrypt, memory: bcryptMemory,
	},
	"bcrypt 2y, crypt_blowfish": {
		encoded:  "$2y$08$TegataTegataTegataTeg.SYPsDBObT9U7zYWyOPWGEzqd8cHlIwW",
		password: horse, algorithm: Bcrypt, memory: bcryptMemory,
	},
	"bcrypt 2b, crypt_blowfish, 72 bytes": {
		encoded:  "$2b$08$TegataTegataTegataTeg.d4XuzKknyfHjj5aakmAXaG7hGeUIJoy",
		password: strings.Repeat("a", 72), algorithm: Bcrypt, memory: bcryptMemory,
	},
	"sha512-crypt, published, rounds": {
		encoded:  "$6$rounds=77777$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0",
		password: "we have a short salt string but not a short password", algorithm: SHA512Crypt, memory: sha512Memory,
	},
	"sha512-crypt, published, longest salt": {
		encoded:  "$6$rounds=123456$asaltof16chars..$BtCwjqMJGx5hrJhZywWvt0RLE8uZ4oPwcelCjmw2kSYu.Ec6ycULevoBK25fs2xXgMNrCzIMVcgEJAstJeonj1",
		password: "a short string", algorithm: SHA512Crypt, memory: sha512Memory,
	},
	"sha512-crypt, published, rounds not given": {
		encoded:  "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		password: "Hello world!", algorithm: SHA512Crypt, memory: sha512Memory,
	},
	"sha512-crypt, openssl passwd -6": {
		encoded:  "$6$Tegata.Test/16ch$WQhwqBPPSQl8k6E6xk.uh1xncL175hhbtJDImXN10P1PUC5fad6bNkuOwF0WcjAkkE4hcbXxcpLTVY5MsNyAt.",
		password: horse, algorithm: SHA512Crypt, memory: sha512Memory,
	},
	"sha512-crypt, libxcrypt": {
		encoded:  "$6$rounds=77777$Perl.Crypt.Salt$nU6PUcBWeYQ7kEj3hQKUfWBmFaiX.UAw/W.DK3or26jSjPROqQVHF7r2NxrAOq/MUDOMgzW4UJdIWPGOO015z.",
		password: horse, algorithm: SHA512Crypt, memory: sha512Memory,
	},
}

func TestVerifyHashesOfOthers(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	for name, tc := range vectors {
		t.Run(name, func(t *testing.T) {
			h, err := Parse(tc.encoded)
			if err != nil {
				t.Fatal(err)
			}
			if h.Algorithm() != tc.algorithm || h.MemoryBytes() != tc.memory || h.Encoded() != tc.encoded {
				t.Errorf("got %s, %d bytes, %q", h.Algorithm(), h.MemoryBytes(), h.Encoded())
			}
			for password, want := range map[string]bool{tc.password: true, tc.password + "!": false, tc.password[1:]: false} {
				got, err := v.Verify(context.Background(), h, []byte(password), Ordinary)
				if err != nil || got != want {
					t.Errorf("Verify(%q) = %v, %v, want %v", password, got, err, want)
				}
			}
		})
	}
}

// The filling of the memory is borrowed from the library by its name: this is what notices when it changes.
func TestArgon2idMatchesLibrary(t *testing.T) {
	mem := &arena{}
	for _, c := range []argonCost{
		{memory: 8, passes: 1, lanes: 1},
		{memory: 64, passes: 3, lanes: 1},
		{memory: 33, passes: 2, lanes: 2},
		{memory: 1000, passes: 4, lanes: 3},
		{memory: 7168, passes: 1, lanes: 4},
		{memory: 64, passes: 2, lanes: 4},
		defaultCost,
	} {
		for _, keyLen := range []int{16, 32, 63, 64} {
			for _, input := range []string{"", horse, strings.Repeat("p", 256)} {
				for _, salt := range []string{"saltsalt", strings.Repeat("s", 64)} {
					want := argon2.IDKey([]byte(input), []byte(salt), c.passes, c.memory, c.lanes, uint32(keyLen))
					// The same memory again and again: what one hash leaves must not reach the next.
					got := argon2idKey(mem, []byte(input), []byte(salt), c, keyLen)
					if !bytes.Equal(got, want) {
						t.Fatalf("%+v, key of %d, input of %d, salt of %d: keys differ", c, keyLen, len(input), len(salt))
					}
				}
			}
			if testing.Short() || c == defaultCost {
				break
			}
		}
	}
}

func TestArgon2idLeavesNothingBehind(t *testing.T) {
	mem := &arena{}
	argon2idKey(mem, []byte(horse), []byte("saltsalt"), argonCost{memory: 64, passes: 1, lanes: 1}, 32)
	for i, b := range mem.blocks[:cap(mem.blocks)] {
		if b != (block{}) {
			t.Fatalf("block %d still holds what was derived from the password", i)
		}
	}
}

// TestArgon2idYields: whoever waits for the core waits for no more than so many blocks.
func TestArgon2idYields(t *testing.T) {
	yields := 0
	mem := &arena{yield: func() { yields++ }}
	argon2idKey(mem, []byte(horse), []byte("saltsalt"), defaultCost, 32)
	if want := int(defaultCost.memory*defaultCost.passes/turnBlocks) - 1; yields < want { // it begins behind two blocks
		t.Errorf("it yields %d times, want %d", yields, want)
	}
}
