package walkin

// An authResult is the result of verifying a request: whose it is.
type authResult struct {
	status    tokenStatus
	reason    Reason // why not live, for the operator's events
	entry     *entry // of a token that verified
	bearer    bool
	lost      bool // a live token of an anonymous user whom the store has never heard of
	unsure    bool // live by the token alone: the store is not the one that knows its session
	nowStored bool // a provisional token whose user is stored now: time for a new one
	beside    beside
	former    *formerCookies // the token came in a cookie of before a change
	err       error
}

// What other values there are beside the one that counts.
type beside uint8

const (
	nothing   beside = iota
	remnants         // all are certainly over
	theirs           // one is another live token of the same user
	uncertain        // one may be a live token of another user
)

// before rejects a token that was issued after the change, since no such cookie is set
// any more: it was planted.
func (f authResult) before(former *formerCookies) authResult {
	if former != nil && f.entry != nil && !f.entry.claims.IssuedAt.Before(former.changedAt) {
		return authResult{status: invalid, reason: ReasonFormerCookie}
	}
	return f
}

// and returns what two values of one name come to. A live one counts, since it verified
// and others can be planted; of one user the newest. Two live users give no user: fails
// closed, since either may have been planted. Without a live one, a value that cannot
// be verified takes precedence over one that has ended.
func (f authResult) and(other authResult) authResult {
	if other.counts() > f.counts() {
		f, other = other, f
	}
	if f.status == live && other.status == live {
		if f.entry.claims.UserID != other.entry.claims.UserID {
			return authResult{status: conflicting, reason: ReasonDuplicateCookie}
		}
		if other.entry.claims.IssuedAt.After(f.entry.claims.IssuedAt) {
			f, other = other, f
		}
		f.beside = max(f.beside, theirs)
	}
	at := remnants
	switch other.status { // a live one is theirs, see above
	case unreachable, unverifiable, lost, suspended:
		at = uncertain
	}
	f.beside = max(f.beside, other.beside, at)
	return f
}

// counts orders results by how much they say about a visitor.
func (f authResult) counts() int {
	switch f.status {
	case live:
		return 4
	case unreachable:
		return 3
	case unverifiable, lost, suspended:
		return 2
	case sessionEnded:
		return 1
	}
	return 0
}
