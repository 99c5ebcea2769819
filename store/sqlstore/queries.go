package sqlstore

import "fmt"

// queries are the statements of a store, fitted to its dialect once.
type queries struct {
	insertUser, user, lockUser, setAnonymous, seen, unsee, deleteUser string
	away, expiredSessions, expiredTombstones, expiredData             string
	tombstone, insertTombstone                                        string

	insertFirstSession, insertSession, renewSession            string
	sessions, deleteSession, deleteSessions, deleteAllSessions string

	identity, identities, insertIdentity, setSecret string
	deleteIdentity, deleteIdentities                string

	persist string // by PostgreSQL's function

	ticket, lockTicket, insertTicket, tryTicket       string
	deleteTicket, deleteExpiredTicket, expiredTickets string
	deleteTickets, moveTickets                        string

	saveData, deleteData string

	database, lockDatabase, announce, endSessions, endAnonymous, adopt string

	limit, insertLimit, swapLimit, fullLimits string

	feed, openFeed, addFeed, expiredFeed string
}

func newQueries(d dialect) queries {
	return queries{

		insertUser: d.sql(`
			INSERT INTO walkin_users (id, anonymous, created_at, seen_at) VALUES (?, ?, ?, ?) {{unless id}}`),
		user:         d.sql(`SELECT anonymous, {{time created_at}}, {{time seen_at}}, {{time banned_until}}, COALESCE(ban_reason, '') FROM walkin_users WHERE id = ?`),
		lockUser:     d.sql(`SELECT anonymous, {{time created_at}}, {{time seen_at}}, {{time banned_until}}, COALESCE(ban_reason, '') FROM walkin_users WHERE id = ? {{for update}}`),
		setAnonymous: d.sql(`UPDATE walkin_users SET anonymous = ? WHERE id = ?`),
		seen:         d.sql(`UPDATE walkin_users SET seen_at = ? WHERE id = ?`),
		deleteUser:   d.sql(`DELETE FROM walkin_users WHERE id = ?`),
		unsee:        d.sql(`UPDATE walkin_users SET seen_at = ? WHERE id = ?`),

		away: d.sql(`
			SELECT id, {{time created_at}}, {{time seen_at}} FROM walkin_users u
			WHERE anonymous = TRUE AND seen_at < ? AND (seen_at, id) > (?, ?) {{from}}
				AND {{no identity}}
			ORDER BY seen_at, id LIMIT ? {{skip locked}}`),
		expiredSessions:   d.expired("walkin_sessions", "id", "expires_at"),
		expiredTombstones: d.expired("walkin_tombstones", "user_id", "expires_at"),
		expiredData:       d.expired("walkin_session_data", "session_id", "expires_at"),

		tombstone: d.sql(`SELECT 1 FROM walkin_tombstones WHERE user_id = ?`),
		insertTombstone: d.sql(`
			INSERT INTO walkin_tombstones (user_id, merged_into, deleted_at, expires_at) VALUES (?, ?, ?, ?) {{unless user_id}}`),

		// Of a user who was stored by the statement before, unless deleted.
		insertFirstSession: d.sql(`
			{{insert}} INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
			SELECT ?, ?, ?, ?, ? FROM (SELECT 1 AS one) AS one
			WHERE NOT EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = ?) {{skip}}`),
		insertSession: d.sql(`
			INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES (?, ?, ?, ?, ?) {{unless id}}`),
		renewSession: d.sql(`UPDATE walkin_sessions SET renewed_at = ?, expires_at = ? WHERE id = ? AND {{beside}} user_id = ? {{end}}`),
		sessions: d.sql(`
			SELECT s.id, {{time s.created_at}}, {{time s.renewed_at}}, {{time s.expires_at}}
			FROM walkin_sessions s
			JOIN walkin_users u ON u.id = s.user_id
			LEFT JOIN walkin_database d ON d.one = 1
			WHERE s.user_id = ?
				AND NOT COALESCE(s.created_at < CASE WHEN u.anonymous = TRUE THEN d.anonymous_ended_at ELSE d.ended_at END, FALSE)`),
		deleteSession:     d.sql(`DELETE FROM walkin_sessions WHERE id = ? AND {{beside}} user_id = ? {{end}}`),
		deleteSessions:    d.sql(`DELETE FROM walkin_sessions WHERE user_id = ? AND id <> ?`),
		deleteAllSessions: d.sql(`DELETE FROM walkin_sessions WHERE user_id = ?`),

		persist: d.sql(`
			SELECT id FROM walkin_persist(CAST(CAST(? AS text) AS uuid[]), CAST(CAST(? AS text) AS uuid[]),
				CAST(CAST(? AS text) AS timestamptz[]), CAST(CAST(? AS text) AS timestamptz[])) AS id`),

		identity: d.sql(`SELECT user_id, {{bytes secret}}, {{time created_at}} FROM walkin_identities WHERE provider = ? AND subject = ?`),
		identities: d.sql(`
			SELECT provider, subject, {{bytes secret}}, {{time created_at}} FROM walkin_identities WHERE user_id = ?
			ORDER BY created_at, provider, subject`),
		insertIdentity: d.sql(`
			INSERT INTO walkin_identities (provider, subject, user_id, secret, created_at) VALUES (?, ?, ?, ?, ?) {{unless provider}}`),
		setSecret:        d.sql(`UPDATE walkin_identities SET secret = ? WHERE provider = ? AND subject = ?`),
		deleteIdentity:   d.sql(`DELETE FROM walkin_identities WHERE provider = ? AND subject = ? AND {{beside}} user_id = ? {{end}}`),
		deleteIdentities: d.sql(`DELETE FROM walkin_identities WHERE user_id = ?`),

		ticket:     d.sql(`SELECT {{bytes data}}, tries, {{time expires_at}}, user_id FROM walkin_tickets WHERE name = ?`),
		lockTicket: d.sql(`SELECT {{bytes data}}, tries, {{time expires_at}}, user_id FROM walkin_tickets WHERE name = ? {{for update}}`),
		insertTicket: d.sql(`
			INSERT INTO walkin_tickets (name, data, tries, expires_at, user_id) VALUES (?, ?, ?, ?, ?) {{unless name}}`),
		deleteTickets:       d.theirTickets(""),
		moveTickets:         d.theirTickets("user_id = ?"),
		tryTicket:           d.sql(`UPDATE walkin_tickets SET tries = tries - 1 WHERE name = ? AND {{beside}} tries > 0 AND expires_at > ? {{end}}`),
		deleteTicket:        d.sql(`DELETE FROM walkin_tickets WHERE name = ?`),
		deleteExpiredTicket: d.sql(`DELETE FROM walkin_tickets WHERE name = ? AND {{beside}} expires_at <= ? {{end}}`),
		expiredTickets:      d.expired("walkin_tickets", "name", "expires_at"),

		saveData: d.sql(`
			INSERT INTO walkin_session_data (session_id, data, expires_at)
			SELECT id, ?, ? FROM walkin_sessions WHERE id = ? {{for share}}
			{{upsert}} data = ?, expires_at = ?`),
		deleteData: d.sql(`DELETE FROM walkin_session_data WHERE session_id = ?`),

		database:     d.sql(databaseQuery),
		lockDatabase: d.sql(databaseQuery + ` {{for update}}`),
		announce: d.sql(`
			UPDATE walkin_database SET token_life = ?, token_life_until = ?
			WHERE one = 1 AND (token_life <= ? OR token_life_until < ?)`),
		endSessions:  d.sql(`UPDATE walkin_database SET ended_at = ? WHERE one = 1 AND ended_at < ?`),
		endAnonymous: d.sql(`UPDATE walkin_database SET anonymous_ended_at = ? WHERE one = 1 AND anonymous_ended_at < ?`),
		adopt:        d.sql(`UPDATE walkin_database SET adopted = ?, born_at = ? WHERE one = 1`),

		feed:        d.sql(fmt.Sprintf(feedQuery, "WHERE id = ?", d.feedSince)),
		openFeed:    d.sql(fmt.Sprintf(feedQuery, "WHERE id = 0", d.feedOpen)),
		addFeed:     d.sql(`INSERT INTO walkin_feed (user_id, nonce, at) VALUES (?, ?, {{now}})`),
		expiredFeed: d.expired("walkin_feed", "id", "at"),

		limit:       d.sql(`SELECT full_at FROM walkin_limits WHERE name = ?`),
		insertLimit: d.sql(`INSERT INTO walkin_limits (name, full_at) VALUES (?, ?) {{unless name}}`),
		swapLimit:   d.sql(`UPDATE walkin_limits SET full_at = ? WHERE name = ? AND {{beside}} full_at = ? {{end}}`),
		fullLimits:  d.expired("walkin_limits", "name", "full_at"),
	}
}

