package sqlstore

// DirectoryQueries are the statements that list users, as they are sent.
func (s *Store) DirectoryQueries() (users, permanent, owners, next, inactive string) {
	return s.dialect.sql(usersQuery), s.dialect.sql(permanentQuery), s.dialect.sql(ownersQuery),
		s.dialect.sql(nextProviderQuery), s.dialect.sql(inactiveQuery)
}

// BindID binds a user ID as the store does.
func (s *Store) BindID(id [16]byte) any { return s.dialect.id(id) }
