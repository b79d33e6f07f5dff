//! What domains say, and what they cannot.

use super::*;

fn load(domains: &[&str], dirs: &[PathBuf], configured: DomainOptions) -> Result<DomainSettings, String> {
    let domains: Vec<String> = domains.iter().map(|&domain| domain.to_owned()).collect();
    DomainSettings::load(&domains, dirs, &configured).map_err(|errors| errors.to_string())
}

fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join(SETTINGS_FILE), text).expect("written");
    dir
}

#[test]
fn the_last_to_speak_is_heard() {
    let shipped = load(&["ecommerce"], &[], DomainOptions::default()).expect("sound");
    assert_eq!(shipped, DomainSettings::default());
    assert_eq!((shipped.time_zone.name(), shipped.currency.as_str()), ("America/Sao_Paulo", "BRL"));
    let dir = folder("title = 'Matriz'\ntime_zone = 'Europe/Lisbon'");
    let dirs = [dir.path().to_owned(), PathBuf::from("/nowhere")];
    let over = load(&["ecommerce"], &dirs, DomainOptions::default()).expect("sound");
    assert_eq!(
        (over.title.as_str(), over.time_zone.name(), over.currency.as_str()),
        ("Matriz", "Europe/Lisbon", "BRL")
    );
    let configured = DomainOptions { time_zone: Some("UTC".to_owned()), ..DomainOptions::default() };
    assert_eq!(load(&["ecommerce"], &dirs, configured).expect("sound").time_zone, Tz::UTC);
}

#[test]
fn without_a_domain_there_is_neither_zone_nor_currency() {
    let none = load(&[], &[], DomainOptions::default()).expect("sound");
    assert_eq!((none.domain(), none.time_zone, none.currency.as_str()), ("", Tz::UTC, "XXX"));
}

#[test]
fn all_errors_are_named_with_their_places() {
    let error = load(&["commerce", "ecommerce", "ecommerce"], &[], DomainOptions::default()).expect_err("unknown");
    assert!(error.contains("names commerce") && error.contains("ecommerce twice"), "{error}");
    let dir = folder("title = 'x'\n  zone = 'UTC'");
    let error = load(&[], &[dir.path().to_owned()], DomainOptions::default()).expect_err("a wrong key");
    assert!(error.contains("domain.toml:2:3: ") && error.contains("zone"), "{error}");
    let dir = folder("time_zone = 'Mars/Olympus'\ncurrency = 'R$'");
    let error = load(&[], &[dir.path().to_owned()], DomainOptions::default()).expect_err("wrong values");
    assert!(error.contains("domain.toml:1:1: time_zone is \"Mars/Olympus\""), "{error}");
    assert!(error.contains("domain.toml:2:1: currency is \"R$\""), "{error}");
    let dir = folder("title = 'x'\n\n name = 'A b'");
    let error = load(&[], &[dir.path().to_owned()], DomainOptions::default()).expect_err("a wrong name");
    assert!(error.contains("domain.toml:3:2: name is \"A b\""), "{error}");
    let configured = DomainOptions {
        currency: Some("R$".into()),
        time_zone: Some("x".into()),
        title: None,
        ..DomainOptions::default()
    };
    let error = load(&[], &[], configured).expect_err("wrong values");
    assert!(error.contains("domain.currency is \"R$\"") && error.contains("domain.time_zone is \"x\""), "{error}");
}

#[test]
fn domains_that_differ_need_a_word_of_the_configuration() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let both = |configured: DomainOptions| {
        let mut layers = Layers::default();
        layers.add_domain(&file("a/domain.toml", "time_zone = 'UTC'\ncurrency = 'EUR'"));
        layers.add_domain(&file("b/domain.toml", "time_zone = 'UTC'\ncurrency = 'USD'"));
        layers.put_over(&Place::configuration(), configured, Settings::change);
        let (settings, errors) = layers.finish(Vec::new(), Vec::new());
        if errors.is_empty() { Ok(settings) } else { Err(Diagnostics(errors).to_string()) }
    };
    let error = both(DomainOptions::default()).expect_err("two currencies");
    assert!(error.contains("b/domain.toml:2:1: currency is USD, but EUR in a/domain.toml"), "{error}");
    let settled = both(DomainOptions { currency: Some("GBP".to_owned()), ..DomainOptions::default() });
    assert_eq!(settled.expect("settled").currency, "GBP");
}
