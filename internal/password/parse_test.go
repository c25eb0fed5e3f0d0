package password

import (
	"runtime/metrics"
	"strings"
	"testing"
)

const (
	salt16 = "VGVnYXRhVGVnYXRhVGVnYQ"
	key32  = "HBH6W0LGxzU8VZfjOVvKg0LjZACmok923fKu7TH5Hr0"
	key86  = "WQhwqBPPSQl8k6E6xk.uh1xncL175hhbtJDImXN10P1PUC5fad6bNkuOwF0WcjAkkE4hcbXxcpLTVY5MsNyAt."
	bcr53  = "TegataTegataTegataTeg.SYPsDBObT9U7zYWyOPWGEzqd8cHlIwW"
)

func TestParseAcceptsUpToTheBounds(t *testing.T) {
	b64 := func(n int) string {
		return strings.TrimRight(strings.Repeat("AAAA", n/3)+[]string{"", "AA", "AAA"}[n%3], "=")
	}
	for name, encoded := range map[string]string{
		"least memory":        "$argon2id$v=19$m=7168,t=1,p=1$" + salt16 + "$" + key32,
		"most memory":         "$argon2id$v=19$m=131072,t=2,p=4$" + salt16 + "$" + key32,
		"most passes":         "$argon2id$v=19$m=16384,t=16,p=1$" + salt16 + "$" + key32,
		"longest parts":       "$argon2id$v=19$m=16384,t=16,p=1$" + b64(64) + "$" + b64(64),
		"shortest parts":      "$argon2id$v=19$m=16384,t=16,p=1$" + b64(8) + "$" + b64(16),
		"bcrypt least cost":   "$2b$08$" + bcr53,
		"bcrypt most cost":    "$2y$12$" + bcr53,
		"rounds not given":    "$6$a$" + key86,
		"least rounds":        "$6$rounds=5000$a$" + key86,
		"most rounds":         "$6$rounds=200000$saltsaltsaltsalt$" + key86,
		"salt that says more": "$6$rounds$" + key86,
	} {
		t.Run(name, func(t *testing.T) {
			h, err := Parse(encoded)
			if err != nil {
				t.Fatal(err)
			}
			if h.Encoded() != encoded {
				t.Errorf("Encoded() = %q", h.Encoded())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	argon := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt16 + "$" + key32 }
	const (
		wantM        = "argon2id m must be a whole number between 7168 and 131072 (KiB of memory)"
		wantT        = "argon2id t must be a whole number between 1 and 16 (passes)"
		wantP        = "argon2id p must be a whole number between 1 and 4 (lanes)"
		wantParams   = "argon2id parameters must be m=,t=,p= and nothing else"
		wantVersion  = "argon2id version must be given as v=19: older versions are not supported"
		wantParts    = "argon2id hash must have the parts version, parameters, salt and key"
		wantSalt     = "argon2id salt must have 8 to 64 bytes"
		wantKey      = "argon2id key must have 16 to 64 bytes"
		wantSaltText = "argon2id salt is not base64 as this format spells it"
		wantKeyText  = "argon2id key is not base64 as this format spells it"
		wantBcrypt   = "bcrypt hash must have a cost of two digits and then 53 characters"
		wantCost     = "bcrypt cost must be a whole number between 8 and 12"
		wantRounds   = "sha512-crypt rounds must be a whole number between 5000 and 200000"
		wantSHASalt  = "sha512-crypt salt must have 1 to 16 characters of ./0-9A-Za-z"
		wantSHAKey   = "sha512-crypt key must be the 86 characters that encode 64 bytes"
		use          = " is not supported: use argon2id, bcrypt ($2a$, $2b$, $2y$) or sha512-crypt ($6$)"
		wantTrim     = "password hash begins or ends with a space or a line break: store it without one"
	)
	for name, tc := range map[string]struct{ encoded, want string }{
		"empty":              {"", "password hash is empty"},
		"too long":           {"$6$" + strings.Repeat("a", 510), "password hash is longer than 512 bytes"},
		"plain password":     {"hunter2-hunter2", "password hash does not begin with $: it must be in PHC or crypt format (a password in plain text is no hash)"},
		"trailing newline":   {argon("m=19456,t=2,p=1") + "\n", wantTrim},
		"leading space":      {" " + argon("m=19456,t=2,p=1"), wantTrim},
		"LDAP":               {"{SSHA}abcdefgh", "password hash does not begin with $: it must be in PHC or crypt format (a password in plain text is no hash)"},
		"locked account":     {"!$6$a$" + key86, "password hash does not begin with $: it must be in PHC or crypt format (a password in plain text is no hash)"},
		"only a dollar":      {"$", "this kind of hash" + use},
		"two dollars":        {"$$", "this kind of hash" + use},
		"unknown":            {"$hunter2$hunter2$", "this kind of hash" + use},
		"md5-crypt":          {"$1$salt$key", "md5-crypt" + use},
		"sha256-crypt":       {"$5$salt$key", "sha256-crypt" + use},
		"bcrypt 2":           {"$2$10$" + bcr53, "bcrypt $2$" + use},
		"bcrypt 2x":          {"$2x$10$" + bcr53, "bcrypt $2x$ (made by a faulty implementation)" + use},
		"bcrypt-sha256":      {"$bcrypt-sha256$v=2,t=2b,r=12$a$b", "bcrypt-sha256" + use},
		"plaintext":          {"$plaintext$hunter2", "plain text" + use},
		"argon2i":            {"$argon2i$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32, "argon2i" + use},
		"argon2d":            {"$argon2d$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32, "argon2d" + use},
		"another's sha512":   {"$sha512$salt$" + key86, "this kind of hash" + use},
		"id in capitals":     {"$ARGON2ID$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32, "this kind of hash" + use},
		"no leading dollar":  {"argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32, "password hash does not begin with $: it must be in PHC or crypt format (a password in plain text is no hash)"},
		"something in front": {"x$6$a$" + key86, "password hash does not begin with $: it must be in PHC or crypt format (a password in plain text is no hash)"},

		"four gibibytes":             {argon("m=4194304,t=1,p=1"), wantM},
		"all that 32 bits hold":      {argon("m=4294967295,t=4294967295,p=4294967295"), wantM},
		"more than 64 bits hold":     {argon("m=99999999999999999999,t=1,p=1"), wantM},
		"wraps to the default":       {argon("m=4294986752,t=2,p=1"), wantM},
		"one KiB too many":           {argon("m=131073,t=1,p=1"), wantM},
		"one KiB too few":            {argon("m=7167,t=1,p=1"), wantM},
		"no memory":                  {argon("m=0,t=1,p=1"), wantM},
		"negative memory":            {argon("m=-19456,t=2,p=1"), wantM},
		"signed memory":              {argon("m=+19456,t=2,p=1"), wantM},
		"leading zero":               {argon("m=019456,t=2,p=1"), wantM},
		"hexadecimal":                {argon("m=0x4c00,t=2,p=1"), wantM},
		"underscore":                 {argon("m=19_456,t=2,p=1"), wantM},
		"space in a number":          {argon("m= 19456,t=2,p=1"), wantM},
		"memory not a number":        {argon("m=hunter2,t=2,p=1"), wantM},
		"no passes":                  {argon("m=19456,t=0,p=1"), wantT},
		"too many passes":            {argon("m=7168,t=17,p=1"), wantT},
		"too much work":              {argon("m=131072,t=3,p=1"), "argon2id m times t must be at most 262144 (KiB of memory times passes)"},
		"no lanes":                   {argon("m=19456,t=2,p=0"), wantP},
		"too many lanes":             {argon("m=19456,t=2,p=5"), wantP},
		"lanes wrap around":          {argon("m=19456,t=2,p=257"), wantP},
		"parameter missing":          {argon("m=19456,t=2"), wantParams},
		"parameter twice":            {argon("m=19456,m=19456,t=2,p=1"), wantParams},
		"parameter out of place":     {argon("t=2,m=19456,p=1"), "argon2id: m= is missing or not in its place (KiB of memory)"},
		"key id":                     {argon("m=19456,t=2,p=1,keyid=AAAA"), wantParams},
		"associated data":            {argon("m=19456,t=2,p=1,data=AAAA"), wantParams},
		"version among parameters":   {argon("m=19456,t=2,p=1,v=19"), wantParams},
		"old version":                {"$argon2id$v=16$m=19456,t=2,p=1$" + salt16 + "$" + key32, wantVersion},
		"no version":                 {"$argon2id$m=19456,t=2,p=1$" + salt16 + "$" + key32, wantVersion},
		"version that wraps":         {"$argon2id$v=275$m=19456,t=2,p=1$" + salt16 + "$" + key32, wantVersion},
		"nothing but the id":         {"$argon2id", wantVersion},
		"key missing":                {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16, wantParts},
		"part too many":              {argon("m=19456,t=2,p=1") + "$", wantParts},
		"salt missing":               {"$argon2id$v=19$m=19456,t=2,p=1$$" + key32, wantSalt},
		"salt too short":             {"$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAA$" + key32, wantSalt},
		"salt too long":              {"$argon2id$v=19$m=19456,t=2,p=1$" + strings.Repeat("A", 87) + "$" + key32, wantSalt},
		"key empty":                  {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$", wantKey},
		"key too short":              {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$AAAAAAAAAAAAAAAAAAAA", wantKey},
		"key too long":               {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + strings.Repeat("A", 87), wantKey},
		"salt with padding":          {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "==$" + key32, wantSaltText},
		"salt in base64url":          {"$argon2id$v=19$m=19456,t=2,p=1$____YXRhVGVnYXRhVGVnYQ$" + key32, wantSaltText},
		"salt with bits left over":   {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16[:21] + "R$" + key32, wantSaltText},
		"line break in the salt":     {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16[:4] + "\n" + salt16[4:] + "$" + key32, wantSaltText},
		"key with bits left over":    {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32[:42] + "1", wantKeyText},
		"carriage return in the key": {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32[:4] + "\r" + key32[4:], wantKeyText},
		"length that no bytes have":  {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32 + "AA", wantKeyText},

		"bcrypt cost too low":            {"$2b$07$" + bcr53, wantCost},
		"bcrypt cost too high":           {"$2b$14$" + bcr53, wantCost},
		"bcrypt cost 31":                 {"$2b$31$" + bcr53, wantCost},
		"bcrypt cost zero":               {"$2b$00$" + bcr53, wantCost},
		"bcrypt cost no number":          {"$2b$1x$" + bcr53, wantCost},
		"bcrypt cost signed":             {"$2b$+9$" + bcr53, wantCost},
		"bcrypt cost of one digit":       {"$2b$8$" + bcr53, wantBcrypt},
		"bcrypt cost of three digits":    {"$2b$010$" + bcr53, wantBcrypt},
		"bcrypt without a cost":          {"$2b$" + bcr53, wantBcrypt},
		"bcrypt cut short":               {"$2b$10$" + bcr53[:52], wantBcrypt},
		"bcrypt with more":               {"$2b$10$" + bcr53 + "A", wantBcrypt},
		"bcrypt salt and key apart":      {"$2b$10$" + bcr53[:22] + "$" + bcr53[22:52], "bcrypt key is not base64 as this format spells it"},
		"bcrypt salt with bits left":     {"$2b$10$" + bcr53[:21] + "z" + bcr53[22:], "bcrypt salt is not base64 as this format spells it"},
		"bcrypt key with bits left":      {"$2b$10$" + bcr53[:52] + "X", "bcrypt key is not base64 as this format spells it"},
		"bcrypt salt of other letters":   {"$2b$10$+" + bcr53[1:], "bcrypt salt is not base64 as this format spells it"},
		"bcrypt line break in the salt":  {"$2b$10$\n" + bcr53[1:], "bcrypt salt is not base64 as this format spells it"},
		"sha512-crypt rounds too low":    {"$6$rounds=1400$anotherlongsalts$" + key86, wantRounds},
		"sha512-crypt rounds too high":   {"$6$rounds=500001$salt$" + key86, wantRounds},
		"sha512-crypt rounds enormous":   {"$6$rounds=999999999$salt$" + key86, wantRounds},
		"sha512-crypt rounds empty":      {"$6$rounds=$salt$" + key86, wantRounds},
		"sha512-crypt rounds zero":       {"$6$rounds=0$salt$" + key86, wantRounds},
		"sha512-crypt rounds twice":      {"$6$rounds=5000,rounds=6000$salt$" + key86, wantRounds},
		"sha512-crypt rounds in front 0": {"$6$rounds=05000$salt$" + key86, wantRounds},
		"sha512-crypt salt too long":     {"$6$saltsaltsaltsalts$" + key86, wantSHASalt},
		"sha512-crypt salt empty":        {"$6$$" + key86, wantSHASalt},
		"sha512-crypt salt not ASCII":    {"$6$sält$" + key86, wantSHASalt},
		"sha512-crypt nothing":           {"$6$", wantSHASalt},
		"sha512-crypt nothing at all":    {"$6", wantSHASalt},
		"sha512-crypt key missing":       {"$6$salt", wantSHAKey},
		"sha512-crypt key cut short":     {"$6$salt$" + key86[:85], wantSHAKey},
		"sha512-crypt key with bits":     {"$6$salt$" + key86[:85] + "z", wantSHAKey},
		"sha512-crypt key not base64":    {"$6$salt$=" + key86[1:], wantSHAKey},
		"sha512-crypt part too many":     {"$6$salt$" + key86 + "$", wantSHAKey},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := Parse(tc.encoded)
			if err == nil {
				t.Fatal("accepted")
			}
			if err.Error() != tc.want {
				t.Errorf("error\n%q, want\n%q", err, tc.want)
			}
			if !h.IsZero() {
				t.Error("returned a hash with the error")
			}
			if strings.Contains(err.Error(), "hunter2") || len(tc.encoded) > 20 && strings.Contains(err.Error(), tc.encoded[4:20]) {
				t.Errorf("error quotes the text: %v", err)
			}
		})
	}
}

// A hash that asks for memory must be refused before anybody gives it.
func TestParseRefusesWithoutAllocating(t *testing.T) {
	got := allocated(func() {
		for range 100 {
			if _, err := Parse("$argon2id$v=19$m=4194304,t=1,p=1$" + salt16 + "$" + key32); err == nil {
				t.Fatal("accepted")
			}
		}
	})
	if limit := uint64(100 << 10); got > limit {
		t.Errorf("allocated %d bytes for 100 refusals, want at most %d", got, limit)
	}
}

func allocated(do func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	do()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

func FuzzParse(f *testing.F) {
	for _, tc := range vectors {
		f.Add(tc.encoded)
	}
	f.Add("$argon2id$v=19$m=4194304,t=1,p=1$" + salt16 + "$" + key32)
	f.Add("$2b$31$" + bcr53)
	f.Add("$6$rounds=999999999$salt$" + key86)
	f.Add("$argon2id$v=19$m=7168,t=1,p=1$\r\n$")
	f.Fuzz(func(t *testing.T, encoded string) {
		var h Hash
		var err error
		// The slack is for the fuzzing engine: the least that a hash could ask for is 7 MiB.
		if got := allocated(func() { h, err = Parse(encoded) }); got > 1<<20 {
			t.Errorf("allocated %d bytes", got)
		}
		if err != nil {
			if len(encoded) > 24 && strings.Contains(err.Error(), encoded[:24]) {
				t.Errorf("error quotes the text: %v", err)
			}
			return
		}
		if h.Encoded() != encoded {
			t.Errorf("Encoded() = %q, parsed from %q", h.Encoded(), encoded)
		}
		if m := h.MemoryBytes(); m <= 0 || m > maxMemory<<10 {
			t.Errorf("MemoryBytes() = %d", m)
		}
		s, err := h.scheme()
		if err != nil {
			t.Fatalf("parsed once, but not twice: %v", err)
		}
		if a, ok := s.(*argon2idHash); ok && a.encode() != encoded {
			t.Errorf("argon2id hash encodes as %q, parsed from %q", a.encode(), encoded)
		}
	})
}
