-- The Yahoo Streaming Benchmark: views of advertisements, counted for each campaign and ten seconds.
CREATE TABLE campaigns (ad_id TEXT NOT NULL, campaign_id TEXT) WITH (connector = 'file', path = 'campaigns.csv', key = 'ad_id');

CREATE TABLE ad_events (
    user_id VARCHAR(256),
    page_id VARCHAR(256),
    ad_id VARCHAR(256) NOT NULL,
    ad_type VARCHAR(256),
    event_type VARCHAR(256) NOT NULL,
    event_time TIMESTAMP NOT NULL,
    ip_address VARCHAR(256),
    campaign_id TEXT GENERATED ALWAYS AS (lookup('campaigns', ad_id, 'campaign_id')) STORED
) WITH (
    connector = 'kafka',
    topic = 'ad-events',
    event_time = 'event_time',
    -- Of a hundred thousand events one comes up to a minute late.
    watermark = '1 second',
    lateness = '1 minute'
);

-- How often the advertisements of a campaign were viewed.
CREATE MATERIALIZED VIEW campaign_views AS
SELECT tumble(INTERVAL '10 seconds') AS janela, campaign_id, count(*) AS views
FROM ad_events
WHERE event_type = 'view'
GROUP BY janela, campaign_id;
