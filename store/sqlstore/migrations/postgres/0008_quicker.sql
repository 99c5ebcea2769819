-- +goose Up

-- Tells the replicas that listen to read the feed now, see walkin.FeedAlarm. It carries
-- nothing: any role can send one, and so it is believed nothing. Rows that only say
-- that the feed is alive send none, and no first write of a visitor has a row: a
-- NOTIFY takes a lock of the whole server at commit.
-- +goose StatementBegin
CREATE FUNCTION walkin_alarm() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NOTIFY walkin_feed;
	RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER walkin_alarm AFTER INSERT ON walkin_feed FOR EACH ROW
	WHEN (NEW.user_id IS NOT NULL) EXECUTE FUNCTION walkin_alarm();
