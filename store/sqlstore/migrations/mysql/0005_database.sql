-- +goose Up

-- Which database this is, and what holds for all of it: one row. Times before which
-- sessions are over; token_life in microseconds, see store.Database.

CREATE TABLE walkin_database (
	one                integer        NOT NULL PRIMARY KEY,
	id                 varbinary(8)   NOT NULL,
	adopted            varbinary(255) NOT NULL,
	born_at            datetime(6)    NOT NULL,
	token_life         bigint         NOT NULL,
	token_life_until   datetime(6)    NOT NULL,
	ended_at           datetime(6)    NOT NULL,
	anonymous_ended_at datetime(6)    NOT NULL
) ENGINE = InnoDB;

INSERT INTO walkin_database
SELECT 1, SUBSTR(MD5(CONCAT(UUID(), RAND())), 1, 8), '',
	LEAST(COALESCE((SELECT MIN(created_at) FROM walkin_users), UTC_TIMESTAMP(6)), UTC_TIMESTAMP(6)),
	2764800000000, '1970-01-01', '1970-01-01', '1970-01-01';
