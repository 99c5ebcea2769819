package rls

import (
	"slices"
)

// A result is what was seen of a command, over all the possible contents of the tables
// that it reads.
type result struct {
	some      bool   // the anonymous user gets a row, whatever those tables hold
	all       bool   // and gets all
	never     bool   // gets none, whatever tables, claims and settings hold
	permanent bool   // a permanent user gets a row in one case at least
	depends   bool   // the two get different rows
	more      bool   // the anonymous one gets rows that the permanent one does not
	less      bool   // and the other way round
	missing   bool   // a token without the claim gets in
	failOpen  bool   // and gets rows that an anonymous one does not
	metadata  bool   // what the visitor writes changes the result
	void      bool   // a policy asks, to no effect
	doubt     string // why "nothing" may be wrong
	why       string // it is nothing
	reads     []int64
	nothing   [kinds]bool // gets no row in any case

	// The rows that an anonymous user gets with a plain token: whatever other tables
	// hold, and in one case at least.
	always, ever []bool
}

// judge looks at the rows that pass in each world.
func judge(rulings []ruling, p *probe, command string, apps, poisoned int) result {
	combos, ok := combinations(rulings)
	if !ok {
		return result{doubt: "it depends on too many tables"}
	}
	out := result{some: true, all: true, never: true, nothing: [kinds]bool{true, true, true}}
	asks := make([]bool, len(rulings))
	same := true
	poisonIn := make([]bool, poisoned)
	for i := range poisonIn {
		poisonIn[i] = true
	}
	missingSome, missingDecides := true, false
	out.always, out.ever = slices.Repeat([]bool{true}, len(p.rows)), make([]bool, len(p.rows))
	for _, variant := range combos {
		at := func(w int) (sets [kinds][]bool) {
			for k := range kinds {
				sets[k] = through(rulings, p, command, variant, w*cellsPerWorld+int(k))
			}
			return sets
		}
		first := at(0)
		out.some = out.some && count(first[anonymous]) > 0
		out.all = out.all && count(first[anonymous]) == len(p.rows)
		for i := range p.rows {
			got := first[anonymous] != nil && first[anonymous][i]
			out.always[i], out.ever[i] = out.always[i] && got, out.ever[i] || got
		}
		missingSome = missingSome && count(first[missing]) > 0
		same = same && slices.Equal(first[anonymous], first[permanent])
		for w := range 1 + apps + poisoned {
			sets := first
			if w > 0 {
				sets = at(w)
			}
			if slices.ContainsFunc(sets[:], func(rows []bool) bool { return rows == nil }) {
				if w > apps {
					poisonIn[w-1-apps] = false
				}
				continue
			}
			for k := range kinds {
				out.nothing[k] = out.nothing[k] && count(sets[k]) == 0
			}
			out.never = out.never && count(sets[anonymous]) == 0
			out.permanent = out.permanent || count(sets[permanent]) > 0
			if w > apps {
				out.metadata = out.metadata || !slices.Equal(sets[anonymous], first[anonymous]) || !slices.Equal(sets[permanent], first[permanent])
				poisonIn[w-1-apps] = poisonIn[w-1-apps] && count(sets[anonymous]) > 0
				continue
			}
			for i := range p.rows {
				a, b, m := sets[anonymous][i], sets[permanent][i], sets[missing][i]
				out.depends = out.depends || a != b
				out.more, out.less = out.more || a && !b, out.less || b && !a
				out.failOpen = out.failOpen || m && !a
				missingDecides = missingDecides || m && (a != b || !a)
			}
		}
		for i, r := range rulings {
			if !r.permissive { // joined by AND, it counts
				continue
			}
			alone := []ruling{r}
			a := through(alone, p, command, variant, int(anonymous))
			b := through(alone, p, command, variant, int(permanent))
			asks[i] = asks[i] || count(b) > count(a)
		}
	}
	out.some = out.some || slices.Contains(poisonIn, true)
	out.void = slices.Contains(asks, true) && slices.Contains(asks, false) && same && out.some
	// Where the claim decides nothing, a token without it gets what all get.
	out.missing = missingDecides || !out.depends && (missingSome || out.metadata && out.some)
	for _, e := range expressions(rulings) {
		for _, oid := range e.reads {
			if !slices.Contains(out.reads, oid) {
				out.reads = append(out.reads, oid)
			}
		}
	}
	return out
}

func count(rows []bool) (n int) {
	for _, ok := range rows {
		if ok {
			n++
		}
	}
	return n
}

func (r *result) verdict() string {
	decided := r.some || r.never && r.doubt == ""
	switch {
	case r.metadata:
		return UserMetadata
	case r.void:
		return VoidGuard
	case r.failOpen:
		return FailOpen
	case r.more && !r.less:
		return Inverted
	case !decided:
		return Unknown
	case r.all:
		return Open
	case r.some:
		return Limited
	case r.permanent:
		return Closed
	}
	return Dead
}

// answers fills in the three booleans.
func (f *Finding) answers(r *result) {
	if f.Verdict == Unknown {
		return
	}
	f.Depends, f.MissingClaim = new(r.depends), new(r.missing)
	if r.some || r.never {
		f.Anonymous = new(r.some)
	}
}

func (f *Finding) answer(anonymous, depends, missing bool) {
	f.Anonymous, f.Depends, f.MissingClaim = &anonymous, &depends, &missing
}

// severity says how much a verdict matters. What is written without a guard matters
// more than what is read. Access that was asked for matters less than access by
// accident.
func severity(verdict, command string) string {
	read := command == "SELECT" || command == "EXECUTE"
	switch verdict {
	case RLSOff, WalksPast, UserMetadata, VoidGuard, FailOpen, Inverted:
		return "high"
	case Owner, BlocksDeletion:
		return "medium"
	case Open:
		if command == "EXECUTE" {
			return ""
		} else if read {
			return "medium"
		}
		return "high"
	case Unknown:
		if read {
			return "low"
		}
		return "medium"
	case MoveOnMerge:
		return "note"
	}
	return ""
}
