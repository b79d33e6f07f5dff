-- Levels of many items, and the newest of each.
CREATE TABLE levels (id BIGINT NOT NULL, level BIGINT NOT NULL, at TIMESTAMP NOT NULL)
WITH (connector = 'kafka', topic = 'levels', event_time = 'at', lateness = 'never');

CREATE MATERIALIZED VIEW newest_levels AS SELECT id, latest(level) AS level FROM levels GROUP BY id;

CREATE VIEW sums WITH (path = '/sums', limite = 1) AS SELECT count(*) AS keys, sum(level) AS level FROM newest_levels LIMIT $limite;