// The two queries that safe requests make. They are prepared, see Store.queryPrepared.
const (
	// Session, user and tombstone by primary key, in one query, and the one row of
	// the database. Whose session it is is compared outside, see dialect.sql.
	lookupQuery = `
		SELECT COALESCE(s.user_id = ?, FALSE), {{time s.created_at}}, {{time s.renewed_at}}, {{time s.expires_at}},
			u.id IS NOT NULL, COALESCE(u.anonymous, FALSE),
			EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = ?),
			COALESCE(s.created_at < CASE WHEN u.anonymous = TRUE THEN d.anonymous_ended_at ELSE d.ended_at END, FALSE),
			{{time u.banned_until}}
		FROM (SELECT 1 AS one) AS one
		LEFT JOIN walkin_users u ON u.id = ?
		LEFT JOIN walkin_sessions s ON s.id = ?
		LEFT JOIN walkin_database d ON d.one = 1`

	// The same for many, a row for each of those who are asked for.
	lookupAllQuery = `
		SELECT q.n, COALESCE(s.user_id = q.user_id, FALSE), {{time s.created_at}}, {{time s.renewed_at}}, {{time s.expires_at}},
			u.id IS NOT NULL, COALESCE(u.anonymous, FALSE),
			CASE WHEN u.id IS NULL THEN EXISTS (SELECT 1 FROM walkin_tombstones t WHERE t.user_id = q.user_id) ELSE FALSE END,
			COALESCE(s.created_at < CASE WHEN u.anonymous = TRUE THEN d.anonymous_ended_at ELSE d.ended_at END, FALSE),
			{{time u.banned_until}}
		FROM {{asked}}
		LEFT JOIN walkin_users u ON u.id = q.user_id
		LEFT JOIN walkin_sessions s ON s.id = q.session_id
		LEFT JOIN walkin_database d ON d.one = 1`

	// What a reader of the feed looks at: the state of the database, the row that was
	// read last, the newest and its age, and what is new.
	feedQuery = `
		SELECT 0, CAST(0 AS {{bigint}}), {{no id}}, {{no id}}, {{standby}}, {{xmin}}
		UNION ALL
		SELECT 1, id, user_id, nonce, 0, {{xmin}} FROM walkin_feed %s
		UNION ALL
		SELECT 2, id, user_id, nonce, {{age at}}, {{xmin}} FROM walkin_feed WHERE id = (SELECT MAX(id) FROM walkin_feed)
		UNION ALL
		SELECT 3, id, user_id, nonce, 0, {{xmin}} FROM (SELECT id, user_id, nonce FROM walkin_feed WHERE %s LIMIT 10001) AS news`

	databaseQuery = `
		SELECT id, adopted, {{time born_at}}, token_life, {{time token_life_until}}, {{time ended_at}}, {{time anonymous_ended_at}}
		FROM walkin_database WHERE one = 1`

	findDataQuery = `SELECT {{bytes data}} FROM walkin_session_data WHERE session_id = ? AND {{beside}} expires_at > ? {{end}}`
)
