package passkey

import (
	"crypto/ecdh"
	"math/big"
	"slices"

	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// Nothing is signed when a key is made. So an unusable key would show only when its
// owner comes back, and a key that can be signed for without its private part not even then.

const (
	minRSABits = 2048      // as for token keys, RFC 7518 §3.3
	maxRSAExp  = 1<<31 - 1 // what crypto/rsa takes
)

// usable reports whether a COSE key is one that its owner alone can sign in with. The
// library looks at its form, and at a point of P-256.
func usable(public []byte) bool {
	if len(public) > maxPublicKey {
		return false
	}
	parsed, err := webauthncose.ParsePublicKey(public)
	if err != nil {
		return false
	}
	switch key := parsed.(type) {
	case webauthncose.EC2PublicKeyData:
		point := slices.Concat([]byte{4}, key.XCoord, key.YCoord)
		_, err := ecdh.P256().NewPublicKey(point)
		return err == nil
	case webauthncose.OKPPublicKeyData:
		return isEd25519(key.XCoord)
	case webauthncose.RSAPublicKeyData:
		modulus, exponent := new(big.Int).SetBytes(key.Modulus), new(big.Int).SetBytes(key.Exponent)
		return modulus.BitLen() >= minRSABits && modulus.Bit(0) == 1 &&
			exponent.Cmp(big.NewInt(3)) >= 0 && exponent.Cmp(big.NewInt(maxRSAExp)) <= 0 && exponent.Bit(0) == 1
	}
	return false // of a kind that we did not ask for
}

// isEd25519 reports whether b is a point of edwards25519 (RFC 8032, 5.1.3) whose order
// is not one of the eight small ones. Small ones have no private key. The all-zero key
// is one of them, and for it some signatures hold for any message. The numbers are
// public, so this need not run in constant time.
func isEd25519(b []byte) bool {
	if len(b) != 32 {
		return false
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	mod := func(x *big.Int) *big.Int { return x.Mod(x, p) }
	mul := func(x, y *big.Int) *big.Int { return mod(new(big.Int).Mul(x, y)) }
	div := func(x, y *big.Int) *big.Int { return mul(x, new(big.Int).ModInverse(y, p)) } // y is never 0: d is no square
	one := big.NewInt(1)
	d := div(mod(big.NewInt(-121665)), big.NewInt(121666))

	little := slices.Clone(b)
	slices.Reverse(little)
	little[0] &= 0x7f // the sign of x, which makes no difference
	y := new(big.Int).SetBytes(little)
	if y.Cmp(p) >= 0 {
		return false
	}
	yy := mul(y, y)
	x := div(mod(new(big.Int).Sub(yy, one)), mod(new(big.Int).Add(mul(d, yy), one)))
	if x = new(big.Int).ModSqrt(x, p); x == nil {
		return false
	}
	for range 3 { // twice, four times, eight times the point
		xx, yy, xy := mul(x, x), mul(y, y), mul(x, y)
		dxxyy := mul(d, mul(xx, yy))
		x = div(mod(new(big.Int).Lsh(xy, 1)), mod(new(big.Int).Add(one, dxxyy)))
		y = div(mod(new(big.Int).Add(yy, xx)), mod(new(big.Int).Sub(one, dxxyy)))
	}
	return y.Cmp(one) != 0 // which only the neutral element has
}
