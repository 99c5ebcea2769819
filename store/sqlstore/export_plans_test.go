package sqlstore

import "reflect"

// Statements returns the text of every statement that the store keeps, for the test
// that looks at how databases answer them.
func (s *Store) Statements() []string {
	var all []string
	q := reflect.ValueOf(s.q)
	for _, field := range q.Fields() {
		all = append(all, field.String())
	}
	for _, p := range s.prepared() {
		all = append(all, p.text)
	}
	return all
}

// prepared finds every prepared statement of the store, whichever field it is in.
func (s *Store) prepared() (all []*prepared) {
	all = append(all, &s.lookup, &s.findData, &s.persistOnly)
	for i := range s.together {
		m := &s.together[i]
		all = append(all, &m.lockUsers, &m.insertUsers, &m.insertSessions, &m.countTombstones)
	}
	for i := range s.lookupAll {
		all = append(all, &s.lookupAll[i])
	}
	return all
}
