use super::*;

pub(super) fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("vitral.toml");
    std::fs::write(&file, text).expect("written");
    Config::load(Some(&file))
}

#[test]
fn an_unknown_key_is_named() {
    let error = load("[shop]\ncurency = 'BRL'").expect_err("a wrong key").to_string();
    assert!(error.contains("curency") && error.contains("shop"), "{error}");
    let error = load("[shopp]\ncurrency = 'BRL'").expect_err("a wrong section").to_string();
    assert!(error.contains("shopp"), "{error}");
}

#[test]
fn values_are_checked() {
    assert!(load("[shop]\ntime_zone = 'Mars/Olympus'").expect_err("no zone").to_string().contains("Mars/Olympus"));
    assert!(load("[shop]\ncurrency = 'R$'").expect_err("no code").to_string().contains("R$"));
    let config = load("[domain]\ntime_zone = 'UTC'\n[stream]\ncommit_interval_ms = 5").expect("valid");
    let settings = config.settings().expect("sound");
    assert_eq!((settings.time_zone.name(), config.stream.commit_interval_ms), ("UTC", 5));
    assert_eq!(settings.currency, "BRL");
}

#[test]
fn a_refused_value_is_named_with_its_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("vitral.toml");
    for (text, keys) in [
        ("[stream]\ncommit_interval_ms = 0\n[query]\nrunning_max = 0", "stream.commit_interval_ms query.running_max"),
        ("[stream]\ncycle_ms = 0", "stream.cycle_ms"),
        ("[api]\nlisten = '8080'", "api.listen"),
        ("[serve]\nstream_url = 'stream:8080'", "serve.stream_url"),
        ("[api]\ntls_certificate = 'a.pem'", "api.tls_certificate"),
        ("[api]\ntls_key = 'a.pem'", "api.tls_key"),
        ("[domain]\ntime_zone = 'Mars/Olympus'\ncurrency = 'R$'", "domain.time_zone domain.currency"),
        ("[shop]\ncurrency = 'R$'", "shop.currency"),
        ("[domain]\nfoo = 1\ncover_days = 'x'", "domain.foo domain.cover_days"),
        ("[kafka]\nconnection = 'a'", "kafka.connection"),
        ("[warehouse]\nconnection = 'a'", "warehouse.connection"),
        ("[alerts]\nnotify = ['a']", "alerts.notify"),
        ("[connections.kafka]\nurl = 'kafka://a:port'", "connections.kafka.url"),
        ("[connections.kafka]\noptions = { acks = '1' }", "connections.kafka.url"),
        ("[connections.Kafka]\nurl = 'kafka://a'", "connections.Kafka"),
    ] {
        std::fs::write(&file, text).expect("written");
        let error = format!("{:#}", anyhow::Error::from(Config::load(Some(&file)).expect_err(text)));
        for key in keys.split(' ') {
            assert!(error.contains(&format!("{key} in {}", file.display())), "{key}: {error}");
        }
    }
    let mut config = Config::default();
    let variables = [("VITRAL__CONNECTIONS__KAFKA__URL".to_owned(), "postgresql://db".to_owned())];
    let error = config.complete(&variables).map_err(|error| config.places.error(error)).expect_err("no cluster");
    let error = format!("{:#}", anyhow::Error::from(error));
    let named = "connections.kafka.url (VITRAL__CONNECTIONS__KAFKA__URL in the environment)";
    assert!(error.contains(named), "{error}");
}

#[test]
fn the_domain_has_an_earlier_name() {
    let settings = |text: &str| load(text).and_then(|config| config.settings());
    let same = settings("[shop]\ntime_zone = 'UTC'\n[domain]\ntime_zone = 'UTC'\ncurrency = 'EUR'").expect("the same");
    assert_eq!((same.time_zone.name(), same.currency.as_str()), ("UTC", "EUR"));
    assert_eq!(settings("[shop]\ncurrency = 'USD'").expect("the earlier name").currency, "USD");
    let warnings = load("[shop]\ncurrency = 'USD'").expect("the earlier name").warnings;
    assert!(warnings.len() == 1 && warnings[0].starts_with("[shop] is called [domain] now"), "{warnings:?}");
    assert!(load("[domain]\ncurrency = 'USD'").expect("the name").warnings.is_empty());
    let error = settings("[shop]\ncurrency = 'USD'\n[domain]\ncurrency = 'EUR'").expect_err("two").to_string();
    assert!(error.contains("USD") && error.contains("EUR") && error.contains("keep only domain.currency"), "{error}");
}

#[test]
fn settings_of_a_domain_can_be_changed() {
    let days = |text: &str| Ok::<_, ConfigError>(load(text)?.settings()?.settings["cover_days"].clone());
    assert_eq!(days("").expect("as shipped"), Setting::Integer(3));
    for text in
        ["[domain]\ncover_days = 5", "[shop]\ncover_days = 5", "[shop]\ncover_days = 5\n[domain]\ncover_days = 5"]
    {
        assert_eq!(days(text).expect("changed"), Setting::Integer(5), "{text}");
    }
    for wrong in ["[shop]\ncover_days = 5\n[domain]\ncover_days = 6", "[shop]\ncover_days = 'five'"] {
        assert!(days(wrong).expect_err(wrong).to_string().contains("cover_days"));
    }
    let shown = toml::to_string_pretty(&load("").and_then(|config| config.effective()).expect("sound")).expect("shown");
    assert!(shown.contains("cover_days = 3"), "{shown}");
}

