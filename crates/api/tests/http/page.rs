//! The embedded page: types, caching, and a policy that keeps everything foreign out.

use axum::body::Body;
use axum::http::Request;
use vitral_panes::view::View;

use crate::world::World;

#[tokio::test]
async fn files_have_their_types() {
    let world = World::new(View::default());
    let cases = [
        ("/", "text/html; charset=utf-8"),
        ("/assets/ecommerce/page.js", "text/javascript; charset=utf-8"),
        ("/assets/page.css", "text/css; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ];
    for (path, content_type) in cases {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(content_type));
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert!(!answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_known_file_is_not_sent_again() {
    let world = World::new(View::default());
    let etag = world.get("/assets/ecommerce/page.js").await.header("etag").map(str::to_owned).expect("an etag");
    let ask = async |known: &str| {
        let request = Request::get("/assets/ecommerce/page.js").header("if-none-match", known).body(Body::empty());
        world.ask(request.expect("a request")).await
    };
    let answer = ask(&format!("\"other\", {etag}")).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (304, ""));
    assert_eq!(answer.header("etag"), Some(etag.as_str()));
    assert_eq!(ask("\"other\"").await.status, 200);
}

/// Everything that the page itself names is there: a missing file would show only in a browser.
#[tokio::test]
async fn the_page_names_only_files_that_exist() {
    let world = World::new(View::default());
    let html = world.body("/").await;
    assert!(html.contains("<title>Vitral · Loja</title>") && html.contains("id=\"sales\""), "the domain's page");
    let named: Vec<_> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(!named.is_empty());
    for path in named {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
}
