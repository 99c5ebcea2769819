module github.com/walkin-go/walkin/store/pgxstore

go 1.26.0

require (
	github.com/google/uuid v1.6.0
	github.com/jackc/pgx/v5 v5.12.0
	github.com/walkin-go/walkin v0.1.0
	github.com/walkin-go/walkin/store/sqlstore v0.1.0
)
