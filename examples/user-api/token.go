package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

const (
	// tokenPrefix tells tokens from keys that clients make up themselves.
	tokenPrefix = "form."
	// tokenLife is how long a form may be submitted. hello-srv must remember the
	// tip for longer: a token that outlived its record would pay again.
	tokenLife = time.Hour

	shortestSecret = 32
	nonceSize      = 16
	tokenSize      = nonceSize + 8 + sha256.Size
)

// tokens signs the one-time tokens of tip forms. A form that is submitted
// twice is one tip, because its token is the tip's key; that it was signed here
// says when it was made, so that an old one can be refused. All user-api that
// share a secret accept each other's. Safe for concurrent use.
type tokens struct {
	secret []byte
	now    func() time.Time
}

// newTokens makes a secret of its own where none is given: then a form does not
// survive a restart.
func newTokens(secret string) *tokens {
	t := &tokens{secret: []byte(secret), now: time.Now}
	if secret == "" {
		t.secret = make([]byte, shortestSecret)
		_, _ = rand.Read(t.secret) // never fails
	}
	return t
}

func checkSecret(secret string) error {
	if secret != "" && len(secret) < shortestSecret {
		return &setting.Error{Name: "FORM_SECRET", Value: "…", Allowed: "unset, or at least 32 bytes"}
	}
	return nil
}

// issue returns a fresh token.
func (t *tokens) issue() (token string, expires time.Time) {
	issued := t.now().Truncate(time.Second)
	content := make([]byte, nonceSize, tokenSize)
	_, _ = rand.Read(content)                                               // never fails
	content = binary.BigEndian.AppendUint64(content, uint64(issued.Unix())) //nolint:gosec // after 1970
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(t.sign(content)), issued.Add(tokenLife)
}

// sign appends the signature to content.
func (t *tokens) sign(content []byte) []byte {
	mac := hmac.New(sha256.New, t.secret)
	mac.Write([]byte("tip form"))
	mac.Write(content)
	return mac.Sum(content)
}

var (
	errForged  = errors.New("this form was not issued here, or its token was changed; open a new one")
	errExpired = errors.New("this form has expired; look at the balance to see whether it was submitted, then open a new one")
)

// check returns when the token was issued. The zero time says that the key is
// no token.
func (t *tokens) check(key string) (issued time.Time, err error) {
	encoded, isToken := strings.CutPrefix(key, tokenPrefix)
	if !isToken {
		return time.Time{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) != tokenSize {
		return time.Time{}, errForged
	}
	content := raw[:nonceSize+8]
	if !hmac.Equal(t.sign(slices.Clip(content)), raw) {
		return time.Time{}, errForged
	}
	issued = time.Unix(int64(binary.BigEndian.Uint64(content[nonceSize:])), 0) //nolint:gosec // signed here
	if t.now().Sub(issued) > tokenLife {
		return time.Time{}, errExpired
	}
	return issued, nil
}
