// Package password owns password hashes: reading them within bounds of cost, making them, and checking
// passwords against them in constant work, with a bound on how many are computed at once and on the
// memory they take. It knows no Kubernetes, no protocol and no directory of users, and it must never put
// a password or a hash into an error, a log or a metric.
//
// # Formats
//
// argon2id in PHC format, bcrypt ($2a$, $2b$, $2y$) and sha512-crypt ($6$). The grammar is strict and
// the parser is ours: every bound is checked on the text before anything is decoded or allocated, and
// only the one canonical spelling is taken. The decoders of go-crypt/crypt fill in parameters that are
// missing, take any identifier for sha512-crypt and any cost. Only the primitives of go-crypt/x are used.
//
// # Constant work
//
// A check computes exactly one hash, whatever is wrong: an unknown user and a user without a credential
// are the zero Hash, for which a decoy of the default parameters is computed on the same path; a password
// that cannot be right (over 72 bytes for bcrypt, not UTF-8, too long) is replaced by one of the right
// shape and refused after the work. Users whose hashes were imported with other parameters cost what
// those cost, so a caller who hides who exists must also send its denials at a fixed time.
//
// # Unicode
//
// A password is normalised once, in New and in Verify alike, by the OpaqueString profile of RFC 8265:
// NFC, and each Unicode space is U+0020. Thus what a Mac sends decomposed and a Windows machine composed
// is one password. Case and width stay as typed. Hashes made elsewhere are checked against the
// normalised password too: other systems hash what was typed, which is NFC from nearly every keyboard,
// and trying both forms would cost a second hash. So an imported hash of a password in another form, or
// with a space other than U+0020, does not match and has to be set anew. What the profile does not allow
// at all (control characters, code points without a meaning yet) New refuses, and Verify compares as
// typed, which can only ever match an imported hash.
//
// # Memory
//
// Argon2 works in a block of memory (19 MiB by default) which the libraries allocate for each hash and
// leave to the garbage collector: a flood of logins then takes two to five times the memory of the hashes
// that are running, and collecting after each hash costs half the throughput once a directory of 100,000
// users is in the heap. So a Verifier keeps one block a slot and hashes into it again; see argon2id.go for
// the price of that. An idle block is held weakly: the collector takes it when it runs, and until then
// it is reused.
package password
