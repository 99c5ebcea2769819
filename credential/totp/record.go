package totp

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/walkin-go/walkin/store"
)

const (
	recoveryCodes  = 10
	recoveryLength = 16 // of base32: 80 bits
	period         = 30 // seconds
)

// A record is the secret of the identity.
type record struct {
	Sealed   []byte   `json:"sealed"`             // the key of the codes, encrypted
	Last     int64    `json:"last"`               // the time step of the last code that was accepted
	Recovery [][]byte `json:"recovery,omitempty"` // hashes of those that were not used
}

// seal encrypts a key under the first of our own. It is bound to its user: a writer of
// the database cannot give it to another.
func (t *TOTP) seal(userID uuid.UUID, key string) ([]byte, error) {
	aead, err := aeadOf(t.keys[0])
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, []byte(key), userID[:]), nil
}

// open decrypts it, under whichever key; current says that it was the first.
func (t *TOTP) open(userID uuid.UUID, sealed []byte) (key string, current bool, err error) {
	for i, secret := range t.keys {
		aead, err := aeadOf(secret)
		if err != nil {
			return "", false, err
		}
		if plain, err := aead.Open(nil, nil, sealed, userID[:]); err == nil {
			return string(plain), i == 0, nil
		}
	}
	return "", false, fmt.Errorf("walkin: totp: the factor of user %s is not encrypted under any key of Config.Keys", userID)
}

func aeadOf(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// recordOf returns what is stored of a user's factor, or store.ErrNotFound.
func (t *TOTP) recordOf(ctx context.Context, userID uuid.UUID) (store.Identity, record, error) {
	identity, err := t.store.Identity(ctx, Provider, userID.String())
	if err != nil {
		return store.Identity{}, record{}, err
	}
	var rec record
	if json.Unmarshal(identity.Secret, &rec) != nil || identity.UserID != userID {
		return store.Identity{}, record{}, fmt.Errorf("walkin: totp: the stored factor of user %s cannot be read", userID)
	}
	return identity, rec, nil
}

func (t *TOTP) save(ctx context.Context, userID uuid.UUID, rec record) error {
	secret, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return t.store.SetSecret(ctx, Provider, userID.String(), secret)
}

// check returns the record as it is once a code is used, or the refusal of a code that
// is wrong or was used before. It stores nothing.
func (t *TOTP) check(ctx context.Context, userID uuid.UUID, code typed) (record, error) {
	_, rec, err := t.recordOf(ctx, userID)
	if errors.Is(err, store.ErrNotFound) {
		return record{}, off()
	}
	if err != nil {
		return record{}, err
	}
	if code.recovery {
		hash := recoveryHash(userID, code.text)
		i := slices.IndexFunc(rec.Recovery, func(h []byte) bool { return subtle.ConstantTimeCompare(h, hash) == 1 })
		if i < 0 {
			return record{}, wrong()
		}
		rec.Recovery = slices.Delete(rec.Recovery, i, i+1)
		return rec, nil
	}
	key, current, err := t.open(userID, rec.Sealed)
	if err != nil {
		return record{}, err
	}
	if rec.Last, err = match(key, code.text, rec.Last); err != nil {
		return record{}, err
	}
	if !current {
		rec.Sealed, err = t.seal(userID, key)
	}
	return rec, err
}

// match returns the time step of a code, which must be after last: of each code its
// owner and a thief who saw it typed, one is let in.
func match(key, code string, last int64) (int64, error) {
	now, seen := time.Now().Unix()/period, false
	for step := now - 1; step <= now+1; step++ {
		right, err := hotp.ValidateCustom(code, uint64(step), key, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, fmt.Errorf("walkin: totp: %w", err)
		}
		if right && step > last {
			return step, nil
		}
		seen = seen || right
	}
	if seen {
		return 0, used()
	}
	return 0, wrong()
}

// use uses a code up, in the transaction of ctx, with the user locked.
func (t *TOTP) use(ctx context.Context, userID uuid.UUID, code typed) error {
	rec, err := t.check(ctx, userID, code)
	if err != nil {
		return err
	}
	return t.save(ctx, userID, rec)
}

// newRecovery returns recovery codes as their owner writes them down, and their hashes.
// They are random enough that no client can try them all, with the hashes or without.
func newRecovery(userID uuid.UUID) (codes []string, hashes [][]byte) {
	for range recoveryCodes {
		text := rand.Text()[:recoveryLength]
		codes = append(codes, strings.ToLower(text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:]))
		hashes = append(hashes, recoveryHash(userID, text))
	}
	return codes, hashes
}

func recoveryHash(userID uuid.UUID, code string) []byte {
	sum := sha256.Sum256([]byte("walkin totp recovery\x00" + userID.String() + "\x00" + code))
	return sum[:]
}

// Reseal encrypts again what is encrypted under an older key of Config.Keys, and returns
// how many users that were. Call it after a rotation, before the old key is removed. The
// directory is the store of walkin.Config. What no key decrypts stays as it is, and is in the
// error.
func (t *TOTP) Reseal(ctx context.Context, directory store.Directory) (int, error) {
	resealed, errs := 0, []error(nil)
	for q := (store.UserQuery{Provider: Provider, Limit: 1000}); ; {
		page, err := directory.ListUsers(ctx, q)
		if err != nil {
			return resealed, errors.Join(append(errs, err)...)
		}
		for _, user := range page.Users {
			did, err := t.resealOne(ctx, user.ID)
			errs = append(errs, err)
			if did {
				resealed++
			}
		}
		if q.After = page.Next; q.After == "" {
			return resealed, errors.Join(errs...)
		}
	}
}

func (t *TOTP) resealOne(ctx context.Context, userID uuid.UUID) (did bool, err error) {
	err = t.store.InTx(ctx, func(ctx context.Context) error {
		did = false
		if _, err := t.store.LockUser(ctx, userID); errors.Is(err, store.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		_, rec, err := t.recordOf(ctx, userID)
		if errors.Is(err, store.ErrNotFound) {
			return nil // turned off since
		}
		if err != nil {
			return err
		}
		key, current, err := t.open(userID, rec.Sealed)
		if err != nil || current {
			return err
		}
		if rec.Sealed, err = t.seal(userID, key); err != nil {
			return err
		}
		did = true
		return t.save(ctx, userID, rec)
	})
	return did && err == nil, err
}