#[test]
fn domains_can_be_left_out() {
    let config = load("[catalog]\ndomains = []\n[domain]\ncurrency = 'EUR'").expect("valid");
    let catalog = config.catalog().expect("sound");
    assert!(catalog.topics.is_empty() && catalog.metrics.is_empty());
    assert!(catalog.endpoints.iter().any(|endpoint| endpoint.path == "/livro"), "what every catalog has");
    let error = load("[catalog]\ndomains = ['comercio']").expect_err("unknown").to_string();
    assert!(error.contains("comercio") && error.contains("ecommerce"), "{error}");
}

#[test]
fn what_is_shown_is_what_holds() {
    let config = load("[shop]\ncurrency = 'USD'").expect("valid");
    let shown = toml::to_string_pretty(&config.effective().expect("sound")).expect("shown");
    assert!(shown.contains("[domain]") && shown.contains("currency = \"USD\"") && !shown.contains("[shop]"), "{shown}");
    assert!(shown.contains("America/Sao_Paulo") && shown.contains("domains = [\"ecommerce\"]"), "{shown}");
}

#[test]
fn keys_that_were_renamed_hold_under_their_former_name_with_a_warning() {
    let former = "[stream]\ncycle_ms = 5\nrefresh_ms = 7\nuncommitted_bytes = 2000000\nknown_ids_bytes = 9";
    let config = load(former).expect("valid");
    assert_eq!((config.stream.commit_interval_ms, config.stream.live_refresh_ms), (5, 7));
    assert_eq!((config.stream.uncommitted_bytes_max, config.stream.deduplication_bytes_max), (2_000_000, 9));
    assert_eq!(config.warnings.len(), 4);
    assert!(config.warnings[0].contains("stream.commit_interval_ms"), "{:?}", config.warnings);
    let shown = toml::to_string_pretty(&config).expect("shown");
    assert!(!shown.contains("cycle_ms") && shown.contains("live_refresh_ms = 7"), "{shown}");
    assert!(!shown.contains("known_ids_bytes") && shown.contains("deduplication_bytes_max = 9"), "{shown}");
    assert!(load("").expect("the defaults").warnings.is_empty());
}

#[test]
fn rows_are_kept_for_days_or_forever() {
    let days = |text: &str| load(&format!("[retention]\n{text}")).map(|config| config.retention.days());
    assert_eq!(days("").expect("the defaults"), (Some(30), Some(395)));
    // The sum of two large numbers is their sum.
    assert_eq!(days("hot_days = 36500\ncold_days = 36500").expect("valid"), (Some(36_500), Some(73_000)));
    assert_eq!(days("cold_days = 'never'").expect("valid"), (Some(30), None));
    assert_eq!(days("hot_days = 'never'\ncold_days = 0").expect("valid"), (None, None));
    assert_eq!(days("hot_days = 0\ncold_days = 0").expect("valid"), (Some(0), Some(0)));
    for wrong in ["65535", "65506", "-1", "'always'", "1.5", "true"] {
        let error = days(&format!("cold_days = {wrong}")).expect_err(wrong).to_string();
        assert!(error.contains("never") && error.contains("cold_days"), "{wrong}: {error}");
    }
    let shown = toml::to_string_pretty(&load("[retention]\ncold_days = 'never'").expect("valid")).expect("shown");
    assert!(shown.contains("cold_days = \"never\"") && shown.contains("hot_days = 30"), "{shown}");
}

#[test]
fn what_is_not_known_to_be_harmless_is_hidden() {
    let config = load(
        "[connections.kafka]\nurl = 'kafka://h:9092,h2:9092'\n[connections.kafka.options]\n'sasl.password' = 'hush'\n\
         'client.id' = 'shop'\n'sasl.oauthbearer.config' = 'hush'\n'ssl.key.pem' = 'hush'\n\
         [connections.loja]\nurl = 'postgresql://u:hush@h/d?sslmode=require&options=hush'\noptions = { options = 'hush' }\n\
         [connections.replica]\nurl = 'postgresql://h/d?user=u&password=hush'\n\
         [connections.other]\nurl = 'mongodb://u:hush@h,h2/d'\noptions = { any = 'hush' }\n\
         [store]\nurl = 's3://bucket/prefix'\n\
         [store.options]\nazure_storage_connection_string = 'hush'\naws_region = 'sa-east-1'\naws_endpoint = 'http://u:hush@h'\n\
         [warehouse]\nconnection = 'loja'\nreplica_connection = 'replica'\nstage = 's3://stage/x'",
    )
    .expect("valid");
    assert!(!format!("{:?}", config.connections).contains("hush"));
    let shown = toml::to_string_pretty(&config.without_secrets()).expect("shown");
    assert!(!shown.contains("hush"), "{shown}");
    for harmless in ["\"client.id\" = \"shop\"", "sslmode=require", "sa-east-1", "h2:9092", "bucket/prefix"] {
        assert!(shown.contains(harmless), "{harmless}: {shown}");
    }
}

#[test]
fn a_client_s_settings_come_from_the_environment_as_they_stand_there() {
    let mut config = Config::default();
    let variables = [
        ("VITRAL__KAFKA__OPTIONS__SASL_PASSWORD", "007"),
        ("VITRAL__KAFKA__OPTIONS__SASL_USERNAME", "u"),
        ("VITRAL__STORE__OPTIONS__AWS_REGION", "sa-east-1"),
        ("OTHER", "x"),
    ];
    config.take_options(&variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let options = &config.kafka.options;
    assert_eq!((options["sasl.password"].as_str(), options["sasl.username"].as_str()), ("007", "u"));
    assert_eq!((options.len(), config.store.options["aws_region"].as_str()), (2, "sa-east-1"));
}
